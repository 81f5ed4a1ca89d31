# SPDX-License-Identifier: GPL-2.0-or-later
"""The cells of the matrix: which resolvers, which paths and faults, and what each cell must be.

A cell is a command line of testbed/run; its expectation is `right` (see lib/verdict.py), except in
columns that are only shown. What a resolver cannot do, its own file says (resolverkit.Unsupported).
"""

import dataclasses
import re

QUERIES = 1000
IN_FLIGHT = 64

# Clients ask again, so that a resolver without retries of its own answers in the end.
_PATIENT = ("--timeout", "2", "--retries", "3")
_MIXED = ("rnd50:5,dly150:1,drop1:1,tc:1,cnin:1,cnout:1,cnch:1,servf1:1,nx:1,cnin+tc:1,"
          "cnout+rnd50:1,none:5")


@dataclasses.dataclass(frozen=True)
class Column:
    """One way of asking, the same for each resolver."""

    key: str
    group: str
    title: str
    arguments: tuple
    quick: bool = False
    shown: bool = False         # no expectation: the figures are shown as they are
    shown_for: tuple = ()       # likewise, for these resolvers alone
    only: tuple = ()            # resolvers that have it, where their files cannot say so; (): all


def _faults(key, title, directives, *more, quick=False):
    return Column(key, "answers", title, ("--directives", directives, *more), quick)


def _path(group, key, title, *arguments, quick=False):
    return Column(key, group, title, arguments, quick)


def _refresh(kind, title, directives="dly100"):
    return Column(kind, "cached answers", title,
                  ("--refresh", kind, "--directives", directives, "--queries", "300"))


FORWARDING = (
    _faults("none", "at once", "none"),
    _faults("rnd50", "in any order", "rnd50"),
    _faults("dly150", "late", "dly150"),
    _faults("drop1", "dropped once", "drop1:1,none:9", *_PATIENT),
    _faults("tc", "truncated, then TCP", "tc"),
    _faults("cnin", "CNAME in the zone", "cnin"),
    _faults("cnout", "CNAME to elsewhere", "cnout"),
    _faults("cnch", "chain of CNAMEs", "cnch"),
    _faults("servf1", "SERVFAIL, then an answer", "servf1:1,none:3", *_PATIENT),
    _faults("mixed", "all of these mixed", _MIXED, "--qtypes", "A,AAAA", *_PATIENT, quick=True),
    _refresh("prefetch", "prefetched"),
    _refresh("stale", "stale, then asked"),
    _refresh("alias", "an alias, not its target", "cnin+dly100"),
    _path("clients", "same5", "5 ask the same at once", "--same", "5", "--directives", "rnd50",
          quick=True),
    _path("clients", "tcp", "TCP", "--client-proto", "tcp"),
    _path("clients", "tcp5", "TCP, 5 queries each", "--client-proto", "tcp", "--tcp-pipeline", "5",
          "--directives", "rnd50", quick=True),
    _path("clients", "ip6", "IPv6", "--client-ip", "6"),
    _path("clients", "redirect", "redirected", "--via", "redirect", "--directives", "rnd50"),
    _path("clients", "redirect6", "redirected, IPv6", "--via", "redirect", "--client-ip", "6",
          quick=True),
    _path("clients", "specific", "specific addresses", "--bind", "specific"),
    _path("clients", "nft", "nft, connmark alone", "--rules", "nft-ct"),
    _path("clients", "dnat", "to another address and port", "--via", "dnat"),
    Column("dot", "clients", "TLS", ("--client-proto", "tls", "--queries", "300"),
           only=("unbound", "kresd", "kresd-two", "dnsdist")),
    _path("clients", "zone", "in a conntrack zone", "--client-zone", "7", "--env",
          "CONNMARK_ZONE=7"),
    _path("marks", "packet", "from packets", "--env", "CONNMARK_SOURCE=packet", "--directives",
          "rnd50"),
    _path("marks", "mask", "beside another user's bits", "--mask", "0xff", "--env",
          "CONNMARK_MASK=0xff", "--other-bits", "rules"),
    _path("marks", "routes", "two uplinks, UDP", "--uplinks", "2", "--directives", "rnd50",
          "--queries", "300"),
    Column("routes-tc", "marks", "two uplinks, truncated", ("--uplinks", "2", "--directives", "tc",
           "--queries", "200"), only=("dnsmasq", "bind")),
    _path("marks", "flows", "a flow for each", "--one-flow-per-mark"),
    _path("life", "reload", "loaded anew", "--reload", "--queries", "300"),
    Column("daemon", "life", "in the background", ("--daemonise", "--queries", "300"),
           only=("dnsmasq", "unbound", "bind", "pdns-recursor", "pdns-recursor-reuseport",
                 "smartdns", "stubby")),
    _path("upstream", "up6", "IPv6", "--upstream-ip", "6", "--directives", "rnd50"),
    _path("upstream", "uptcp", "TCP", "--upstream-proto", "tcp", "--directives", "rnd50",
          quick=True),
    _path("upstream", "uptcp6", "TCP, IPv6", "--upstream-proto", "tcp", "--upstream-ip", "6",
          "--directives", "rnd50"),
    Column("tfo", "upstream", "TCP Fast Open", ("--fast-open", "--upstream-proto", "tcp",
           "--directives", "rnd50"), only=("unbound", "dnsdist", "smartdns", "stubby",
           "pdns-recursor", "pdns-recursor-reuseport", "systemd-resolved")),
    _path("upstream", "tls1", "TLS, one at a time", "--upstream-proto", "tls", "--in-flight", "1",
          "--queries", "300"),
    Column("tls", "upstream", "TLS, all at once",
           ("--upstream-proto", "tls", "--directives", "rnd50"), shown_for=("smartdns",)),
    Column("tlsfirst", "upstream", "TLS, CONNMARK_STREAM=first",
           ("--upstream-proto", "tls", "--directives", "rnd50", "--env", "CONNMARK_STREAM=first"),
           shown=True),
)

