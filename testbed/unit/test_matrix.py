# SPDX-License-Identifier: GPL-2.0-or-later
"""What the matrix makes of testbed/run's JSON: made by hand."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

TESTBED = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTBED / "lib"))
_LOADER = importlib.machinery.SourceFileLoader("matrix", str(TESTBED / "matrix"))
matrix = importlib.util.module_from_spec(importlib.util.spec_from_loader("matrix", _LOADER))
_LOADER.exec_module(matrix)


def judged(status=0, lost=0, **witness):
    """A cell whose bare resolver lost nothing."""
    def run(mode, gone):
        return {"mode": mode, "witness": witness, "clients": {"lost": gone, "failed": 0}}
    return matrix.judged({"runs": [run("bare", 0), run("shimmed", lost)], "broken": [],
                          "missed": []}, status, False)


def cell(resolver, group, state="right", **more):
    """A cell of a report."""
    return {"resolver": resolver, "group": group, "state": state, "shown": False, "column": "none", "questions": 5,
            "right": 5, "wrong": 0, "unmarked": 0, "lost": 0, "bare_lost": 0, **more}


class Published(unittest.TestCase):
    """What readers are shown."""

    def table(self, *cells):
        """Each line as its columns."""
        text = matrix.matrixtable.table({"cells": cells, "queries": 9, "in_flight": 3, "clients": 2,
                                         "started": "2000-01-02 03:04", "kernel": "1.2"})
        lines, self.remarks = text.split("\n\n")
        return [line.strip("| ").split(" | ") for line in lines.splitlines()]

    def test_rows(self):
        """What a resolver cannot do counts neither way; nothing else is left out."""
        rows = self.table(cell("bind", "answers"), cell("bind", "answers", "wrong", wrong=2, lost=4, bare_lost=3),
                          cell("bind", "answers", "unsupported", questions=None, wrong=None),
                          cell("kresd-two", "clients", "unmarked", unmarked=1, questions=2000))
        self.assertEqual(rows[0][:3], ["resolver", "answers", "clients"])
        self.assertEqual(rows[2], ["BIND", "1/2", "–", "10", "2", "0", "1"])
        self.assertEqual(rows[3], ["Knot Resolver, two processes", "–", "0/1", "2,000", "0", "1", "0"])

    def test_shown(self):
        """Cells without an expectation have a share of their own, and no part in the sums."""
        rows = self.table(cell("stubby", "upstream"), cell("stubby", "upstream", "wrong", shown=True, right=3, wrong=2))
        self.assertEqual(rows[2], ["stubby", "1/1", "5", "0", "0", "0"])
        self.assertIn("stubby 60.0 % right", self.remarks)

    def test_place(self):
        """A README without the place, or with two, is left alone."""
        page = "a\n<!-- matrix -->\nold\n<!-- end -->\nb\n"
        self.assertEqual(matrix.readme.put(page, "matrix", "new\n"), page.replace("old", "new"))
        for wrong in ("a", page + page):
            with self.assertRaises(matrix.readme.NoPlace):
                matrix.readme.put(wrong, "matrix", "new\n")

    def test_command(self):
        """No folder of the machine's."""
        self.assertEqual(matrix.told([f"{TESTBED}/run", "--shim", f"{TESTBED.parent}/build/l.so", "--json", "/x", "-v"]),
                         "testbed/run --shim build/l.so -v")


class Judged(unittest.TestCase):
    """State and figures."""

    def test_past(self):
        """The mark of a client that has had its answer is another client's."""
        one = judged(1, right=900, ancestor_right=200, ancestor_past=1)
        self.assertEqual((one["state"], one["wrong"], one["right"]), ("wrong", 1, 1100))

    def test_worst_first(self):
        """A wrong mark outweighs what is lost, and that what is unmarked."""
        self.assertEqual(judged(1, right=9, wrong=1)["state"], "wrong")
        self.assertEqual(judged(1, right=9, syn_wrong=1)["state"], "wrong")
        self.assertEqual(judged(1, lost=2, right=9)["state"], "lost")
        self.assertEqual(judged(1, right=9, unmarked=1)["state"], "unmarked")
        self.assertEqual(judged(1, right=9)["state"], "unmarked")
        self.assertEqual(judged(right=9)["state"], "right")

    def test_nothing_proven(self):
        """What a run's exit status says."""
        self.assertEqual(judged(2, right=9)["state"], "error")
        self.assertEqual(judged(3)["state"], "unsupported")


if __name__ == "__main__":
    unittest.main()
