# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges the questions of a recursing resolver whose names spell no mark.

A question for an ancestor that clients share (a top-level domain, a shared zone, a name server of
several zones) is right with the mark of any client that waits just then for something which leads
to it. That goes for the root's DNSKEY too, which every validated answer needs; the rest of the
root's own business, and what is asked while nobody waits, must be unmarked.

Pure: the witness's list of questions and the clients' list of waits in, counts out.
"""

import collections

import dnswire
import tree

# A busy machine sets a thread aside between its decision and its packet, while another thread answers the client: with
# six runs side by side on two processors, in 350000 decisions 13 times, and for 17.6 ms at most.
GRACE_SECONDS = 0.03
DOUBT_SECONDS = 0.03        # a busy resolver reads a client's question a little after it was sent
ANSWERED_SECONDS = 10       # what comes so soon after a client's answer is still its doing
MAX_DETAILS = 50
COUNTERS = (
    "ancestor_right",       # a client's mark that waits beneath the name
    "ancestor_late",        # a client's mark that had its answer a moment before; nobody waits
    "ancestor_past",        # likewise, though others wait: one of theirs would have been right
    "ancestor_wrong",       # another mark
    "ancestor_unmarked",    # no mark, though somebody waits beneath
    "background_marked",    # a mark on what no client caused
    "background_unmarked")


class Waits:
    """Who waited when for what."""

    def __init__(self, waits):
        self._possible = collections.defaultdict(list)
        self._certain = collections.defaultdict(list)
        answered = {}                   # the zones with a long TTL: when they were known
        for client, name, sent, over in sorted(waits, key=lambda wait: wait[3]):
            name = name.encode().lower()
            zone = tree.zones(name)[-1]
            for ancestor in _ancestors(tree.closure(name)):
                self._possible[ancestor].append((client, sent, over))
            for ancestor in _ancestors(_evident(name, answered.get(zone.name, sent) < sent)):
                self._certain[ancestor].append((client, sent, over))
            if zone.ttl > tree.TTL:
                answered.setdefault(zone.name, over)

    def possible(self, name, left, after=GRACE_SECONDS):
        """Whose question may lead to the name, or to what lies beneath it; or did a moment ago.

        left: the question was sent between these two moments.
        """
        earliest, latest = left
        return {client for client, sent, over in self._possible.get(name, ())
                if sent <= latest and earliest <= over + after}

    def certain(self, name, left):
        """Likewise, but only who waited without doubt all that time, and where the resolver could tell."""
        earliest, latest = left
        return {client for client, sent, over in self._certain.get(name, ())
                if sent + DOUBT_SECONDS <= earliest and latest <= over - GRACE_SECONDS}


def _evident(name, zone_known):
    """What a question leads to before any answer to it: not yet where a CNAME goes, nor which name
    servers a new zone has, unless they lie in the zone itself."""
    way = tree.zones(name)
    return {name, *(server for zone in way[1:] for server in zone.nameservers
                    if zone.glue or (zone_known and zone is way[-1]))}


def _ancestors(closure):
    """All the names of a closure and all that lie above them."""
    found = {b""}
    for name in closure:
        while name and name not in found:
            found.add(name)
            name = name.partition(b".")[2]
    return found


def _subject(name):
    """The name that a question is about: BIND asks `_.example` for what is at `example`."""
    name = name.lower().encode()
    return name[2:] if name.startswith(b"_.") else name


def verdict(waits, left, name, marks, qtype=None):
    """The counter that one question belongs to, which was sent between two moments."""
    subject, marks = _subject(name), {mark for mark in marks if mark}
    validates = not subject and qtype == dnswire.DNSKEY
    if tree.is_background(subject) and not validates:
        return "background_marked" if marks else "background_unmarked"
    certain = waits.certain(subject, left)
    if not marks:
        return "ancestor_unmarked" if certain else "background_unmarked"
    if marks <= waits.possible(subject, left):
        return "ancestor_right"
    lately = waits.possible(subject, left, ANSWERED_SECONDS)
    if marks <= lately:
        return "ancestor_past" if certain else "ancestor_late"
    return "ancestor_wrong" if lately else "background_marked"


def settle(record):
    """Join what the clients and the witness of a run listed; the lists give way to counts."""
    waits = Waits(record["clients"].pop("waits"))
    witness = record["witness"]
    counts = collections.Counter(dict.fromkeys(COUNTERS, 0))
    details = []
    for left, name, qtype, marks in witness.pop("others"):
        kind = verdict(waits, left, name, marks, qtype)
        counts[kind] += 1
        if qtype in (dnswire.DS, dnswire.DNSKEY):
            text = f"{'root ' * (not name)}{dnswire.TYPE_NAMES[qtype]} {kind}"
            witness["validation"][text] = witness["validation"].get(text, 0) + 1
        if kind not in ("ancestor_right", "background_unmarked") and len(details) < MAX_DETAILS:
            details.append({"verdict": kind, "time": left, "name": name, "marks": marks,
                            "qtype": dnswire.TYPE_NAMES.get(qtype, qtype)})
    witness.update(counts)
    witness["ancestor_details"] = details
