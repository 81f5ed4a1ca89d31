# SPDX-License-Identifier: GPL-2.0-or-later
"""BIND 9, asking the tree of zones from its root: two workers, dropped to Debian's own user."""

from resolverkit import Unsupported

RECURSING = True

_CONFIG = """\
options {{
    directory "{state}";
    pid-file none;
    session-keyfile none;
    listen-on {{ {listen4}; }};
    listen-on-v6 {{ {listen6}; }};
    recursion yes;
    allow-query {{ any; }};
    allow-recursion {{ any; }};
    allow-query-cache {{ any; }};
    dnssec-validation {validate};
    synth-from-dnssec no;
    qname-minimization {minimise};
    tcp-clients 200;
    notify no;
}};
controls {{ }};
{anchors}
zone "." {{ type hint; file "{hints}"; }};
logging {{
    channel stderr {{ stderr; severity notice; }};
    category default {{ stderr; }};
}};
"""


def _anchors(path):
    """The statement that trusts a DNSKEY record in a file."""
    if not path:
        return ""
    with open(path, encoding="ascii") as file:
        flags, protocol, algorithm, *key = file.read().split()[3:]
    return (f'trust-anchors {{ "." static-key {flags} {protocol} {algorithm} '
            f'"{"".join(key)}"; }};')


def command(setting):
    """The foreground command line."""
    if setting.upstream_proto == "tcp":
        raise Unsupported("BIND has no way to ask every name server over TCP alone")
    listen4, listen6 = setting.listen if setting.specific else ("any", "any")
    path = setting.write("named.conf", _CONFIG.format(
        validate="yes" if setting.anchor else "no", anchors=_anchors(setting.anchor),
        state=setting.state("bind"), listen4=listen4, listen6=listen6, hints=setting.hints(),
        minimise="relaxed" if setting.minimise else "off"))
    return ["/usr/sbin/named", "-f", "-u", "bind", "-n", "2", "-c", path]