RECURSING = (
    _path("recursion", "none", "names minimised", "--directives", "rnd50"),
    _path("recursion", "full", "full names", "--no-minimise", "--directives", "rnd50"),
    _path("recursion", "mixed", "late, dropped, truncated", "--directives",
          "rnd50:4,dly150:1,drop1:1,tc:1,none:4", *_PATIENT, quick=True),
    _path("recursion", "same5", "5 ask the same at once", "--same", "5", "--directives", "rnd50"),
    _path("recursion", "tcp5", "TCP clients, 5 queries each", "--client-proto", "tcp",
          "--tcp-pipeline", "5"),
    _path("recursion", "ip6", "IPv6 clients", "--client-ip", "6"),
    _path("recursion", "dnssec", "signed, and validated", "--dnssec", "--queries", "400",
          "--directives", "rnd50"),
    _path("recursion", "dnssec-full", "signed, full names", "--dnssec", "--no-minimise",
          "--queries", "400"),
    _path("recursion", "up6", "IPv6 upstream", "--upstream-ip", "6", "--directives", "rnd50"),
)

RECURSERS = ("unbound-recursing", "bind-recursing", "kresd-recursing", "pdns-recursing")

FORWARDERS = ("dnsmasq", "unbound", "bind", "kresd", "kresd-two", "pdns-recursor",
              "pdns-recursor-reuseport", "smartdns", "dnsdist", "stubby", "systemd-resolved")

# (resolver's pattern, column): other arguments, and why.
EXCEPTIONS = {
    ("pdns-recursor|systemd-resolved", "tfo"): (
        ("--upstream-proto", "udp", "--directives", "tc"),
        "it asks over TCP only after a truncated answer"),
    ("smartdns|dnsdist", "routes"): (
        ("--one-flow-per-mark",),
        "it asks by one socket for all: with the two rules that give each mark its own flow"),
    ("smartdns", "tc"): (
        ("--directives", "tc:1,none:9"),
        "it never asks again over TCP: what is truncated gets no answer, bare as well"),
    ("pdns-recursor", "stale"): (
        ("--directives", "dly100+servf2"),
        "it serves a stale answer once the upstream has failed, and asks again behind it"),
    ("smartdns", "tls"): (
        (), "it puts several clients' queries into one record, which bears the default mark"),
    ("kresd", "drop1"): (
        ("--directives", "drop1:1,none:49"),
        "four timeouts in a row make it give its only forwarder up for a while, also bare"),
    ("kresd", "mixed"): (
        ("--directives", _MIXED.replace("drop1:1,", "")),
        "its dropped answers are in a column of their own"),
}


@dataclasses.dataclass(frozen=True)
class CellPlan:
    """One resolver asked in one way."""

    resolver: str
    column: Column
    arguments: tuple
    remark: str = ""

    @property
    def shown(self):
        """Whether nothing is expected of it."""
        return self.column.shown or self.resolver in self.column.shown_for

    @property
    def name(self):
        """What --only is matched against."""
        return f"{self.resolver} {self.column.key}"


def _plan(resolver, column):
    for (pattern, key), (arguments, remark) in EXCEPTIONS.items():
        if column.key == key and re.match(f"{pattern}(-|$)", resolver):
            return CellPlan(resolver, column, (*column.arguments, *arguments), remark)
    return CellPlan(resolver, column, column.arguments)


def cells(quick, only):
    """The wanted cells, in the order of the table's rows."""
    planned = [_plan(resolver, column) for resolver in FORWARDERS for column in FORWARDING
               if not column.only or resolver in column.only]
    planned += [CellPlan(resolver, column, column.arguments)
                for resolver in RECURSERS for column in RECURSING]
    return [cell for cell in planned
            if (cell.column.quick or not quick) and re.search(only, cell.name)]
