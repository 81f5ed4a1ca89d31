# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix as a table for the README: a line for each resolver, a column for each group of cells."""

_NAMES = {"dnsmasq": "dnsmasq", "unbound": "unbound", "bind": "BIND", "kresd": "Knot Resolver",
          "pdns-recursor": "PowerDNS Recursor", "smartdns": "smartdns", "dnsdist": "dnsdist",
          "stubby": "stubby", "systemd-resolved": "systemd-resolved", "pdns": "PowerDNS Recursor"}
_VARIANTS = {"two": "two processes", "reuseport": "`reuseport`", "recursing": "from the root"}
_FIGURES = ("questions", "wrong", "unmarked")


def _name(resolver):
    """unbound-recursing: unbound, from the root."""
    for ending, words in _VARIANTS.items():
        stem = resolver.removesuffix(f"-{ending}")
        if stem != resolver:
            return f"{_NAMES.get(stem, stem)}, {words}"
    return _NAMES.get(resolver, resolver)


def _row(cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _met(cells):
    """How many of a group's cells are what they must be; those that the resolver cannot do left out."""
    bound = [one for one in cells if not one["shown"] and one["state"] != "unsupported"]
    return f"{sum(one['state'] == 'right' for one in bound)}/{len(bound)}" if bound else "–"


def _lost(one):
    return max(0, (one["lost"] or 0) - (one["bare_lost"] or 0))


def table(report):
    """Markdown."""
    cells = report["cells"]
    groups = list(dict.fromkeys(one["group"] for one in cells))
    text = _row(("resolver", *groups, *_FIGURES, "lost"))
    text += _row(("---", *["---"] * (len(groups) + len(_FIGURES) + 1)))
    for resolver in dict.fromkeys(one["resolver"] for one in cells):
        own = [one for one in cells if one["resolver"] == resolver]
        judged = [one for one in own if not one["shown"]]
        text += _row((_name(resolver), *(_met([one for one in own if one["group"] == group]) for group in groups),
                      *(f"{sum(one[name] or 0 for one in judged):,}" for name in _FIGURES),
                      sum(_lost(one) for one in judged)))
    return text + _remarks(report)


def _remarks(report):
    """What the figures mean, and those without an expectation."""
    shown = [one for one in report["cells"] if one["shown"] and one["questions"] and one["column"] != "tlsfirst"]
    text = (f"\nCells that are what they must be, by kind; then, of all their upstream questions (a cell is "
            f"{report['queries']} client queries, {report['in_flight']} in flight, of {report['clients']} clients): "
            f"those with another client's mark, and those with none; and answers lost against bare. "
            f"{report['started'][:10]}, Linux {report['kernel']}.")
    if shown:
        text += (" Shown without an expectation: DNS over TLS, everything at once, "
                 + "; ".join(_share(one) for one in shown) + ".")
    return text + "\n"


def _share(one):
    return f"{_name(one['resolver'])} {100 * one['right'] / one['questions']:.1f} % right"
