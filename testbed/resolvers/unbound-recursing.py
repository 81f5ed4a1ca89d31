# SPDX-License-Identifier: GPL-2.0-or-later
"""unbound, asking the tree of zones from its root: two threads, dropped to Debian's own user."""

RECURSING = True

_CONFIG = """\
server:
    verbosity: 0
    use-syslog: no
    logfile: ""
    username: "unbound"
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    num-threads: 2
    {interfaces}
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    module-config: "{modules}"
    root-hints: "{hints}"
    qname-minimisation: {minimise}
    num-queries-per-thread: 1024
    outgoing-range: 2048
    incoming-num-tcp: 200
    outgoing-num-tcp: 50
    tcp-upstream: {tcp}
    {validation}
remote-control:
    control-enable: no
"""


# Without aggressive-nsec, for what NSEC records of other questions prove is not asked.
_VALIDATION = """\
trust-anchor-file: "{}"
    aggressive-nsec: no"""


def command(setting):
    """The foreground command line."""
    listen = setting.listen if setting.specific else ["0.0.0.0", "::0"]
    path = setting.write("unbound.conf", _CONFIG.format(
        modules="validator iterator" if setting.anchor else "iterator",
        validation=_VALIDATION.format(setting.anchor) if setting.anchor else "",
        folder=setting.folder, hints=setting.hints(),
        minimise="yes" if setting.minimise else "no",
        interfaces="\n    ".join(f"interface: {one}" for one in listen),
        tcp="yes" if setting.upstream_proto == "tcp" else "no"))
    return ["/usr/sbin/unbound", "-d", "-p", "-c", path]
