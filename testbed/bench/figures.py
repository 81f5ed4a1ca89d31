# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians, their spread, and the tables that show them."""

import os
import pathlib
import re
import statistics
import textwrap

WANTED = {      # CPU a query against the bare resolver, at most
    ("unbound", "uncached", "conntrack"): 1.10, ("dnsmasq", "uncached", "conntrack"): 1.10,
    ("bind", "uncached", "conntrack"): 1.08, ("pdns", "uncached", "conntrack"): 1.08,
    ("unbound", "cached", "conntrack"): 1.02, ("dnsmasq", "cached", "conntrack"): 1.02,
    ("bind", "cached", "conntrack"): 1.02,
    **{(resolver, "uncached", "packet"): 1.03 for resolver in ("unbound", "dnsmasq", "bind", "pdns")},
    **{(resolver, "cached", "packet"): 1.02 for resolver in ("unbound", "dnsmasq", "bind")},
}
FLOORS = {"floor": "conntrack", "floor-packet": "packet"}     # contenders, and where their marks come from
AGAINST_OWN = 0.80      # dnsmasq under the library, against its own --conntrack
CALLS_ADDED = 0.02      # system calls to a cached query: none, but for what happens now and then
IDLE_ADDED = 2          # MiB
GROWN = 0.5             # MiB more than bare, over millions of queries: none, as far as a resolver's own memory is steady
CORE_GROWTH = 2         # an event among a million names that wait, against one among a thousand
ONE_ZONE = 1.05         # the same with all names beneath one zone, against many: no worse, as far as it is known
WAITS = ("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect6")
ORDER = ("unbound", "bind", "pdns", "dnsmasq")
SHOWN = {"unbound": "unbound", "bind": "BIND", "pdns": "PowerDNS Recursor", "dnsmasq": "dnsmasq"}
HEADING = (f"{'resolver':9}{'threads':>8}  {'names':9}{'load':>9}  {'contender':16}{'CPU/query':>11}{'ratio':>8}"
           f"{'quartiles':>16}{'wanted':>8}{'queries/s':>11}{'ratio':>8}")


def order(cell):
    """Sorts cells."""
    return ORDER.index(cell["resolver"]), cell["threads"], cell["names"], cell["rate"]


def replace(entries, entry, keys):
    """A newer result takes the older one's place."""
    entries[:] = [old for old in entries if any(old[key] != entry[key] for key in keys)] + [entry]


def load_of(cell):
    """How many queries there are for it to answer."""
    return f"{cell['rate']:,}/s" if cell["rate"] else "all"


def quartiles(values):
    """(first, median, third)"""
    if len(values) < 2:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def ratios(cell, contender, against="bare", column=0):
    """Round by round."""
    return [one[column] / other[column]
            for one, other in zip(cell["samples"][contender], cell["samples"][against])]


def median(cell, contender, column=0):
    """Of one contender's own figures."""
    return statistics.median(sample[column] for sample in cell["samples"][contender])


def rows(cell):
    """One record for each contender, and for dnsmasq the library against its own."""
    pairs = [(name, "bare") for name in cell["samples"]]
    if "own" in cell["samples"]:
        pairs += [(name, "own") for name in cell["samples"] if name in ("conntrack", "packet")]
    for name, against in pairs:
        first, middle, third = quartiles(ratios(cell, name, against))
        wanted = WANTED.get((cell["resolver"], cell["names"], name)) if against == "bare" else \
            AGAINST_OWN if cell["names"] == "uncached" and name == "conntrack" else None
        yield {"name": name, "against": against, "nanoseconds": median(cell, name), "first": first,
               "ratio": middle, "third": third, "wanted": wanted, "rate": median(cell, name, 1),
               "rate_ratio": statistics.median(ratios(cell, name, against, 1))}


