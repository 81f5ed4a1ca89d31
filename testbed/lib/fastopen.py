# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP Fast Open (RFC 7413): the query's bytes come with the SYN, so that both must bear its client's mark.

Without cookies, so that each connection does it and not only those to a server that is known
(ip-sysctl, tcp_fastopen: 1 client, 2 server, 4 and 0x200 without cookies, 0x400 all listeners).
"""

SYSCTL = f"net.ipv4.tcp_fastopen={1 | 2 | 4 | 0x200 | 0x400}"


def opened(network):
    """How many connections of the resolver's network were made by it so far."""
    table = network.run(network.resolver, "cat", "/proc/net/netstat").splitlines()
    for names, values in zip(table[::2], table[1::2]):
        if names.startswith("TcpExt:"):
            return dict(zip(names.split(), map(_number, values.split())))["TCPFastOpenActive"]
    return 0


def _number(text):
    return int(text) if text.isdigit() else 0
