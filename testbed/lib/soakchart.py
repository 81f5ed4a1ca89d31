# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak's curves as SVG: memory and descriptors over the client queries, one row for each resolver."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "bench"))

# pylint: disable=wrong-import-position
import chart

WIDTH, ROW, LEFT, GAP, TOP = 920, 230, 60, 90, 74
PANEL = (WIDTH - LEFT - GAP - 40) // 2
PANELS = (("pss_kib", "PSS, MiB", 1024), ("descriptors", "descriptors", 1))
COLOURS = {"shimmed": "#1f5fa8", "bare": "#6b7680", "load": "#b9cde4"}


def draw(report):
    """The whole chart."""
    page = chart.Page(WIDTH, TOP + ROW * len(report["resolvers"]) + 24)
    title = "Memory and descriptors over the client queries"
    page.text((20, 24), title, bold=True)
    for number, (key, words) in enumerate((("shimmed", "at rest, under the library"), ("load", "under load"),
                                           ("bare", "at rest, bare"))):
        page.dot((26 + 220 * number, 44), COLOURS[key])
        page.text((36 + 220 * number, 48), words)
    for row, one in enumerate(report["resolvers"]):
        top = TOP + ROW * row
        page.text((20, top + 6), f"{one['resolver']}: {one['shimmed']['clients']['asked']:,} queries", bold=True)
        for column, (key, unit, scale) in enumerate(PANELS):
            _panel(page, one, (LEFT + column * (PANEL + GAP), top + 32), key, unit, scale)
    page.text((20, page.height - 10), report["machine"])
    return page.svg(title)


def _panel(page, one, corner, key, unit, scale):
    left, top = corner
    right, bottom = left + PANEL, top + ROW - 84
    curves = [("load", one["shimmed"]["soak"]["samples"])]
    if one["bare"]:
        curves.append(("bare", one["bare"]["soak"]["looks"]))
    curves.append(("shimmed", one["shimmed"]["soak"]["looks"]))
    widest = max(point["queries"] for _, points in curves for point in points)
    most = 1.1 * max(point[key] / scale for _, points in curves for point in points)

    def at(point):
        return (left + point["queries"] / widest * (right - left),
                bottom - point[key] / scale / most * (bottom - top))

    for value in chart.ticks(0, most, 4):
        y = bottom - value / most * (bottom - top)
        page.line((left, y), (right, y), chart.INK if value == 0 else chart.GRID)
        page.text((left - 8, y + 4), f"{value:g}", "end")
    for value in chart.ticks(0, widest, 5):
        x = left + value / widest * (right - left)
        page.line((x, top), (x, bottom), chart.GRID)
        page.text((x, bottom + 16), f"{value:,.0f}", "middle")
    page.text((left, top - 4), unit)
    for name, points in curves:
        page.path([at(point) for point in points], COLOURS[name])
