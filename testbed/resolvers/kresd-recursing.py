# SPDX-License-Identifier: GPL-2.0-or-later
"""Knot Resolver, asking the tree of zones from its root, as Debian's own user."""

from resolverkit import Unsupported

RECURSING = True

_CONFIG = """\
{listen}
modules = {{ 'hints > iterate', 'stats', 'predict' }}
cache.open(100 * MB, 'lmdb://{state}/cache')
hints.root_file('{hints}')
trust_anchors.remove('.')
{anchor}
option('NO_MINIMIZE', {full})
log_target('stderr')
user('knot-resolver', 'knot-resolver')
"""


def command(setting):
    """The foreground command line."""
    if setting.upstream_proto == "tcp":
        raise Unsupported("kresd has no way to ask every name server over TCP alone")
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    state = setting.state("knot-resolver")
    path = setting.write("kresd.conf", _CONFIG.format(
        listen="\n".join(f"net.listen('{one}', 53, {{ kind = 'dns' }})" for one in listen),
        anchor=f"trust_anchors.add_file('{setting.anchor}', true)" if setting.anchor else "",
        state=state, hints=setting.hints(), full="false" if setting.minimise else "true"))
    return ["/usr/sbin/kresd", "-n", "-c", path, state]
