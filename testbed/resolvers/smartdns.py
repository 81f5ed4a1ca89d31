# SPDX-License-Identifier: GPL-2.0-or-later
"""smartdns, a forwarder that sends everybody's queries from one socket.

Debian runs it as root. Here it drops by its own option `user`: KEEPCAPS, setgid, setuid, capset,
and keeps CAP_NET_ADMIN, CAP_NET_RAW and CAP_NET_BIND_SERVICE. Its guesses at the fastest address
(ping, TCP connects) are off, for they are traffic of another kind.
"""

from resolverkit import no_reload

_CONFIG = """\
user nobody
{listen}
{server}
cache-size 16384
cache-persist no
cache-file {state}/cache
prefetch-domain no
{refresh}
speed-check-mode none
dualstack-ip-selection no
dualstack-ip-allow-force-AAAA yes
response-mode fastest-response
log-level error
log-file {state}/log
audit-enable no
"""

_SERVER = {"udp": "server {}", "tcp": "server-tcp {}",
           "tls": "server-tls {}:853 -no-check-certificate"}

REFRESH = {"stale": "serve-expired yes"}
NO_REFRESH = {"alias": "its cache has whole answers", "prefetch": "smartdns prefetches by its own clock, for nobody"}


def command(setting):
    """The foreground command line."""
    listen = setting.listen if setting.specific else ["::"]     # takes IPv4 as well
    bound = [f"[{one}]:53" if ":" in one else f"{one}:53" for one in listen]
    upstream = f"[{setting.upstream}]" if ":" in setting.upstream else setting.upstream
    mark = f" -set-mark {setting.socket_mark}" if setting.socket_mark else ""
    path = setting.write("smartdns.conf", _CONFIG.format(
        refresh=REFRESH.get(setting.refresh, "serve-expired no"),
        listen="\n".join(f"bind {one}\nbind-tcp {one}" for one in bound),
        server=_SERVER[setting.upstream_proto].format(upstream) + mark, state=setting.state("nobody")))
    foreground = [] if setting.daemon else ["-f", "-x"]
    return ["/usr/sbin/smartdns", *foreground, "-c", path, "-p", "-"]


reload = no_reload
