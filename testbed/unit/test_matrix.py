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


class Judged(unittest.TestCase):
    """State and figures."""

    def test_past(self):
        """One in a hundred is chance, more are wrong."""
        few = judged(right=900, ancestor_right=200, ancestor_past=2)
        self.assertEqual((few["state"], few["wrong"], few["past"]), ("right", 0, 2))
        many = judged(1, right=900, ancestor_right=200, ancestor_past=3)
        self.assertEqual((many["state"], many["wrong"], many["past"]), ("wrong", 3, 0))
        self.assertEqual(many["questions"], few["questions"] + 1)

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
