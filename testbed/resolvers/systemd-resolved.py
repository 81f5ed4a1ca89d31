# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-resolved, unpacked from its package and run alone: no bus, no systemd.

Installing the package would rewrite the machine's resolv.conf. The program is started as root and
drops by itself (setresgid, setresuid, capset) to user systemd-resolve, keeping CAP_NET_RAW.
Debian's unit starts it as that user instead, with CAP_NET_RAW, CAP_NET_BIND_SERVICE and CAP_SETPCAP: there
the library needs a drop-in that adds CAP_NET_ADMIN. It sees a /run and a user database of its own,
in a mount namespace, so that the machine's are left alone.

Lacks: a choice of TCP for the upstream (it falls back to it by itself).
"""

import pathlib
import pwd

from resolverkit import Unsupported, no_daemon
import unpacked

PLACES_LIMITS = True            # behind what only root may do
_USER = "systemd-resolve"
_NUMBER = 61998                 # where the machine has no such user

_CONFIG = """\
[Resolve]
DNS={upstream}#upstream
FallbackDNS=
Domains=~.
DNSSEC=no
DNSOverTLS={tls}
LLMNR=no
MulticastDNS=no
ReadEtcHosts=no
ResolveUnicastSingleLabel=yes
DNSStubListener=no
{listen}
"""

# Arguments: the folder with what to mount, the user, then the command.
_IN_ITS_OWN_RUN = """\
set -e
folder=$1 user=$2; shift 2
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/resolve /run/systemd/resolved.conf.d
cp "$folder/resolved.conf" /run/systemd/resolved.conf.d/testbed.conf
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/group" /etc/group
chown "$user:$user" /run/systemd/resolve
exec "$@"
"""


def command(setting):
    """The foreground command line."""
    no_daemon(setting)
    if setting.upstream_proto == "tcp":
        raise Unsupported("systemd-resolved has no way to ask over TCP alone")
    root = unpacked.package("systemd-resolved", "libsystemd-shared")
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    setting.write("resolved.conf", _CONFIG.format(
        upstream=setting.upstream, tls="yes" if setting.upstream_proto == "tls" else "no",
        listen="\n".join(f"DNSStubListenerExtra={one}" for one in listen)))
    _write_users(setting)
    libraries = f"{root}/usr/lib/x86_64-linux-gnu/systemd"
    return ["unshare", "--mount", "/bin/sh", "-c", _IN_ITS_OWN_RUN, "sh", str(setting.folder),
            _USER, *setting.limits, "env", f"LD_LIBRARY_PATH={libraries}", f"SSL_CERT_FILE={setting.certificate}",
            f"{root}/lib/systemd/systemd-resolved"]


def reload(_setting, pid):
    """SIGUSR2 empties its caches; SIGHUP ends it in this version."""
    return ["/bin/kill", "-USR2", str(pid)]


def _write_users(setting):
    """The machine's users and groups, and the resolver's where they lack it."""
    try:
        pwd.getpwnam(_USER)
        extra = {"passwd": "", "group": ""}
    except KeyError:
        extra = {"passwd": f"{_USER}:x:{_NUMBER}:{_NUMBER}::/:/usr/sbin/nologin\n",
                 "group": f"{_USER}:x:{_NUMBER}:\n"}
    for name, line in extra.items():
        known = pathlib.Path("/etc", name).read_text(encoding="utf-8")
        setting.write(name, known + line)
