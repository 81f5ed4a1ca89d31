# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows the conntrack entries of upstream queries: does each keep one mark for its whole life?

`conntrack -E` says every change; its lines go in, a verdict comes out.
"""

import collections
import re

import plan
from daemons import wait_until

# Every event of an entry with a question, from the first packet on; the id tells entries apart.
WATCH = ["conntrack", "-E", "-p", "udp", "--dport", str(plan.PORT), "-e", "NEW,UPDATES,DESTROY",
         "-o", "id", "--buffer-size", str(8 << 20)]
MAX_DETAILS = 20
START_SECONDS = 10

_EVENT = re.compile(r"\[(NEW|UPDATE|DESTROY)\]")
_FIELD = re.compile(r"([\w-]+)=(\S+)")


def await_watch(watch, network):
    """Wait until the events come: flows that mean nothing else are made until one is seen."""
    def seen():
        network.run(network.resolver, "conntrack", "-I", "-p", "udp", "-s", "192.0.2.1", "-d",
                    "192.0.2.2", "--sport", "9", "--dport", str(plan.PORT), "-t", "1")
        network.run(network.resolver, "conntrack", "-D", "-s", "192.0.2.1")
        return watch.check() and watch.out_path.stat().st_size
    wait_until(seen, START_SECONDS, "conntrack's events")


def judge(text, upstreams):
    """The verdict on the events of entries towards these addresses.

    Entries of unmarked queries (health checks, the probe's) are only counted.
    """
    marks, ports = collections.defaultdict(list), {}
    for line in text.splitlines():
        found = _EVENT.search(line)
        fields = _FIELD.findall(line)
        first = dict(reversed(fields))              # of the original direction, where named twice
        if not found or first.get("dst") not in upstreams:
            continue
        seen = marks[first["id"]]
        mark = int(first.get("mark", 0))
        if mark or found.group(1) == "NEW":
            seen.append(mark)
        reply = dict(fields)                        # the reply's: what is on the wire
        ports[first["id"]] = reply.get("dst"), reply.get("dport")
    return _verdict(marks, ports)


def _verdict(marks, ports):
    marked = {entry: seen for entry, seen in marks.items() if any(seen)}
    changed = {entry: seen for entry, seen in marked.items() if len(set(seen)) > 1}
    per_port = collections.defaultdict(set)
    for entry, seen in marked.items():
        per_port[ports[entry]] |= set(seen)
    return {"entries": len(marked), "entries_changed": len(changed),
            "marks": len({mark for seen in marked.values() for mark in seen if mark}),
            "unmarked_entries": len(marks) - len(marked),
            "ports": len(per_port), "ports_shared": sum(len(seen) > 1 for seen in per_port.values()),
            "details": [{"entry": entry, "marks": seen[:10]}
                        for entry, seen in list(changed.items())[:MAX_DETAILS]]}
