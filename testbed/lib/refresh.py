# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges questions that refresh a cached answer: prefetches, what follows a stale answer, and what an alias leads to.

Each name is asked twice, by two clients one after the other (bin/clients.py --again). A question
upstream is right with the mark of the client that asked for its name last. It is a refresh where
that client had its answer before the upstream could give one: then the cache had answered.
An alias lasts longer than its target, which alone is asked for again; its name is the alias' without
the label that makes it one.

Pure: the witness's list of questions and the clients' list of waits in, counts out.
"""

import bisect
import collections

import names

MAX_DETAILS = 20
KINDS = ("prefetch", "stale", "alias")
# How long answers last, and when they are asked for again: shortly before their end, or after it.
TTL_SECONDS = {"prefetch": 20, "stale": 2, "alias": 2}
AGAIN_SECONDS = {"prefetch": 19, "stale": 3.5, "alias": 3.5}
VERDICTS = ("right", "wrong", "unmarked")


def directives(kind, mix):
    """The mix of directives, with the TTL that this kind of refresh needs."""
    if not kind:
        return mix
    parts = (part.partition(":") for part in mix.split(","))
    return ",".join(f"{labels}+ttl{TTL_SECONDS[kind]}{colon}{weight}".replace("none+", "")
                    for labels, colon, weight in parts)


def settle(record, kind="stale"):
    """Join what the clients and the witness of a run listed; the lists give way to counts."""
    waits = collections.defaultdict(list)
    for client, name, sent, over in record["clients"].pop("waits"):
        waits[_key(name)].append((sent, over, client))
    for asked in waits.values():
        asked.sort()
    witness, counts, refreshed, details = record["witness"], collections.Counter(), set(), []
    for now, name, _, marks in witness.pop("owned"):
        asked = waits[_key(name)]
        place = bisect.bisect(asked, (now,)) - 1
        _, over, client = asked[place] if place >= 0 else (0, 0, None)
        verdict = _verdict(client, marks)
        again = place > 0 and (b"cnin" not in names.directives(name.encode()) if kind == "alias"
                               else over < now + _least_seconds(name) / 2)
        counts[verdict] += 1
        if again:
            counts[f"refresh_{verdict}"] += 1
            refreshed.add(_key(name))
        if verdict == "wrong" and len(details) < MAX_DETAILS:
            details.append({"name": name.lower(), "expected": client, "seen": marks, "refresh": again})
    witness.update({verdict: counts[verdict] for verdict in VERDICTS}, details=details)
    return {"names": len(refreshed),
            **{verdict: counts[f"refresh_{verdict}"] for verdict in VERDICTS}}


def _key(name):
    """An alias and its target have one."""
    return names.first_label(name.encode())


def _verdict(client, marks):
    if not all(marks):
        return "unmarked"
    return "right" if set(marks) == {client} else "wrong"


def _least_seconds(name):
    """How long the upstream waits before it answers."""
    return names.directives(name.encode()).get(b"dly", 0) / 1000
