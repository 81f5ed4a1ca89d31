# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures are meant to be, and whether they are: the README's table."""

import figures

HEADING = ("| figure | at most | load all | its floor | at a rate | its floor | |\n"
           "|---|---|---|---|---|---|---|")
LARGE_TABLE = 100_000       # CONNMARK_TABLE from which on a table has room for a million names


def _verdict(value, wanted, floor):
    """Of one load, as it is shown; floor: quartiles. That the floor is higher is said where three rounds of four say it."""
    if round(value, 3) <= wanted:
        return "reached"
    return "the floor is higher" if floor and floor[0] > wanted else "not reached"


def _row(label, wanted, pairs, form="{:.2f}", verdict=None):
    """pairs: (value, quartiles of its floor or None), or None, for load all and at a rate."""
    verdicts = [pair and _verdict(pair[0], wanted, pair[1]) for pair in pairs]
    shown = [form.format(number) if number is not None else "–"
             for pair in pairs for number in ((pair[0], pair[1] and pair[1][1]) if pair else (None, None))]
    if not verdict:
        verdict = verdicts[0] or "–"
        if verdicts[1] and verdicts[1] != verdicts[0]:
            verdict += f"; at the rate {verdicts[1]}"
    return f"| {label} | {form.format(wanted)} | " + " | ".join(shown) + f" | {verdict} |"


def _quartiles(cell, contender, against="bare"):
    return figures.quartiles(figures.ratios(cell, contender, against)) if contender in cell["samples"] else None


def _pair(cell, contender, floor, against="bare"):
    """For _row; None where it was not measured."""
    measured = cell and _quartiles(cell, contender, against)
    return measured and (measured[1], _quartiles(cell, floor, against))


def _cells(results, resolver, names):
    """Of one thread: load all, and at a rate; None where there is none."""
    found = [cell for cell in results["cells"] if cell["resolver"] == resolver and cell["names"] == names
             and cell["threads"] == 1]
    return (next((cell for cell in found if not cell["rate"]), None),
            next((cell for cell in found if cell["rate"]), None))


def _ratio_rows(results):
    floor_of = {source: floor for floor, source in figures.FLOORS.items()}
    rows = [(f"{figures.SHOWN[resolver]}, {names}, {source}", wanted, (resolver, names), (source, floor_of[source]))
            for (resolver, names, source), wanted in figures.WANTED.items()]
    rows.append(("dnsmasq, uncached, conntrack, against its own `--conntrack`", figures.AGAINST_OWN,
                 ("dnsmasq", "uncached"), ("conntrack", "floor", "own")))
    for label, wanted, which, contenders in rows:
        pairs = [_pair(cell, *contenders) for cell in _cells(results, *which)]
        if any(pairs):
            yield _row(label, wanted, pairs, "{:.3f}")


def _rest_rows(results):
    for rest in results["rest"]:
        ours, bare = (figures.calls_made(rest["calls"][name])[0] for name in ("conntrack", "bare"))
        name = figures.SHOWN[rest["resolver"]]
        yield _row(f"{name}, system calls added to a cached query", figures.CALLS_ADDED, [(ours - bare, None), None])
        yield _row(f"{name}, MiB added when idle", figures.IDLE_ADDED,
                   [(figures.idle_added(rest, "conntrack") / 1024, None), None], "{:.1f}")
    for grown in results["growth"]:
        more, grows = figures.grown_more(grown)
        yield _row(f"{figures.SHOWN[grown['resolver']]}, MiB added after {len(more)} million queries, less those after 1",
                   figures.GROWN, [(more[-1] - more[0], None), None], "{:.1f}",
                   "its own memory grows: not known" if grows else None)


def _core_rows(results):
    ends = {}
    for name, points in figures.series(results):
        if points[0]["threads"] == 1 and points[0]["table"] >= LARGE_TABLE and len(points) > 1:
            ends[points[0]["zones"]] = points[-1]["nanoseconds"]
            yield _row(f"core, an event among {points[-1]['waiting']:,} names against one among {points[0]['waiting']:,}, "
                       f"{name}", figures.CORE_GROWTH,
                       [(points[-1]["nanoseconds"] / points[0]["nanoseconds"], None), None])
    if len(ends) > 1:
        yield _row("core, an event among most names, all beneath one zone against many", figures.ONE_ZONE,
                   [(ends[min(ends)] / ends[max(ends)], None), None])


def table(load, core):
    """All of it, from what load and scale found."""
    return "\n".join([HEADING, *_ratio_rows(load), *_rest_rows(load), *_core_rows(core)]) + "\n"
