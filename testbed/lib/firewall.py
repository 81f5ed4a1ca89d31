# SPDX-License-Identifier: GPL-2.0-or-later
"""The resolver's firewall: marks for clients, the saved connmark, and the witness's log rule.

Both rule sets count what they log, so that the witness can be checked against the kernel.

Another user of the mark, after mwan3, has the bits OTHER_MASK: the first packet of each connection
gets some of them, and keeps what it has.
"""

import dataclasses
import json
import re

import plan
from netlab import ANY_UPSTREAM_LINK, CLIENT_LINK

RULE_SETS = ("iptables", "nft-ct")
WAYS = ("direct", "redirect", "dnat")
OTHER_MASK, OUR_MASK = 0x3F00, 0xFF
OTHER_OF_CLIENTS = 0x2500       # what its rules give the clients' connections
OTHER_OF_OUTPUT = 0x1500        # ... and what leaves the resolver without any of its bits
OTHER_OF_SOCKET = 0x1100        # what a resolver gives its sockets itself

_WATCHED = (("udp", plan.PORT), ("tcp", plan.PORT), ("tcp", plan.TLS_PORT))
_NFT_WATCHED = ", ".join(f"{protocol} . {port}" for protocol, port in _WATCHED)
_NFT_UPSTREAM_LINK = f'"{ANY_UPSTREAM_LINK.replace("+", "*")}"'
_NFT_LOG = (f"log group {plan.NFLOG_GROUP} snaplen 65535 "
            f"queue-threshold {plan.NFLOG_THRESHOLD}")
_COUNTED_LOG = re.compile(r"\[(\d+):\d+\] -A OUTPUT .*-j NFLOG")


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the firewall shall do."""

    marks: range                    # of the clients
    form: str = "iptables"          # one of RULE_SETS
    via: str = "direct"             # one of WAYS: how clients come to the resolver
    one_flow: bool = False          # each mark has conntrack entries of its own upstream
    zone: int = 0                   # of the clients' flows
    other_user: bool = False        # of the mark
    untracked: tuple = ()           # marks of clients whose flows conntrack does not know

    def install(self, network):
        """Load the rules into the resolver's namespace."""
        def load(argv, text):
            network.run(network.resolver, *argv, text=text)

        if self.form == "iptables":
            load(["iptables-restore"], _iptables(4, self))
            load(["ip6tables-restore"], _iptables(6, self))
        else:
            load(["nft", "-f", "-"], _nft(self))


def logged(network, form):
    """How many packets the log rules have seen since they were loaded."""
    def output(*argv):
        return network.run(network.resolver, *argv)

    if form == "iptables":
        saved = [output(save, "-c", "-t", "mangle")
                 for save in ("iptables-save", "ip6tables-save")]
        return sum(int(count) for text in saved for count in _COUNTED_LOG.findall(text))
    listed = json.loads(output("nft", "-j", "list", "chain", "inet", "connmark", "output"))
    return sum(part["counter"]["packets"] for entry in listed["nftables"] if "rule" in entry
               for part in entry["rule"]["expr"] if "counter" in part)


# ---- iptables ----

def _iptables(family, rules):
    tables = {"raw": _raw(family, rules), "mangle": _mangle(family, rules), "nat": _nat(family, rules)}
    return "".join(f"*{table}\n" + "".join(f"-A {line}\n" for line in lines) + "COMMIT\n"
                   for table, lines in tables.items() if lines)


def _raw(family, rules):
    lines = []
    for mark in rules.untracked:
        address = plan.client_address(mark, family)
        lines += [f"PREROUTING -s {address} -j CT --notrack", f"OUTPUT -d {address} -j CT --notrack"]
    if rules.zone:
        lines += [f"PREROUTING -i {CLIENT_LINK} -j CT --zone {rules.zone}",
                  f"OUTPUT -o {CLIENT_LINK} -j CT --zone {rules.zone}"]
    if rules.one_flow:
        lines.append(f"OUTPUT -p udp --dport {plan.PORT} -m mark ! --mark 0 -j CT --zone-orig mark")
    return lines