def cell_lines(cell):
    """A cell as lines of text."""
    for row in rows(cell):
        label = row["name"] if row["against"] == "bare" else f"{row['name']} / {row['against']}"
        ratio, spread = (f"{row['ratio']:8.3f}", f"{row['first']:.3f} – {row['third']:.3f}") \
            if row["name"] != "bare" else (f"{'1':>8}", "")
        wanted = f"{'<=' if row['ratio'] <= row['wanted'] else '> '}{row['wanted']:.2f}" if row["wanted"] else ""
        yield (f"{cell['resolver']:9}{cell['threads']:8}  {cell['names']:9}{load_of(cell):>9}  {label:16}"
               f"{row['nanoseconds']:8.0f} ns"
               f"{ratio}{spread:>16}{wanted:>8}{row['rate']:11.0f}{row['rate_ratio']:8.3f}")


def rest_lines(rest):
    """Memory and system calls as lines of text."""
    for name, calls in rest["calls"].items():
        query, wait, every = calls_made(calls)
        yield (f"{rest['resolver']:9}{name:16}{query:7.2f} system calls a cached query, {wait:.2f} more an event wait: "
               f"{every:.2f} in all")
    for name, values in rest["idle"].items():
        yield (f"{rest['resolver']:9}{name:16}{statistics.median(values):7.0f} KiB idle, "
               f"{idle_added(rest, name):+.0f}")


def calls_made(calls):
    """
    (calls that did something, a query; calls that found nothing or set up a wait, an event wait; all, a query).

    How often a resolver waits depends on when queries come; what it does for each of them, and for each wait, does not.
    """
    waits = sum(calls.get(name, [0])[0] for name in WAITS)
    all_of_them = sum(count for count, _ in calls.values())
    failed = sum(failures for _, failures in calls.values())
    control = calls.get("epoll_ctl", [0])[0]
    return all_of_them - waits - failed - control, (failed + control) / waits, all_of_them


def idle_added(rest, name):
    """KiB more than bare, of an idle resolver."""
    return statistics.median(rest["idle"][name]) - statistics.median(rest["idle"]["bare"])


def grown_more(grown):
    """(MiB more than bare, after each million queries; does the resolver's own memory grow?)"""
    bare = grown["resident"]["bare"]
    return ([(ours - alone) / 1024 for ours, alone in zip(grown["resident"]["conntrack"], bare)],
            bare[-1] > 1.1 * bare[0])


def growth_lines(grown):
    """Memory after each million of queries."""
    for name, values in grown["resident"].items():
        yield f"{grown['resolver']:9}{name:16}KiB after each million queries: {' '.join(map(str, values))}"


# ---- Markdown ----

def machine():
    """Where it was measured."""
    found = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"),
                      re.MULTILINE)
    return {"cpu": found[1] if found else os.uname().machine, "cpus": os.cpu_count(),
            "kernel": os.uname().release}


def machine_line(results):
    """The same as a sentence."""
    where = results["machine"]
    return f"{where['cpu']}, {where['cpus']} processors, Linux {where['kernel']}"


def _ratio(row):
    return f"{row['ratio']:.3f} ({row['first']:.3f} – {row['third']:.3f})" if row else "–"


def _folded(sentences):
    """Paragraphs of the README's width."""
    return "".join(textwrap.fill(sentence, 120, break_on_hyphens=False) + "\n" for sentence in sentences)


def load_table(results):
    """CPU a query against bare: the README's table."""
    lines = ["| resolver | threads | names | load | bare, CPU a query | conntrack | its floor | packet | its floor | "
             "its own `--conntrack` |", "|---|---|---|---|---|---|---|---|---|---|"]
    for cell in results["cells"]:
        against_bare = {row["name"]: row for row in rows(cell) if row["against"] == "bare"}
        lines.append(f"| {SHOWN[cell['resolver']]} | {cell['threads']} | {cell['names']} | {load_of(cell)} | "
                     f"{against_bare['bare']['nanoseconds'] / 1000:.2f} µs | "
                     + " | ".join(_ratio(against_bare.get(name))
                                  for name in ("conntrack", "floor", "packet", "floor-packet", "own")) + " |")
    rounds = [len(cell["samples"]["bare"]) for cell in results["cells"]]
    measured = [f"Ratios to the bare resolver: medians of {min(rounds)} rounds, and quartiles. {machine_line(results)}."] \
        if rounds else []
    return "\n".join(lines) + "\n\n" + _folded([" ".join(
        [*measured, *_against_own(results), *_idle(results), *_calls(results), *_growth(results)])])


