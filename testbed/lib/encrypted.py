# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges the marks of DNS over TLS, whose questions the witness cannot read.

The upstream decrypts record by record and says which bytes of which connection carried which
question; the witness says which mark each of these bytes left with. Joined, each question's right
mark is known, however many share a connection or a segment.

A SYN, and records that carry no question (the handshake), are right with the mark of any client
that waits at that moment. Pure: lists in, counts out.
"""

import collections
import ipaddress

import names

GRACE_SECONDS = 0.1         # the witness's clock is read a little after the packet left
MAX_DETAILS = 50
COUNTERS = ("record_right", "record_unmarked", "record_stale")      # without a question


class Watch:
    """What left on each encrypted connection: the SYN's mark, and a mark for each run of bytes."""

    def __init__(self):
        self._current = {}
        self.connections = []

    def segment(self, mark, packet, syn, now):
        """One TCP segment."""
        known = self._current.get(packet.connection)
        sequence = packet.sequence
        if syn:
            sequence = (sequence + 1) & 0xFFFFFFFF
            if not known or known["first"] != sequence:
                known = self._open(packet, mark, sequence, now)
        if known and packet.payload:
            start = (sequence - known["first"]) & 0xFFFFFFFF
            known["segments"].append((start, start + len(packet.payload), mark, now))

    def _open(self, packet, mark, first, now):
        known = {"source": str(ipaddress.ip_address(packet.source)), "port": packet.source_port,
                 "first": first, "syn_mark": mark, "time": now, "segments": []}
        self._current[packet.connection] = known
        self.connections.append(known)
        return known


class _Waits:
    """Who waited when."""

    def __init__(self, waits):
        self._waits = waits

    def has(self, mark, now):
        """Whether that client waited for something."""
        return any(client == mark and sent <= now <= over + GRACE_SECONDS
                   for client, _, sent, over in self._waits)


def settle(record):
    """Join the lists of a run; they give way to counts in the witness's verdict."""
    waits = _Waits(record["clients"].pop("waits"))
    witness = record["witness"]
    counts = collections.Counter(dict.fromkeys(COUNTERS, 0))
    seen = _in_order(witness.pop("encrypted"))
    for place, connections in _in_order(record["upstream"].pop("encrypted")).items():
        for number, connection in enumerate(connections):
            outside = seen[place][number] if number < len(seen[place]) else None
            if outside is None:
                counts["unreadable"] += 1
                continue
            _connection(counts, connection["questions"], outside, waits)
            _details(witness.setdefault("details", []), connection["questions"], outside)
            if "questions" in witness:          # for account.py; type and ID are not known here
                witness["questions"] += [(name, None, None, _marks(outside, start, end))
                                         for start, end, name in connection["questions"]]
    witness.update({name: witness.get(name, 0) + count for name, count in counts.items()})


def _marks(outside, start, end):
    """The marks of all segments that carried some of these bytes."""
    return [mark for first, last, mark, _ in outside["segments"] if first < end and start < last]


def _details(details, questions, outside):
    """The first questions with another client's mark, for who looks for the reason."""
    for start, end, name in questions:
        owner, marks = names.owners(name.encode()), _marks(outside, start, end)
        if owner and len(details) < MAX_DETAILS and _verdict(owner, marks) == "wrong":
            details.append({"name": name, "expected": list(owner), "seen": marks,
                            "transport": "tls", "source_port": outside["port"], "bytes": start})


def _in_order(connections):
    """The connections of each source address and port, the oldest first."""
    found = collections.defaultdict(list)
    for connection in connections:
        found[connection["source"], connection["port"]].append(connection)
    return found


def _connection(counts, questions, outside, waits):
    owned = [(start, end, names.owners(name.encode())) for start, end, name in questions]
    if any(owner for _, _, owner in owned):
        _syn(counts, outside, waits)
    for start, end, owner in owned:
        marks = _marks(outside, start, end)
        if owner is None:
            counts["other_marked" if any(marks) else "other_zero"] += 1
        elif not marks:
            counts["unreadable"] += 1           # read by the upstream, not seen by the witness
        else:
            counts[_verdict(owner, marks)] += 1
            counts["tls_questions"] += 1
    for first, last, mark, now in outside["segments"]:
        if not any(first < end and start < last for start, end, _ in owned):
            counts[_without_question(mark, now, waits)] += 1


def _syn(counts, outside, waits):
    mark = outside["syn_mark"]
    counts["syn_marked" if mark else "syn_unmarked"] += 1
    if not mark:
        counts["syn_missing"] += 1
    else:
        counts["syn_right" if waits.has(mark, outside["time"]) else "syn_wrong"] += 1


def _verdict(owner, marks):
    """The worst of all the segments that carried a question."""
    if any(mark and not owner[0] <= mark <= owner[1] for mark in marks):
        return "wrong"
    return "right" if all(marks) else "unmarked"


def _without_question(mark, now, waits):
    if not mark:
        return "record_unmarked"
    return "record_right" if waits.has(mark, now) else "record_stale"
