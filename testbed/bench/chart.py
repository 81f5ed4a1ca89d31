# SPDX-License-Identifier: GPL-2.0-or-later
"""Charts as SVG, by hand: a scale, a grid, marks with their spread, and words."""

import math
from xml.sax.saxutils import escape

import figures

COLOURS = {"conntrack": "#1f5fa8", "packet": "#c8641b", "own": "#6b7680", "floor": "#8fb4dd", "floor-packet": "#e6b48c"}
LABELS = {"conntrack": "marks from conntrack", "packet": "marks from packets", "own": "dnsmasq --conntrack",
          "floor": "floor, with conntrack", "floor-packet": "floor, with packets"}
INK, GRID = "#222222", "#d9dde1"
FONT = "font-family='sans-serif' font-size='12'"


class Page:
    """Shapes on a white ground."""

    def __init__(self, width, height):
        self.width, self.height, self._shapes = width, height, []

    def line(self, a, b, colour=INK, width=1, dash=""):
        """From point a to point b."""
        self._shapes.append(f"<line x1='{a[0]:.1f}' y1='{a[1]:.1f}' x2='{b[0]:.1f}' y2='{b[1]:.1f}' "
                            f"stroke='{colour}' stroke-width='{width}'{dash and f' stroke-dasharray={dash!r}'}/>")

    def path(self, points, colour, dash=""):
        """A broken line."""
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f"<polyline points='{text}' fill='none' stroke='{colour}' stroke-width='2'"
                            f"{dash and f' stroke-dasharray={dash!r}'}/>")

    def dot(self, at, colour, title=""):
        """A filled circle that says what it is."""
        self._shapes.append(f"<circle cx='{at[0]:.1f}' cy='{at[1]:.1f}' r='4' fill='{colour}'>"
                            f"<title>{escape(title)}</title></circle>")

    def text(self, at, words, anchor="start", colour=INK, turn=0, bold=False):
        """Words; turn: degrees."""
        where = f"x='{at[0]:.1f}' y='{at[1]:.1f}'"
        turned = f" transform='rotate({turn} {at[0]:.1f} {at[1]:.1f})'" if turn else ""
        weight = " font-weight='bold'" if bold else ""
        self._shapes.append(f"<text {where} text-anchor='{anchor}' fill='{colour}'{turned}{weight}>"
                            f"{escape(words)}</text>")

    def svg(self, title):
        """The whole file."""
        return (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width} {self.height}' "
                f"width='{self.width}' height='{self.height}' {FONT} role='img'>\n<title>{escape(title)}</title>\n"
                f"<rect width='100%' height='100%' fill='#ffffff'/>\n" + "\n".join(self._shapes) + "\n</svg>\n")


def ticks(low, high, about=8):
    """Round values from low to high."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [round(step * n, 10) for n in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def load_chart(results):
    """CPU a query against the bare resolver: one line for each cell, one dot for each contender."""
    title = "CPU time per query, relative to the bare resolver (median and quartiles of the rounds)"
    cells = [(cell, [row for row in figures.rows(cell) if row["against"] == "bare" and row["name"] != "bare"])
             for cell in results["cells"]]
    cells = [(cell, rows) for cell, rows in cells if rows]
    left, top, lane = 280, 90, 18
    heights = [lane * len(rows) + 10 for _, rows in cells]
    page = Page(920, top + sum(heights) + 70)
    values = [value for _, rows in cells for row in rows for value in (row["first"], row["third"])] or [1]
    low, high = min(0.96, *values) - 0.01, max(1.12, *values) + 0.02
    right = page.width - 70

    def across(value):
        return left + (value - low) / (high - low) * (right - left)

    page.text((20, 24), title, bold=True)
    for number, name in enumerate(COLOURS):
        column, line = 26 + 190 * (number % 3), 44 + 20 * (number // 3)
        page.dot((column, line), COLOURS[name])
        page.text((column + 10, line + 4), LABELS[name])
    page.line((600, 38), (600, 50), INK, 2)
    page.text((608, 48), "at most wanted")
    bottom = top + sum(heights)
    for value in ticks(low, high):
        page.line((across(value), top), (across(value), bottom), INK if value == 1 else GRID)
        page.text((across(value), bottom + 16), f"{value:.2f}", "middle")
    page.text(((left + right) / 2, bottom + 36), "CPU time per query / bare resolver's in the same round", "middle")
    page.text((20, bottom + 58), figures.machine_line(results))
    y = top
    for (cell, rows), height in zip(cells, heights):
        threads = f"{cell['threads']} thread{'s' if cell['threads'] > 1 else ''}"
        page.line((20, y), (right + 50, y), GRID)
        page.text((20, y + height / 2 + 4), f"{figures.SHOWN[cell['resolver']]}, {cell['names']}"
                  + (f", {figures.load_of(cell)}" if cell["rate"] else ""))
        page.text((left - 12, y + height / 2 + 4), threads if cell["resolver"] != "dnsmasq" else "", "end")
        for number, row in enumerate(rows):
            middle, colour = y + 5 + lane * (number + 0.5), COLOURS[row["name"]]
            if row["wanted"]:
                page.line((across(row["wanted"]), middle - 7), (across(row["wanted"]), middle + 7), INK, 2)
            page.line((across(row["first"]), middle), (across(row["third"]), middle), colour, 2)
            page.dot((across(row["ratio"]), middle), colour, f"{LABELS[row['name']]}: {row['ratio']:.3f}")
            page.text((right + 50, middle + 4), f"{row['ratio']:.3f}", "end", colour)
        y += height
    return page.svg(title)


SERIES = ("#1f5fa8", "#c8641b", "#3d7d4f", "#8a3d7a", "#6b7680")


def core_chart(results):
    """Nanoseconds an event over the number of names that wait."""
    title = "The core: cost of one event while names wait"
    lines = figures.series(results)
    left, top, right, bottom = 70, 50, 560, 380
    page = Page(920, 450)
    most = 1.15 * max(each["quartiles"][1] for _, those in lines for each in those)
    least_log, most_log = 3, 6

    def at(each, value=None):
        across = left + (math.log10(each["waiting"]) - least_log) / (most_log - least_log) * (right - left)
        return across, bottom - (each["nanoseconds"] if value is None else value) / most * (bottom - top)

    page.text((20, 24), title, bold=True)
    for power in range(least_log, most_log + 1):
        x = at({"waiting": 10 ** power, "nanoseconds": 0})[0]
        page.line((x, top), (x, bottom), GRID)
        page.text((x, bottom + 16), f"{10 ** power:,}", "middle")
    for value in ticks(0, most, 6):
        y = bottom - value / most * (bottom - top)
        page.line((left, y), (right, y), INK if value == 0 else GRID)
        page.text((left - 8, y + 4), f"{value:g}", "end")
    page.text(((left + right) / 2, bottom + 38), "client queries that wait (logarithmic)", "middle")
    page.text((22, (top + bottom) / 2), "nanoseconds an event", "middle", turn=-90)
    for number, (name, those) in enumerate(lines):
        colour = SERIES[number % len(SERIES)]
        page.path([at(each) for each in those], colour)
        for each in those:
            page.line(at(each, each["quartiles"][0]), at(each, each["quartiles"][1]), colour, 2)
            page.dot(at(each), colour, f"{name}, {each['waiting']:,} waiting: {each['nanoseconds']:.0f} ns")
        page.dot((right + 24, top + 10 + 22 * number), colour)
        page.text((right + 34, top + 14 + 22 * number), name)
    page.text((20, 436), figures.machine_line(results))
    return page.svg(title)
