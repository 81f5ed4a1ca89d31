# SPDX-License-Identifier: GPL-2.0-or-later
"""Knot Resolver as a forwarder: one process, dropped to Debian's own user.

Drops by its own configuration: user() calls setresgid and setreuid once the sockets are bound, and
keeps no capability. Debian's unit starts it as that user instead, with CAP_NET_BIND_SERVICE and
CAP_SETPCAP alone: there the library needs a drop-in that adds CAP_NET_ADMIN.

Lacks: threads (see kresd-two), and IP_PKTINFO on its wildcard sockets. Four timeouts in a row, from
all queries together, make it give its only forwarder up for a while: then it answers SERVFAIL.
"""

from resolverkit import no_daemon, no_reload

_CONFIG = """\
log_target('stderr')
log_level('crit')
net.ipv6 = true
{listen}
cache.open(100 * MB, 'lmdb://{state}')
{user}
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
trust_anchors.remove('.')
{refresh}
{flags}
policy.add(policy.all({forward}))
"""

_TLS = """\
net.tls('{}', '{}')
"""

_FORWARD = {
    "udp": "policy.FORWARD({{'{upstream}'}})",
    "tcp": "policy.FORWARD({{'{upstream}'}})",
    "tls": "policy.TLS_FORWARD({{{{'{upstream}', insecure = true}}}})",
}

REFRESH = {"prefetch": "modules = { predict = { window = 0, period = 0 } }"}
NO_REFRESH = {"alias": "it asks for the alias again, whole", "stale": "it serves stale answers only once the upstream has timed out, and does not "
                       "ask again then"}


def command(setting):
    """The foreground command line."""
    no_daemon(setting)
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    tls = ""
    if setting.client_tls:
        tls = _TLS.format(*setting.server_certificate("knot-resolver")) + "\n".join(
            f"net.listen('{one}', 853, {{ kind = 'tls' }})" for one in listen)
    state = setting.state("knot-resolver")
    path = setting.write("kresd.conf", _CONFIG.format(
        state=state, user="" if setting.limits else "user('knot-resolver', 'knot-resolver')",
        refresh=REFRESH.get(setting.refresh, ""),
        listen="\n".join([*(f"net.listen('{one}', 53, {{ kind = 'dns' }})" for one in listen), tls]),
        flags="policy.add(policy.all(policy.FLAGS('TCP')))" * (setting.upstream_proto == "tcp"),
        forward=_FORWARD[setting.upstream_proto].format(upstream=setting.upstream)))
    return ["/usr/sbin/kresd", "-n", "-c", path, state if setting.limits else str(setting.folder)]


reload = no_reload
