# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges where questions arrived: each client's at its own upstream, from that uplink's address.

Also whether one mark has one flow: which source ports the upstream saw for each client's questions.
Pure: the upstreams' lists in, counts out.
"""

import collections
import ipaddress

import names
import plan

MAX_DETAILS = 20
COUNTERS = ("home", "astray", "foreign_source")


def settle(record):
    """Take the upstreams' lists out of a run's record; returns the verdict on them."""
    uplinks = len(record["upstreams"])
    counts, ports, details = collections.Counter(), collections.defaultdict(set), []
    for number, upstream in enumerate(record["upstreams"]):
        for protocol, address, port, name in upstream.pop("arrivals", []):
            owner = names.owners(name.encode())
            if owner is None:
                continue
            wanted = {plan.uplink_of(mark, uplinks) for mark in range(owner[0], owner[1] + 1)}
            verdict = _verdict(number, address, wanted)
            counts[protocol, verdict] += 1
            ports[address, port, protocol].add(owner)
            if verdict != "home" and len(details) < MAX_DETAILS:
                details.append({"name": name, "protocol": protocol, "uplink": number,
                                "source": address, "verdict": verdict})
    return {**{f"{protocol}_{verdict}": counts[protocol, verdict]
               for protocol in ("udp", "tcp") for verdict in COUNTERS},
            **_ports(ports), "details": details}


def _verdict(number, address, wanted):
    if number not in wanted:
        return "astray"
    family = ipaddress.ip_address(address).version
    own = plan.UPLINK_FORMATS[number][family].format(plan.RESOLVER_HOST)
    return "home" if address == own else "foreign_source"


def _ports(ports):
    """UDP source ports, and those which served several owners."""
    udp = [owners for (_, _, protocol), owners in ports.items() if protocol == "udp"]
    return {"udp_ports": len(udp), "udp_ports_shared": sum(len(owners) > 1 for owners in udp)}
