# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerDNS Recursor as a forwarder: as Debian ships it, two workers behind one distributing thread.

Drops by its own configuration (setuid, setgid): setgid, initgroups, setuid, cap_set_proc, and keeps
no capability. Debian's unit starts it as that user instead, with CAP_NET_BIND_SERVICE and
CAP_CHOWN, and without AF_NETLINK: there the library needs a drop-in for both.

Lacks: asking a forwarder over plain TCP alone; it does so only where an answer is truncated.
"""

from resolverkit import Unsupported

_CONFIG = """\
setuid=pdns
setgid=pdns
local-address={listen}
allow-from=0.0.0.0/0, ::/0
dont-query=
query-local-address=0.0.0.0, ::
forward-zones-recurse=.={upstream}{port}
socket-dir={state}
config-dir={folder}
hint-file=/usr/share/dns/root.hints
public-suffix-list-file=
security-poll-suffix=
dnssec=off
threads={threads}
max-tcp-clients=200
daemon={daemon}
write-pid=no
disable-syslog=yes
quiet=yes
loglevel=3
{refresh}
"""

REFRESH = {"prefetch": "refresh-on-ttl-perc=20\ndisable-packetcache=yes", "stale": "serve-stale-extensions=10",
           "alias": "disable-packetcache=yes"}


def command(setting, *extra):
    """The foreground command line; extra lines go into the configuration."""
    if setting.upstream_proto == "tcp":
        raise Unsupported("pdns-recursor asks forwarders over TCP only after a truncated answer")
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    port = ":853" if setting.upstream_proto == "tls" else ":53"
    bracketed = f"[{setting.upstream}]" if ":" in setting.upstream else setting.upstream
    text = _CONFIG.format(
        daemon="yes" if setting.daemon else "no", listen=", ".join(listen), upstream=bracketed, port=port,
        state=setting.state("pdns"), refresh=REFRESH.get(setting.refresh, ""),
        folder=setting.folder, threads=setting.threads)
    if setting.fast_open:
        text += "tcp-fast-open-connect=yes\n"
    setting.write("recursor.conf", text + "".join(f"{line}\n" for line in extra))
    return ["/usr/sbin/pdns_recursor", f"--config-dir={setting.folder}"]


def reload(setting, _pid):
    """Its own command; SIGHUP only makes it reopen its log."""
    return ["/usr/bin/rec_control", f"--socket-dir={setting.state('pdns')}", "reload-zones"]
