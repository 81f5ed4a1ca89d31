# SPDX-License-Identifier: GPL-2.0-or-later
"""Is a curve flat? Pure: looks at rest in, a verdict out.

A resolver's caches fill at first, and its memory jumps where it loads anew for the first time: neither is a
leak. So the first quarter does not count, and medians are compared: that of the last quarter with that of the
second. What leaks a little with each query has grown by then, by what half of all queries have leaked.
"""

import statistics

LEAST_LOOKS = 8                 # two in each quarter
MEMORY_SHARE, MEMORY_KIB = 0.05, 1024       # what memory may have grown by: the larger of the two
DESCRIPTORS = 2                 # ... and descriptors, which are counted while nothing is under way


class TooFew(Exception):
    """Nothing can be said of so few looks."""


def growth(looks, key):
    """(median of the second quarter, median of the last one)."""
    if len(looks) < LEAST_LOOKS:
        raise TooFew(f"{len(looks)} looks at rest, at least {LEAST_LOOKS} are needed")
    values, quarter = [look[key] for look in looks], len(looks) // 4
    return statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])


def allowed_kib(before, slack=MEMORY_KIB):
    """How much more memory than before is flat."""
    return max(slack, before * MEMORY_SHARE)


def unmet(looks, usual=(), slack=MEMORY_KIB):
    """Reasons why the curves are not flat. Each look: queries, pss_kib, rss_kib, descriptors.

    usual: the looks at the bare resolver. Where it had as many rounds and reloads, what it grew by is its own way:
    unbound takes some more memory with each reload.
    """
    reasons = []
    for key, text in (("pss_kib", "PSS"), ("rss_kib", "RSS")):
        before, after = growth(looks, key)
        most = allowed_kib(before, slack) + (_more(usual, key) if len(usual) == len(looks) else 0)
        if after - before > most:
            reasons.append(f"{text} grew from {before:.0f} to {after:.0f} KiB between the second and the last quarter, "
                           f"more than {most:.0f} KiB: {per_query(looks, key):.1f} octets a query")
    before, after = growth(looks, "descriptors")
    if after - before > DESCRIPTORS:
        reasons.append(f"descriptors at rest grew from {before:.0f} to {after:.0f}, more than {DESCRIPTORS}")
    return reasons


def _more(looks, key):
    before, after = growth(looks, key)
    return max(0, after - before)


def per_query(looks, key):
    """By how many octets a query the medians of the two quarters differ."""
    before, after = growth(looks, key)
    first, last = growth(looks, "queries")
    return (after - before) * 1024 / max(1, last - first)
