# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix as one HTML page that needs nothing else: a grid with a row for each resolver."""

import html
import itertools

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #667; --line: #d8dce4; --page: #f6f7fa;
  --card: #fff; --right: #1f9d63; --right-ink: #fff; --wrong: #c8312b; --missing: #e0a021;
  --lost: #8a4fc7; --error: #5b6472; --none: #e7eaf0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --faint: #98a2b3; --line: #2b3340;
  --page: #11151b; --card: #1a2029; --right: #1c8053; --none: #262e3a; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1500px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
p { max-width: 75ch; } .faint { color: var(--faint); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 26px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 18px; min-width: 108px; }
.tile b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 12px; padding: 14px; margin-bottom: 18px; }
table { border-collapse: separate; border-spacing: 3px; }
th { font-weight: 500; text-align: left; white-space: nowrap; }
thead th.way { height: 170px; vertical-align: bottom; padding: 0; }
thead th.way span { writing-mode: vertical-rl; transform: rotate(180deg); font-size: 13px; }
thead th.group { border-bottom: 2px solid var(--line); font-size: 12px; color: var(--faint);
  text-transform: uppercase; letter-spacing: .06em; padding-bottom: 3px; }
tbody th { padding-right: 14px; position: sticky; left: 0; background: var(--card); }
td { width: 50px; min-width: 50px; height: 38px; border-radius: 6px; text-align: center;
  font-size: 13px; font-variant-numeric: tabular-nums; color: var(--right-ink); cursor: default; }
td small { display: block; font-size: 10px; opacity: .85; line-height: 1; }
td.right { background: var(--right); } td.wrong { background: var(--wrong); }
td.unmarked { background: var(--missing); color: #222; } td.lost { background: var(--lost); }
td.error { background: var(--error); }
td.unsupported, td.absent { background: var(--none); color: var(--faint); }
td.shown { opacity: .62; }
.key td { width: 26px; min-width: 26px; height: 20px; } .key { margin-top: 16px; font-size: 14px; }
details { margin-top: 24px; } summary { cursor: pointer; font-weight: 600; }
.list { border-spacing: 0; margin-top: 10px; font-size: 13px; }
.list th, .list td { all: revert; text-align: right; padding: 3px 10px;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
.list td.text, .list th.text { text-align: left; }
"""

_KEY = (("right", "every question has the mark of a client that waits for it"),
        ("wrong", "questions with another client's mark"),
        ("unmarked", "questions without a mark, or too few of them"),
        ("lost", "clients got fewer answers than from the bare resolver"),
        ("error", "nothing was proven"),
        ("unsupported", "the resolver cannot do this; the list below says why"))

_COLUMNS = ("questions", "right", "wrong", "unmarked", "syn_right", "syn_wrong", "syn_missing",
            "lost", "bare_lost", "seconds")


def _text(value):
    return html.escape(str(value), quote=True)


def _cell(result):
    """One coloured square."""
    if result is None:
        return '<td class="absent"></td>'
    state = result["state"]
    tip = _text("\n".join([f"{result['resolver']}: {result['title']}", result["command"],
                           *result["reasons"], *filter(None, [result["remark"]])]))
    figures = {"right": result["right"], "unmarked": result["unmarked"], "wrong": result["wrong"],
               "lost": (result["lost"] or 0) - (result["bare_lost"] or 0)}
    words = {"right": "", "wrong": "wrong", "unmarked": "bare", "lost": "lost"}
    if state == "unsupported":
        inner = "–"
    elif state == "error":
        inner = "?"
    else:
        inner = f"{figures[state]}<small>{words[state]}</small>"
    return f'<td class="{state}{" shown" * result["shown"]}" title="{tip}">{inner}</td>'


def _grid(results, columns):
    """The table of squares of one set of columns."""
    groups_shown = {column.group for column in columns}
    results = [one for one in results if one["group"] in groups_shown]
    columns = [column for column in columns
               if any(one["column"] == column.key for one in results)]
    if not results:
        return ""
    by_place = {(one["resolver"], one["column"]): one for one in results}
    groups = [(name, len(list(members)))
              for name, members in itertools.groupby(columns, lambda column: column.group)]
    head = "".join(f'<th class="group" colspan="{size}">{_text(name)}</th>'
                   for name, size in groups)
    ways = "".join(f'<th class="way"><span>{_text(column.title)}</span></th>'
                   for column in columns)
    rows = []
    for resolver in dict.fromkeys(one["resolver"] for one in results):
        squares = "".join(_cell(by_place.get((resolver, column.key))) for column in columns)
        rows.append(f"<tr><th>{_text(resolver)}</th>{squares}</tr>")
    return (f'<div class="scroll"><table><thead><tr><th></th>{head}</tr><tr><th></th>{ways}</tr>'
            f"</thead><tbody>{''.join(rows)}</tbody></table></div>")


def _tiles(results):
    """The sums that a reader looks for first."""
    def total(name):
        return sum(one[name] or 0 for one in results)

    bound = [one for one in results if not one["shown"] and one["state"] != "unsupported"]
    met, run = sum(one["state"] == "right" for one in bound), len(bound)
    tiles = [(f"{met} of {run}", "cells as they must be"), (total("questions"), "questions seen"),
             (total("wrong"), "with another client's mark"),
             (total("unmarked"), "without a mark"),
             (sum(max(0, (one["lost"] or 0) - (one["bare_lost"] or 0)) for one in results),
              "lost against bare")]
    return "".join(f'<div class="tile"><b>{_text(figure)}</b>{_text(word)}</div>'
                   for figure, word in tiles)


def _list(results):
    """Every figure, for who wants to know."""
    head = "".join(f"<th>{_text(name.replace('_', ' '))}</th>" for name in _COLUMNS)
    rows = []
    for one in results:
        figures = "".join(f"<td>{'' if one[name] is None else _text(one[name])}</td>"
                          for name in _COLUMNS)
        said = "; ".join([*one["reasons"], *filter(None, [one["remark"]])])
        rows.append(f'<tr><td class="text">{_text(one["resolver"])}</td>'
                    f'<td class="text">{_text(one["title"])}</td>{figures}'
                    f'<td class="text">{_text(said)}</td></tr>')
    return (f'<table class="list"><thead><tr><th class="text">resolver</th>'
            f'<th class="text">cell</th>{head}<th class="text">remarks</th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>")


def page(report, sets):
    """The whole page as text; each set of columns is a table of its own."""
    results = report["cells"]
    grids = "".join(_grid(results, columns) for columns in sets)
    key = "".join(f'<tr><td class="{state}"></td><th>{_text(words)}</th></tr>'
                  for state, words in _KEY)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>libconnmarkshim: the matrix</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>
<body><main><h1>Whose mark did each upstream question have?</h1>
<p class="faint">{_text(report["started"])} · Linux {_text(report["kernel"])} ·
{_text(report["queries"])} queries a cell, {_text(report["in_flight"])} in flight, from
{_text(report["clients"])} clients · judged from the packets that the firewall logged. A square's
number counts the upstream questions of its colour.</p>
<div class="tiles">{_tiles(results)}</div>
{grids}
<table class="key">{key}</table>
<p class="faint">Paler squares have no expectation: their figures are shown as they are.</p>
<details><summary>All figures</summary><div class="scroll">{_list(results)}</div></details>
</main></body></html>
"""
