# SPDX-License-Identifier: GPL-2.0-or-later
"""dnsdist before one backend: two UDP threads each for IPv4 and IPv6, as user _dnsdist.

Drops by its options --uid and --gid: setgid, setgroups, setuid, cap_set_proc, and keeps no
capability. Debian's unit starts it as that user instead, with CAP_NET_BIND_SERVICE alone and
without AF_NETLINK: there the library needs a drop-in for both.

Lacks: retries, CNAME chasing and coalescing; truncated answers go to the client as they are. Its
health checks (a.root-servers.net) are nobody's.

Its limit on queued TCP connections is off: up to 1.7.3 its counter is raised only after a worker may
have lowered it, so that it wraps round and connections are refused with nothing queued
(https://github.com/PowerDNS/pdns/issues/12357). From TCP clients that loses some of 300 queries in
one run of three, bare as well.
"""

from resolverkit import no_daemon, no_reload

_CONFIG = """\
setSecurityPollSuffix("")
setMaxTCPQueuedConnections(0)
setACL({{"0.0.0.0/0", "::/0"}})
{listen}
newServer({{address="{upstream}"{proto}}})
pc = newPacketCache(10000)
getPool(""):setCache(pc)
"""

_PROTO = {"udp": "", "tcp": ", tcpOnly=true",
          "tls": ', tls="openssl", subjectName="upstream", validateCertificates=false'}

NO_REFRESH = {"alias": "its cache has whole answers", "stale": "dnsdist serves stale answers only where no backend lives, and asks none then"}


def command(setting):
    """The foreground command line."""
    no_daemon(setting)
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    bound = [f"[{one}]:53" if ":" in one else f"{one}:53" for one in listen]
    port = 853 if setting.upstream_proto == "tls" else 53
    upstream = f"[{setting.upstream}]" if ":" in setting.upstream else setting.upstream
    lines = [f'addLocal("{one}", {{reusePort=true}})' for one in bound * 2]
    if setting.client_tls:
        certificate, key = setting.server_certificate("_dnsdist")
        lines += [f'addTLSLocal("{one.removesuffix(":53")}:853", "{certificate}", "{key}", {{maxInFlight=100}})'
                  for one in bound]
    path = setting.write("dnsdist.conf", _CONFIG.format(
        listen="\n".join(lines),
        upstream=f"{upstream}:{port}", proto=_PROTO[setting.upstream_proto] + ", tcpFastOpen=true" * setting.fast_open))
    return ["/usr/bin/dnsdist", "--supervised", "--disable-syslog", "-C", path,
            "--uid", "_dnsdist", "--gid", "_dnsdist"]


reload = no_reload
