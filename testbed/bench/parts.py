# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the time of a query goes: the README's table of what profile found."""

import figures


def table(results):
    """What each part takes more than under the bare resolver, nanoseconds a query."""
    parts = results["parts"]
    lines = ["| resolver, names, load | bare, in all | marks from | more, in all | "
             + " | ".join(parts) + " |", "|---|---|---|---|" + "---|" * len(parts)]
    for profile in results["profiles"]:
        spent = profile["nanoseconds"]
        bare = spent["bare"]
        for name in (name for name in spent if name != "bare"):
            more = [spent[name].get(part, 0) - bare.get(part, 0) for part in parts]
            lines.append(f"| {figures.SHOWN[profile['resolver']]}, {profile['names']}, {figures.load_of(profile)} | "
                         f"{sum(bare.values()):,.0f} | {name} | {round(sum(more)):+,d} | "
                         + " | ".join(f"{round(value):+,d}" for value in more) + " |")
    machines = dict.fromkeys(figures.machine_line(profile) for profile in results["profiles"])
    return "\n".join(lines) + "\n\n" + " ".join(f"{machine}." for machine in machines) + "\n"
