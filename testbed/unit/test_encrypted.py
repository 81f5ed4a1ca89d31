# SPDX-License-Identifier: GPL-2.0-or-later
"""DNS over TLS: what the upstream read and what the witness saw, joined."""

import unittest

import support

encrypted = support.library("encrypted")
A, B = "m137-000001.shim.example.net", "m138-000002.shim.example.net"


def record(questions, segments, syn_mark=137, waits=((137, A, 0, 9), (138, B, 0, 9))):
    """A run with one connection, settled; returns the witness's verdict."""
    place = {"source": "192.168.222.1", "port": 4000}
    made = {"clients": {"waits": list(waits)},
            "upstream": {"encrypted": [{**place, "questions": questions}]},
            "witness": {"encrypted": [{**place, "syn_mark": syn_mark, "time": 1.0, "first": 1,
                                       "segments": segments}]}}
    encrypted.settle(made)
    return made["witness"]


class Settle(unittest.TestCase):
    """The verdict on each question, SYN and record."""

    def test_each_question_has_its_own_bytes(self):
        verdict = record([(100, 200, A), (200, 300, B)],
                         [(100, 200, 137, 1.0), (200, 300, 138, 1.0)])
        self.assertEqual((verdict["right"], verdict.get("wrong", 0)), (2, 0))

    def test_one_segment_has_one_mark(self):
        verdict = record([(100, 200, A), (200, 300, B)], [(100, 300, 137, 1.0)])
        self.assertEqual((verdict["right"], verdict["wrong"]), (1, 1))

    def test_the_worst_segment_counts(self):
        verdict = record([(100, 200, A)], [(100, 150, 137, 1.0), (150, 200, 0, 1.0)])
        self.assertEqual((verdict.get("right", 0), verdict["unmarked"]), (0, 1))

    def test_a_question_nobody_saw_is_no_proof(self):
        self.assertEqual(record([(100, 200, A)], [])["unreadable"], 1)

    def test_a_connection_nobody_saw_is_no_proof(self):
        made = {"clients": {"waits": []}, "witness": {"encrypted": []}, "upstream": {"encrypted": [
            {"source": "192.168.222.1", "port": 1, "questions": [(0, 1, A)]}]}}
        encrypted.settle(made)
        self.assertEqual(made["witness"]["unreadable"], 1)

    def test_the_syn_belongs_to_one_who_waits(self):
        for mark, counter in ((137, "syn_right"), (138, "syn_right"), (139, "syn_wrong"),
                              (0, "syn_missing")):
            self.assertEqual(record([(9, 20, A)], [(9, 20, 137, 1.0)], mark)[counter], 1)

    def test_the_handshake_is_judged_by_who_waits(self):
        for mark, counter in ((138, "record_right"), (139, "record_stale"), (0, "record_unmarked")):
            verdict = record([(9, 20, A)], [(0, 9, mark, 1.0), (9, 20, 137, 1.0)])
            self.assertEqual(verdict[counter], 1)


if __name__ == "__main__":
    unittest.main()
