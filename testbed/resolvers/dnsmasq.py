# SPDX-License-Identifier: GPL-2.0-or-later
"""dnsmasq as a plain forwarder, dropped to Debian's own user."""

from resolverkit import Unsupported

REFRESH = {"stale": ["use-stale-cache"]}
NO_REFRESH = {"alias": "dnsmasq asks for the alias again, whole",
              "prefetch": "dnsmasq never asks before an answer's time is over"}


def command(setting, *extra):
    """The foreground command line; extra lines go into the configuration."""
    if setting.upstream_proto == "tcp":
        raise Unsupported("dnsmasq asks upstream over TCP only what a client asked over TCP")
    if setting.upstream_proto == "tls":
        raise Unsupported("dnsmasq does not speak TLS")
    lines = ["user=dnsmasq", "port=53", "no-resolv", "no-hosts", "no-poll",
             f"server={setting.upstream}", "cache-size=1000", "dns-forward-max=1000",
             "max-tcp-connections=200", *REFRESH.get(setting.refresh, []), *extra]
    if setting.specific:
        lines += ["bind-interfaces", *(f"listen-address={one}" for one in setting.listen)]
    path = setting.write("dnsmasq.conf", "\n".join(lines) + "\n")
    foreground = [] if setting.daemon else ["--keep-in-foreground"]
    return ["/usr/sbin/dnsmasq", *foreground, f"--conf-file={path}", "--pid-file="]
