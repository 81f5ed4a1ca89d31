"""Do the library's own counters and its trace say what the witness saw? To the packet.

The witness's questions (--keep-questions) are the truth; connmark-stat's JSON and the trace are what
is judged.
"""

import collections
import json
import pathlib
import subprocess

STAT = pathlib.Path(__file__).resolve().parents[2] / "build" / "connmark-stat"
STATS_FOLDER, TRACE = "stats", "trace"
SHOWN = 5


def environment(folder):
    """What the resolver is given so that there is something to compare. Makes the places."""
    stats = folder / STATS_FOLDER
    stats.mkdir(exist_ok=True)
    stats.chmod(0o1777)         # some are started as an ordinary user
    trace = folder / TRACE
    trace.touch()
    trace.chmod(0o666)          # the resolver opens it as its own user
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


def settle(record, folder, mask):
    """Adds 'account' to the record: what was compared, and what differs."""
    encrypted = any(qtype is None for _, qtype, _, _ in record["witness"]["questions"])
    seen = collections.Counter(
        _key(name, qtype, number, mark, encrypted)
        for name, qtype, number, marks in record["witness"].pop("questions") for mark in marks[:1])
    lines = [json.loads(line) for line in (folder / TRACE).read_text(encoding="ascii").splitlines()]
    traced = collections.Counter(
        _key(line["upstream"].get("name", ""), line["upstream"].get("type"),
             line["upstream"].get("id"), line["packet_mark"] & mask, encrypted)
        for line in lines if line["event"] == "query" and "packet_mark" in line)
    marks, reasons, counters = _counted(record["stats"])
    seen_marks = collections.Counter()
    for key, count in seen.items():
        seen_marks[key[-1]] += count
    differs = [f"mark {mark}: the witness saw {seen_marks[mark]}, connmark-stat says {marks[mark]}"
               for mark in sorted(set(marks) | set(seen_marks), key=str)
               if marks[mark] != seen_marks[mark]]
    for name, amount in (("evidence", sum(reasons.values())),
                         ("outcomes", sum(n for key, n in counters.items()
                                          if key.startswith("set_")))):
        if amount != sum(seen.values()):
            differs.append(f"{name}: {amount} together, the witness saw {sum(seen.values())}")
    differs += [f"not in the trace: {key}" for key in list(seen - traced)[:SHOWN]]
    differs += [f"only in the trace: {key}" for key in list(traced - seen)[:SHOWN]]
    record["account"] = {
        "seen": sum(seen.values()), "counted": sum(marks.values()), "traced": sum(traced.values()),
        "by_mark": {str(mark): count for mark, count in sorted(marks.items(), key=str)},
        "reasons": dict(reasons), "counters": dict(counters),
        "evidence": dict(collections.Counter(line["evidence"] for line in lines
                                             if line["event"] == "query")),
        "outcomes": dict(collections.Counter(line["outcome"] for line in lines
                                             if line["event"] == "query")),
        "differs": differs}
