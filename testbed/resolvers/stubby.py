# SPDX-License-Identifier: GPL-2.0-or-later
"""stubby, the forwarder of getdns.

Does not drop by itself: Debian's unit starts it as a dynamic user with the ambient capability
CAP_NET_BIND_SERVICE. Here setpriv does what the unit does, with CAP_NET_ADMIN added as the unit's
drop-in for the library must.

Lacks: a cache, retries, and IP_PKTINFO on its wildcard sockets.
"""

from resolverkit import no_reload

_CONFIG = """\
resolution_type: GETDNS_RESOLUTION_STUB
dns_transport_list:
{transports}
tls_authentication: GETDNS_AUTHENTICATION_NONE
edns_client_subnet_private: 1
round_robin_upstreams: 1
idle_timeout: 10000
listen_addresses:
{listen}
upstream_recursive_servers:
  - address_data: {upstream}
"""

_TRANSPORTS = {"udp": ("UDP", "TCP"), "tcp": ("TCP",), "tls": ("TLS",)}
# Its process id goes to /run, where the dropped user may not write.
_OWN_RUN = 'mount -t tmpfs -o mode=1777 tmpfs /run && exec "$@"'
_DYNAMIC_USER = "61999"         # systemd.exec(5): dynamic users are 61184 to 65519
_CAPABILITIES = "-all,+net_bind_service,+net_admin"

NO_REFRESH = dict.fromkeys(("prefetch", "stale", "alias"), "stubby has no cache")


def command(setting):
    """The foreground command line."""
    listen = setting.listen if setting.specific else ["0.0.0.0", "0::0"]
    transports = [f"  - GETDNS_TRANSPORT_{one}" for one in _TRANSPORTS[setting.upstream_proto]]
    path = setting.write("stubby.yml", _CONFIG.format(
        transports="\n".join(transports), upstream=setting.upstream,
        listen="\n".join(f"  - {one}" for one in listen)))
    detached = ["unshare", "--mount", "/bin/sh", "-c", _OWN_RUN, "sh"] if setting.daemon else []
    program = ["/usr/bin/stubby", *["-g"] * setting.daemon, "-C", path]
    if setting.limits:
        return [*detached, *program]
    return [*detached, "/usr/bin/setpriv", "--reuid", _DYNAMIC_USER, "--regid", _DYNAMIC_USER,
            "--clear-groups", "--inh-caps", _CAPABILITIES, "--ambient-caps", _CAPABILITIES,
            "--bounding-set", _CAPABILITIES, *program]


reload = no_reload
