"""The resolver's firewall: marks for clients, the saved connmark, and the witness's log rule.

Both rule sets count what they log, so that the witness can be checked against the kernel.
"""

import json
import re

import plan
from netlab import CLIENT_LINK, UPSTREAM_LINK

RULE_SETS = ("iptables", "nft-ct")
_WATCHED = (("udp", plan.PORT), ("tcp", plan.PORT), ("tcp", plan.TLS_PORT))
_NFT_WATCHED = ", ".join(f"{protocol} . {port}" for protocol, port in _WATCHED)
_COUNTED_LOG = re.compile(r"\[(\d+):\d+\] -A OUTPUT .*-j NFLOG")


def install(network, rules, marks, redirect):
    """Load the rule set into the resolver's namespace."""
    def load(argv, text):
        network.run(network.resolver, *argv, text=text)

    if rules == "iptables":
        for family, restore in ((4, "iptables-restore"), (6, "ip6tables-restore")):
            load([restore], _iptables(family, marks, redirect))
    else:
        load(["nft", "-f", "-"], _nft(marks, redirect))


def logged(network, rules):
    """How many packets the log rules have seen since they were loaded."""
    def output(*argv):
        return network.run(network.resolver, *argv)

    if rules == "iptables":
        saved = [output(save, "-c", "-t", "mangle")
                 for save in ("iptables-save", "ip6tables-save")]
        return sum(int(count) for text in saved for count in _COUNTED_LOG.findall(text))
    listed = json.loads(output("nft", "-j", "list", "chain", "inet", "connmark", "output"))
    return sum(part["counter"]["packets"] for entry in listed["nftables"] if "rule" in entry
               for part in entry["rule"]["expr"] if "counter" in part)


def _iptables(family, marks, redirect):
    lines = ["*mangle", "-A PREROUTING -j CONNMARK --restore-mark"]
    lines += [f"-A PREROUTING -m mark --mark 0 -s {plan.client_address(mark, family)} "
              f"-j MARK --set-mark {mark}" for mark in marks]
    lines += ["-A PREROUTING -j CONNMARK --save-mark",
              "-A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark"]
    lines += [f"-A OUTPUT -o {UPSTREAM_LINK} -p {protocol} --dport {port} -j NFLOG "
              f"--nflog-group {plan.NFLOG_GROUP} --nflog-size 65535 "
              f"--nflog-threshold {plan.NFLOG_THRESHOLD}" for protocol, port in _WATCHED]
    lines.append("COMMIT")
    if redirect:
        lines.append("*nat")
        lines += [f"-A PREROUTING -i {CLIENT_LINK} -d {plan.CAPTURED[family]} -p {protocol} "
                  f"--dport {plan.PORT} -j REDIRECT --to-ports {plan.PORT}"
                  for protocol in ("udp", "tcp")]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def _nft(marks, redirect):
    """Connmarks only: no packet of a client ever has a mark of its own."""
    maps = {family: ", ".join(f"{plan.client_address(mark, family)} : {mark}" for mark in marks)
            for family in (4, 6)}
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
        oifname {UPSTREAM_LINK} meta l4proto . th dport {{ {_NFT_WATCHED} }} counter {_NFT_LOG}
    }}
    {_nft_redirect() if redirect else ""}
}}
"""


_NFT_LOG = (f"log group {plan.NFLOG_GROUP} snaplen 65535 "
            f"queue-threshold {plan.NFLOG_THRESHOLD}")


def _nft_redirect():
    return f"""chain capture {{
        type nat hook prerouting priority dstnat
        iifname {CLIENT_LINK} ip daddr {plan.CAPTURED[4]} meta l4proto {{ tcp, udp }} \
th dport {plan.PORT} redirect to :{plan.PORT}
        iifname {CLIENT_LINK} ip6 daddr {plan.CAPTURED[6]} meta l4proto {{ tcp, udp }} \
th dport {plan.PORT} redirect to :{plan.PORT}
    }}"""