def _against_own(results):
    for cell in results["cells"]:
        for row in rows(cell):
            if row["against"] == "own" and row["name"] == "conntrack" and cell["names"] == "uncached":
                yield (f"dnsmasq under the library against dnsmasq `--conntrack`, uncached, load {load_of(cell)}: "
                       f"{_ratio(row)}.")


def _idle(results):
    added = [f"{SHOWN[rest['resolver']]} {idle_added(rest, 'conntrack') / 1024:.1f}" for rest in results["rest"]]
    if added:
        yield f"MiB of memory added to an idle resolver: {', '.join(added)}."


def _calls(results):
    calls = []
    for rest in results["rest"]:
        ours, bare = (calls_made(rest["calls"][name]) for name in ("conntrack", "bare"))
        calls.append(f"{SHOWN[rest['resolver']]} {ours[0]:.2f} ({ours[1]:.2f}) and {bare[0]:.2f} ({bare[1]:.2f})")
    if calls:
        yield ("System calls for a cached query (and for each event wait besides), under the library and bare: "
               f"{', '.join(calls)}.")


def _growth(results):
    grown = []
    for each in results["growth"]:
        more, grows = grown_more(each)
        still = " (its own cache still grows)" if grows else ""
        grown.append(f"{SHOWN[each['resolver']]} {more[0]:.1f} and {more[-1]:.1f}{still}")
    if grown:
        millions = len(results["growth"][0]["resident"]["bare"])
        yield (f"MiB more than bare after 1 and {millions} million queries, a quarter of them for new names: "
               f"{', '.join(grown)}.")


# ---- the core ----

def series(results):
    """[(name, [points by names waiting])], of the points that have only that in common."""
    found = {}
    for each in results["points"]:
        if each["clients"] != 1000:
            continue
        name = (f"beneath {each['zones']:,} zone{'s' if each['zones'] > 1 else ''}, "
                f"{each['threads']} thread{'s' if each['threads'] > 1 else ''}"
                + (", default table" if each["table"] < 100_000 else ""))
        found.setdefault(name, []).append(each)
    return [(name, sorted(those, key=lambda each: each["waiting"])) for name, those in found.items()]


def _by_event(results):
    """What each event costs among fewest and most names."""
    for name, points in series(results)[:1]:
        each = ", ".join(f"{event.replace('_', ' ')} {few:.0f} and {points[-1]['events'][event]:.0f} ns"
                         for event, few in points[0]["events"].items())
        yield f"{name[0].upper()}{name[1:]}, among {points[0]['waiting']:,} and {points[-1]['waiting']:,}: {each}. "


def core_table(results):
    """Nanoseconds an event, by names waiting."""
    columns = sorted({each["waiting"] for each in results["points"] if each["clients"] == 1000})
    lines = ["| names that wait | " + " | ".join(f"{n:,}" for n in columns) + " | most to fewest |",
             "|---|" + "---|" * (len(columns) + 1)]
    for name, those in series(results):
        by_waiting = {each["waiting"]: each["nanoseconds"] for each in those}
        last = f"{those[-1]['nanoseconds'] / those[0]['nanoseconds']:.2f}" if len(those) > 1 else "–"
        lines.append(f"| {name} | " + " | ".join(
            f"{by_waiting[n]:.0f} ns" if n in by_waiting else "–" for n in columns) + f" | {last} |")
    by_clients = ", ".join(f"{each['clients']:,} client{'s' if each['clients'] > 1 else ''} {each['nanoseconds']:.0f} ns"
                           for each in results["points"] if each["clients"] != 1000)
    waiting = next((each["waiting"] for each in results["points"] if each["clients"] != 1000), 0)
    return "\n".join(lines) + "\n\n" + _folded([
        "Nanoseconds that an event takes its thread, medians; the table has room for a million names, but in the last line. "
        + "".join(_by_event(results)) + f"A read from memory {results['memory_read']:.0f} ns. "
        + (f"{waiting:,} names of {by_clients}. " if by_clients else "") + f"{machine_line(results)}."])
