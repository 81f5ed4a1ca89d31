# SPDX-License-Identifier: GPL-2.0-or-later
"""The address plan and the constants that every program of the testbed shares."""

CLIENT_FORMAT = {4: "192.168.111.{}", 6: "fd00:111::{}"}
CLIENT_PREFIX = {4: 24, 6: 64}
UPSTREAM_FORMAT = {4: "192.168.222.{}", 6: "fd00:222::{}"}
UPSTREAM_PREFIX = {4: 24, 6: 64}
SECOND_FORMAT = {4: "192.168.223.{}", 6: "fd00:223::{}"}    # the net of the second uplink
UPLINK_FORMATS = (UPSTREAM_FORMAT, SECOND_FORMAT)
SECOND_TABLE = 223      # its routing table, for odd marks

RESOLVER_HOST = 1       # the resolver's last octet on both nets
UPSTREAM_HOST = 2       # the upstream's last octet on the upstream net
AUTHORITY_HOSTS = range(10, 17)     # further last octets there: the name servers of lib/tree.py
PROBE_HOST = 2          # asks "are you ready?" from the client net; has no mark

FIRST_MARK = 137        # client i has the last octet and the mark FIRST_MARK + i
MAX_CLIENTS = 40

# What clients ask in the redirect set-up: no host has these addresses.
CAPTURED = {4: "198.51.100.53", 6: "fd00:99::53"}
CAPTURED_PORT = 5353    # of theirs, where they are translated and not redirected

ZONE = "shim.example.net"
OTHER_ZONE = "other.example.org"
PORT = 53
TLS_PORT = 853
NFLOG_GROUP = 53
NFLOG_THRESHOLD = 32    # packets the kernel gathers before it wakes the witness


def client_marks(count):
    """The marks of the first `count` clients, which are their last octets as well."""
    if not 1 <= count <= MAX_CLIENTS:
        raise ValueError(f"between 1 and {MAX_CLIENTS} clients, not {count}")
    return range(FIRST_MARK, FIRST_MARK + count)


def client_address(mark, family):
    """The address of the client with this mark; in IPv6 the decimal digits are the text."""
    return CLIENT_FORMAT[family].format(mark)


def uplink_of(mark, uplinks):
    """By which uplink a client's queries must leave; the first is also everybody else's."""
    return mark % 2 if uplinks == 2 else 0


def resolver_address(family):
    """Where clients reach the resolver when nothing redirects them."""
    return CLIENT_FORMAT[family].format(RESOLVER_HOST)


def upstream_address(family):
    """Where the resolver reaches the scripted upstream."""
    return UPSTREAM_FORMAT[family].format(UPSTREAM_HOST)
