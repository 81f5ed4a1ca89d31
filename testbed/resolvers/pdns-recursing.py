# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerDNS Recursor, asking the tree of zones from its root: two threads behind a distributor."""

from resolverkit import Unsupported

RECURSING = True

_CONFIG = """\
config-dir={folder}
socket-dir={state}
local-address={listen}
local-port=53
allow-from=0.0.0.0/0, ::/0
hint-file={hints}
query-local-address=0.0.0.0, ::
dont-query=
qname-minimization={minimise}
setuid=pdns
setgid=pdns
threads=2
daemon=no
write-pid=no
disable-syslog=yes
quiet=yes
security-poll-suffix=
{validation}
public-suffix-list-file=/usr/share/publicsuffix/public_suffix_list.dat
"""


def command(setting):
    """The foreground command line."""
    if setting.upstream_proto == "tcp":
        raise Unsupported("the recursor has no way to ask every name server over TCP alone")
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    validation = "dnssec=process"       # its default: nothing asks for it
    if setting.anchor:
        lua = setting.write(
            "anchor.lua", f'clearTA(".")\nreadTrustAnchorsFromFile("{setting.anchor}")\n')
        validation = f"dnssec=validate\naggressive-nsec-cache-size=0\nlua-config-file={lua}"
    setting.write("recursor.conf", _CONFIG.format(
        folder=setting.folder, state=setting.state("pdns"), listen=", ".join(listen),
        validation=validation, hints=setting.hints(), minimise="yes" if setting.minimise else "no"))
    return ["/usr/sbin/pdns_recursor", f"--config-dir={setting.folder}"]
