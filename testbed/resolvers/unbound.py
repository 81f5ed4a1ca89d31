# SPDX-License-Identifier: GPL-2.0-or-later
"""unbound as a forwarder: two threads, dropped to Debian's own user."""

_CONFIG = """\
server:
    verbosity: 0
    use-syslog: no
    logfile: ""
    username: "unbound"
    chroot: ""
    directory: "{folder}"
    pidfile: ""
    num-threads: {threads}
    {interfaces}
    access-control: 0.0.0.0/0 allow
    access-control: ::0/0 allow
    module-config: "iterator"
    do-not-query-localhost: no
    num-queries-per-thread: 1024
    outgoing-range: 2048
    incoming-num-tcp: 200
    outgoing-num-tcp: 50
    tcp-upstream: {tcp}
    {tls}
    {refresh}
    {cache}
remote-control:
    control-enable: no
forward-zone:
    name: "."
    forward-addr: {upstream}{port}
    forward-tls-upstream: {forward_tls}
"""

_CACHE = "msg-cache-size: {0}m\n    rrset-cache-size: {0}m"
REFRESH = {"prefetch": "prefetch: yes", "stale": "serve-expired: yes", "alias": ""}


def command(setting):
    """The foreground command line."""
    listen = setting.listen if setting.specific else ["0.0.0.0", "::0"]
    tls = []
    if setting.client_tls:
        listen = [*listen, *(f"{one}@853" for one in listen)]
        certificate, key = setting.server_certificate("unbound")
        tls = [f'tls-service-pem: "{certificate}"', f'tls-service-key: "{key}"']
    path = setting.write("unbound.conf", _CONFIG.format(
        folder=setting.folder, threads=setting.threads, upstream=setting.upstream,
        refresh=REFRESH.get(setting.refresh, ""), cache=_CACHE.format(setting.cache_mib) if setting.cache_mib else "",
        port="@853" if setting.upstream_proto == "tls" else "",
        forward_tls="yes" if setting.upstream_proto == "tls" else "no", tls="\n    ".join(tls),
        interfaces="\n    ".join(f"interface: {one}" for one in listen),
        tcp="yes" if setting.upstream_proto == "tcp" else "no"))
    return ["/usr/sbin/unbound", *([] if setting.daemon else ["-d"]), "-p", "-c", path]
