# SPDX-License-Identifier: GPL-2.0-or-later
"""BIND 9 as a forwarder: two workers, dropped to Debian's own user."""

from resolverkit import Unsupported

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
    dnssec-validation no;
    forward only;
    forwarders {{ {upstream}; }};
    tcp-clients 200;
    clients-per-query 0;
    max-clients-per-query 0;
    notify no;
    {refresh}
    {cache}
}};
controls {{ }};
server {upstream} {{ tcp-only {tcp}; }};
logging {{
    channel stderr {{ stderr; severity notice; }};
    category default {{ stderr; }};
}};
"""

REFRESH = {"prefetch": "prefetch 10 16;", "alias": "",
           "stale": "stale-cache-enable yes; stale-answer-enable yes; stale-answer-client-timeout 0;"}


def command(setting):
    """The foreground command line."""
    if setting.upstream_proto == "tls":
        raise Unsupported("BIND 9.18 does not forward over TLS")
    listen4, listen6 = setting.listen if setting.specific else ("any", "any")
    path = setting.write("named.conf", _CONFIG.format(
        refresh=REFRESH.get(setting.refresh, ""),
        cache=f"max-cache-size {setting.cache_mib}M;" if setting.cache_mib else "", state=setting.state("bind"), listen4=listen4, listen6=listen6,
        upstream=setting.upstream, tcp="yes" if setting.upstream_proto == "tcp" else "no"))
    return ["/usr/sbin/named", *([] if setting.daemon else ["-f"]), "-u", "bind", "-n", str(setting.threads),
            "-c", path]
