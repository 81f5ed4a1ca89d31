# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the library's own counters and its trace say what the witness saw? To the packet.

The witness's questions (--keep-questions) are the truth; connmark-stat's JSON and the trace are what
is judged. What no packet shows (evidence, outcomes) must be the same in both. Client queries are
those that the clients sent.
"""

import collections
import json
import pathlib
import re
import subprocess

STAT = pathlib.Path(__file__).resolve().parents[2] / "build" / "connmark-stat"
STATS_FOLDER, TRACE = "stats", "traced/trace"
SHOWN = 5
PROBE = re.compile(r"ready-(\d+)\.")


def environment(folder):
    """What the resolver is given so that there is something to compare. Makes the places."""
    stats = folder / STATS_FOLDER
    stats.mkdir(exist_ok=True)
    stats.chmod(0o1777)         # some are started as an ordinary user
    trace = folder / TRACE
    trace.parent.mkdir(exist_ok=True)
    trace.parent.chmod(0o1777)  # the resolver makes it as its own user
    return [f"CONNMARK_STATS={stats}", f"CONNMARK_TRACE={trace}",
            "CONNMARK_TRACE_RATE=0"]


def snapshot(folder):
    """connmark-stat's word, while the resolver lives."""
    done = subprocess.run([STAT, "--json", "--directory", folder / STATS_FOLDER], check=True,
                          capture_output=True, timeout=20)
    return json.loads(done.stdout)


def _counted(programs):
    """(queries by mark, queries by reason, counters) of all programs together."""
    marks, reasons, counters = (collections.Counter() for _ in range(3))
    for program in programs:
        counters.update(program["counters"])
        for row in program["marks"]:
            row = dict(row)
            marks[row.pop("mark")] += row.pop("queries")
            reasons.update(row)
    return marks, reasons, counters


def _key(name, qtype, number, mark, encrypted):
    where = () if encrypted else (qtype, number)
    return (name.rstrip(".").lower(), *where, mark)


def _kinds(what, counted, traced):
    """Where a kind of evidence or outcome is not as often in the counters as in the trace."""
    return [f"{what} {kind}: connmark-stat says {counted[kind]}, the trace {traced[kind]}"
            for kind in sorted(set(counted) | set(traced)) if counted[kind] != traced[kind]]


def _clients(clients, probes, counted):
    """Whether each query of the clients was counted, and the last probe: earlier ones may have come
    before the resolver was there."""
    sent = clients["asked"] + clients["resent"] + clients["retried_over_tcp"]
    if sent + 1 <= counted <= sent + probes:
        return []
    return [f"client queries: {counted}, the clients sent {sent} and up to {probes} probes"]


def settle(record, folder, mask):
    """Adds 'account' to the record: what was compared, and what differs.

    In a dry run nothing is marked: the counters and the trace must agree on what would have been.
    """
    dry = any(program["dry_run"] for program in record["stats"])
    asked = record["witness"].pop("questions")
    encrypted = any(qtype is None for _, qtype, _, _ in asked)
    lines = [json.loads(line) for line in (folder / TRACE).read_text(encoding="ascii").splitlines()]
    queries = [line for line in lines
               if line["event"] == "query" and line["outcome"] not in ("dropped", "withheld")]
    seen = collections.Counter(
        _key(name, qtype, number, 0 if dry else marks[0], encrypted)
        for name, qtype, number, marks in asked if marks)
    traced = collections.Counter(
        _key(line["upstream"].get("name", ""), line["upstream"].get("type"),
             line["upstream"].get("id"), 0 if dry else line["packet_mark"] & mask, encrypted)
        for line in queries)
    truth = collections.Counter(line["mark"] & mask for line in queries) if dry else \
        collections.Counter(marks[0] for _, _, _, marks in asked if marks)
    marks, reasons, counters = _counted(record["stats"])
    differs = [f"mark {mark}: connmark-stat says {marks[mark]}, "
               f"{'the trace' if dry else 'the witness'} {truth[mark]}"
               for mark in sorted(set(marks) | set(truth), key=str) if marks[mark] != truth[mark]]
    evidence = collections.Counter(
        "unattributed" if line["evidence"] == "none" else line["evidence"] for line in queries)
    outcomes = collections.Counter(line["outcome"] for line in queries)
    ended = collections.Counter({name.removeprefix("set_").replace("_", "-"): count
                                 for name, count in counters.items() if name.startswith("set_")})
    for name, amounts in (("evidence", reasons), ("outcomes", ended)):
        if sum(amounts.values()) != sum(seen.values()):
            differs.append(f"{name}: {sum(amounts.values())} together, "
                           f"the witness saw {sum(seen.values())}")
    differs += _kinds("evidence", reasons, evidence) + _kinds("outcome", ended, outcomes)
    probes = max((int(found[1]) for name, *_ in asked if (found := PROBE.match(name.lower()))),
                 default=0)
    differs += _clients(record["clients"], probes * (2 if record["life"] else 1),
                        counters["client_queries"])
    differs += [f"not in the trace: {key}" for key in list(seen - traced)[:SHOWN]]
    differs += [f"only in the trace: {key}" for key in list(traced - seen)[:SHOWN]]
    record["account"] = {
        "seen": sum(seen.values()), "counted": sum(marks.values()), "traced": sum(traced.values()),
        "by_mark": {str(mark): count for mark, count in sorted(marks.items(), key=str)},
        "reasons": dict(reasons), "counters": dict(counters), "lines": len(lines),
        "evidence": dict(evidence), "outcomes": dict(outcomes),
        "dropped": sum(line.get("outcome") == "dropped" for line in lines),
        "differs": differs}