def _mangle(family, rules):
    ours, other = "", []
    every, marked = "", "! --mark 0"
    if rules.other_user:
        ours, marked = f"/{OUR_MASK:#x}", f"! --mark 0/{OUR_MASK:#x}"
        every = f" --nfmask {OUR_MASK | OTHER_MASK:#x} --ctmask {OUR_MASK | OTHER_MASK:#x}"
        other = [f"-m mark --mark 0/{OTHER_MASK:#x} -j MARK --set-xmark {bits:#x}/{OTHER_MASK:#x}"
                 for bits in (OTHER_OF_CLIENTS, OTHER_OF_OUTPUT)]
    lines = [f"PREROUTING -j CONNMARK --restore-mark{every}"]
    lines += [f"PREROUTING -m mark --mark 0{ours} -s {plan.client_address(mark, family)} "
              f"-j MARK --set-xmark {mark}{ours}" for mark in rules.marks]
    lines += [f"PREROUTING -i {CLIENT_LINK} {rule}" for rule in other[:1]]
    lines.append(f"PREROUTING -j CONNMARK --save-mark{every}")
    lines += [f"OUTPUT -o {ANY_UPSTREAM_LINK} {rule}" for rule in other[1:]]
    lines.append(f"OUTPUT -m mark {marked} -j CONNMARK --save-mark{every}")
    return lines + [f"OUTPUT -o {ANY_UPSTREAM_LINK} -p {protocol} --dport {port} -j NFLOG "
                    f"--nflog-group {plan.NFLOG_GROUP} --nflog-size 65535 "
                    f"--nflog-threshold {plan.NFLOG_THRESHOLD}" for protocol, port in _WATCHED]


def _nat(family, rules):
    to = {"redirect": (plan.PORT, f"REDIRECT --to-ports {plan.PORT}"),
          "dnat": (plan.CAPTURED_PORT, f"DNAT --to-destination {_resolver(family)}")}
    lines = []
    if rules.via in to:
        port, target = to[rules.via]
        lines += [f"PREROUTING -i {CLIENT_LINK} -d {plan.CAPTURED[family]} -p {protocol} "
                  f"--dport {port} -j {target}" for protocol in ("udp", "tcp")]
    if rules.one_flow:
        lines.append(f"POSTROUTING -o {ANY_UPSTREAM_LINK} -p udp --dport {plan.PORT} "
                     "-j MASQUERADE --random-fully")
    return lines


def _resolver(family):
    """Where the resolver listens, as the target of a translation."""
    address = plan.resolver_address(family)
    return f"[{address}]:{plan.PORT}" if family == 6 else f"{address}:{plan.PORT}"


# ---- nft ----

def _nft(rules):
    """Connmarks only: no packet of a client ever has a mark of its own."""
    maps = {family: ", ".join(f"{plan.client_address(mark, family)} : {mark}"
                              for mark in rules.marks) for family in (4, 6)}
    return f"""
table inet connmark {{
    map clients4 {{ type ipv4_addr : mark; elements = {{ {maps[4]} }} }}
    map clients6 {{ type ipv6_addr : mark; elements = {{ {maps[6]} }} }}
    chain prerouting {{
        type filter hook prerouting priority mangle
        iifname {CLIENT_LINK} ct direction original ct mark 0 ct mark set ip saddr map @clients4
        iifname {CLIENT_LINK} ct direction original ct mark 0 ct mark set ip6 saddr map @clients6
    }}
    chain output {{
        type route hook output priority mangle
        meta mark != 0 ct mark set meta mark
        oifname {_NFT_UPSTREAM_LINK} meta l4proto . th dport {{ {_NFT_WATCHED} }} counter {_NFT_LOG}
    }}
    {_nft_captured(rules.via)}
    {_nft_zone(rules.zone)}
    {_nft_one_flow(rules.marks) if rules.one_flow else ""}
}}
"""


def _nft_captured(via):
    if via == "direct":
        return ""
    port = plan.CAPTURED_PORT if via == "dnat" else plan.PORT
    lines = ""
    for family, word in ((4, "ip"), (6, "ip6")):
        target = f"redirect to :{plan.PORT}" if via == "redirect" else f"dnat {word} to {_resolver(family)}"
        lines += f"""
        iifname {CLIENT_LINK} {word} daddr {plan.CAPTURED[family]} meta l4proto {{ tcp, udp }} \
th dport {port} {target}"""
    return f"""chain capture {{
        type nat hook prerouting priority dstnat{lines}
    }}"""


def _nft_zone(zone):
    if not zone:
        return ""
    return f"""chain zone_in {{
        type filter hook prerouting priority raw
        iifname {CLIENT_LINK} ct zone set {zone}
    }}
    chain zone_out {{
        type filter hook output priority raw
        oifname {CLIENT_LINK} ct zone set {zone}
    }}"""


def _nft_one_flow(marks):
    """nft has no zone out of a mark, but a map of them."""
    zones = ", ".join(f"{mark} : {mark}" for mark in marks)
    return f"""chain flows {{
        type filter hook output priority raw
        udp dport {plan.PORT} ct original zone set meta mark map {{ {zones} }}
    }}
    chain ports {{
        type nat hook postrouting priority srcnat
        oifname {_NFT_UPSTREAM_LINK} udp dport {plan.PORT} masquerade fully-random
    }}"""
