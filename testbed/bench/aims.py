# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures are meant to be, and whether they are: the README's table."""

import statistics

import figures

HEADING = ("| figure | at most | load all | its floor | at a rate | its floor | |\n"
           "|---|---|---|---|---|---|---|")
LARGE_TABLE = 100_000       # CONNMARK_TABLE from which on a table has room for a million names
READS = 2 / 4               # an event: of four, two look in a table for what is not there yet, and in memory at the least once


def _verdict(value, wanted, floor):
    """Of one load."""
    if value <= wanted:
        return "reached"
    return "the floor is higher" if floor is not None and floor > wanted else "not reached"


def _row(label, wanted, pairs, form="{:.2f}"):
    """pairs: (value, its floor), or None, for load all and at a rate."""
    verdicts = [pair and _verdict(pair[0], wanted, pair[1]) for pair in pairs]
    shown = ["–" if number is None else form.format(number) for pair in pairs for number in (pair or (None, None))]
    if verdicts[1] is None or verdicts[0] == verdicts[1]:
        verdict = verdicts[0]
    else:
        verdict = f"{verdicts[0]}; at the rate {verdicts[1]}"
    return f"| {label} | {form.format(wanted)} | " + " | ".join(shown) + f" | {verdict} |"


def _middle(cell, contender, against="bare"):
    return statistics.median(figures.ratios(cell, contender, against)) if contender in cell["samples"] else None


def _cells(results, resolver, names):
    """Of one thread: load all, and at a rate; None where there is none."""
    found = [cell for cell in results["cells"] if cell["resolver"] == resolver and cell["names"] == names
             and cell["threads"] == 1]
    return (next((cell for cell in found if not cell["rate"]), None),
            next((cell for cell in found if cell["rate"]), None))


def _ratio_rows(results):
    floor_of = {source: floor for floor, source in figures.FLOORS.items()}
    for (resolver, names, source), wanted in figures.WANTED.items():
        cells = _cells(results, resolver, names)
        if cells[0]:
            yield _row(f"{figures.SHOWN[resolver]}, {names}, {source}", wanted,
                       [cell and (_middle(cell, source), _middle(cell, floor_of[source])) for cell in cells], "{:.3f}")
    cells = _cells(results, "dnsmasq", "uncached")
    if cells[0]:
        yield _row("dnsmasq, uncached, conntrack, against its own `--conntrack`", figures.AGAINST_OWN,
                   [cell and (_middle(cell, "conntrack", "own"),
                              _middle(cell, "floor", "own") if "floor" in cell["samples"] else None)
                    for cell in cells], "{:.3f}")


def _rest_rows(results):
    for rest in results["rest"]:
        ours, bare = (figures.calls_made(rest["calls"][name])[0] for name in ("conntrack", "bare"))
        name = figures.SHOWN[rest["resolver"]]
        yield _row(f"{name}, system calls added to a cached query", figures.CALLS_ADDED, [(ours - bare, None), None])
        yield _row(f"{name}, MiB added when idle", figures.IDLE_ADDED,
                   [(figures.idle_added(rest, "conntrack") / 1024, None), None], "{:.1f}")
    for grown in results["growth"]:
        more = [(ours - bare) / 1024 for ours, bare in zip(grown["resident"]["conntrack"], grown["resident"]["bare"])]
        yield _row(f"{figures.SHOWN[grown['resolver']]}, MiB added after {len(more)} million queries, less those after 1",
                   figures.GROWN, [(more[-1] - more[0], None), None], "{:.1f}")


def _core_rows(results):
    ends = {}
    for name, points in figures.series(results):
        if points[0]["threads"] == 1 and points[0]["table"] >= LARGE_TABLE and len(points) > 1:
            few, most = (points[end]["nanoseconds"] for end in (0, -1))
            ends[points[0]["zones"]] = most
            yield _row(f"core, an event among {points[-1]['waiting']:,} names against one among {points[0]['waiting']:,}, "
                       f"{name}", figures.CORE_GROWTH,
                       [(most / few, 1 + READS * results["memory_read"] / few), None])
    if len(ends) > 1:
        yield _row("core, an event among most names, all beneath one zone against many", figures.ONE_ZONE,
                   [(ends[min(ends)] / ends[max(ends)], None), None])


def table(load, core):
    """All of it, from what load and scale found."""
    return "\n".join([HEADING, *_ratio_rows(load), *_rest_rows(load), *_core_rows(core)]) + "\n"
