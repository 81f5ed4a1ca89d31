# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging what has no owner of its own: shared ancestors and the root's own business."""

import unittest

import support

recursion = support.library("recursion")


class Verdicts(unittest.TestCase):
    """One client, 137, waits from second 10 to 20, another, 138, from 30 to 40."""

    def setUp(self):
        self.waits = recursion.Waits([
            (137, "m137-000001.cnout.z-m137-1.p0.lab", 10.0, 20.0),
            (138, "m138-000002.f-m138-2.p0.lab", 30.0, 40.0)])

    def verdict(self, now, name, mark):
        """What becomes of one question."""
        return recursion.verdict(self.waits, (now, now), name, [mark])

    def test_right_while_it_waits(self):
        for name in ("lab", "p0.lab", "P0.Lab", "_.lab", "ns.p0.lab", "a.nic.lab", "nic.lab",
                     "out.farm", "farm", "ns.out.farm"):
            self.assertEqual(self.verdict(15, name, 137), "ancestor_right", name)

    def test_another_mark_is_wrong(self):
        self.assertEqual(self.verdict(15, "p0.lab", 138), "ancestor_wrong")
        self.assertEqual(self.verdict(15, "p0.lab", 99), "ancestor_wrong")

    def test_ones_own_shared_server(self):
        self.assertEqual(self.verdict(35, "s2.host.farm", 138), "ancestor_right")
        self.assertEqual(self.verdict(15, "s2.host.farm", 137), "background_marked")

    def test_unmarked(self):
        self.assertEqual(self.verdict(15, "lab", 0), "ancestor_unmarked")
        self.assertEqual(self.verdict(5, "lab", 0), "background_unmarked")
        self.assertEqual(self.verdict(10.001, "lab", 0), "background_unmarked")

    def test_after_the_answer(self):
        self.assertEqual(self.verdict(25, "lab", 137), "ancestor_late")
        self.assertEqual(self.verdict(31, "lab", 137), "ancestor_wrong")
        self.waits = recursion.Waits([(137, "m137-1.z-m137-1.p0.lab", 10.0, 20.0),
                                      (138, "m138-2.z-m138-2.p0.lab", 21.0, 40.0)])
        self.assertEqual(self.verdict(25, "p0.lab", 137), "ancestor_past")

    def test_a_witness_that_was_late(self):
        """What counts is whether the client waited at any moment at which the packet may have left."""
        self.waits = recursion.Waits([(137, "m137-1.z-m137-1.p0.lab", 10.0, 20.0),
                                      (138, "m138-2.z-m138-2.p0.lab", 15.0, 40.0)])
        for left, mark, kind in (((20.02, 25), 137, "ancestor_right"),
                                 ((20.04, 25), 137, "ancestor_past"),
                                 ((14, 14.9), 138, "ancestor_wrong"),
                                 ((14, 15.1), 138, "ancestor_right"),
                                 ((9, 9.9), 0, "background_unmarked"),
                                 ((9, 39), 0, "background_unmarked"),
                                 ((16, 39), 0, "ancestor_unmarked")):
            self.assertEqual(recursion.verdict(self.waits, left, "p0.lab", [mark]), kind, left)

    def test_what_no_answer_has_shown_yet_is_not_certain(self):
        for name in ("out.farm", "farm"):
            self.assertEqual(self.verdict(15, name, 0), "background_unmarked")
        self.assertEqual(self.verdict(15, "ns.p0.lab", 0), "ancestor_unmarked")

    def test_a_cached_zone_has_known_servers(self):
        asked = [(137, "m137-000001.d-m137-0.lab", 10.0, 20.0),
                 (137, "m137-000002.d-m137-0.lab", 30.0, 40.0)]
        self.waits = recursion.Waits(asked)
        self.assertEqual(self.verdict(15, "s0.host.farm", 0), "background_unmarked")
        self.assertEqual(self.verdict(35, "s0.host.farm", 0), "ancestor_unmarked")
        self.assertEqual(self.verdict(15, "s0.host.farm", 137), "ancestor_right")

    def test_background(self):
        for name in ("", "a.rootns", "rootns", "_ta-4f66"):
            self.assertEqual(self.verdict(15, name, 0), "background_unmarked")
            self.assertEqual(self.verdict(15, name, 137), "background_marked")

    def test_the_roots_key_is_for_whoever_waits(self):
        for now, mark, kind in ((15, 137, "ancestor_right"), (15, 138, "ancestor_wrong"),
                                (15, 0, "ancestor_unmarked"), (5, 0, "background_unmarked"),
                                (5, 137, "background_marked")):
            self.assertEqual(recursion.verdict(self.waits, (now, now), "", [mark], 48), kind)
        self.assertEqual(recursion.verdict(self.waits, (15, 15), "", [137], 2), "background_marked")

    def test_settle_turns_lists_into_counts(self):
        record = {"clients": {"waits": [(137, "m137-1.z-m137-1.p0.lab", 10.0, 20.0)]},
                  "witness": {"others": [((15, 15), "lab", 1, [137]),
                                         ((15, 15), "p0.lab", 28, [0])]}}
        recursion.settle(record)
        self.assertEqual(record["clients"], {})
        self.assertEqual((record["witness"]["ancestor_right"],
                          record["witness"]["ancestor_unmarked"]), (1, 1))
        self.assertEqual(record["witness"]["ancestor_details"][0]["qtype"], "AAAA")


if __name__ == "__main__":
    unittest.main()
