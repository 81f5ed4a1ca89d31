# SPDX-License-Identifier: GPL-2.0-or-later
"""The judge of the witness: which mark is right for which packet."""

import unittest

import support

dnswire = support.library("dnswire")
judge = support.library("judge")

SYN = 0x02


def query(name, ident=1):
    """A query for an address."""
    return dnswire.build_query(ident, name.encode(), dnswire.A)


class Datagrams(unittest.TestCase):
    """UDP over both families."""

    def verdict(self, mark, name, **addresses):
        """What the judge counts for one datagram."""
        bench = judge.Judge()
        bench.packet(mark, support.udp(query(name), **addresses))
        return {name for name in ("right", "wrong", "unmarked", "other_zero", "other_marked")
                if bench.counts[name]}

    def test_own_mark(self):
        self.assertEqual(self.verdict(137, "m137-000001.shim.example.net"), {"right"})

    def test_case_does_not_matter(self):
        self.assertEqual(self.verdict(137, "M137-000001.sHiM.eXample.net"), {"right"})

    def test_foreign_mark(self):
        self.assertEqual(self.verdict(138, "m137-000001.shim.example.net"), {"wrong"})

    def test_no_mark(self):
        self.assertEqual(self.verdict(0, "m137-000001.shim.example.net"), {"unmarked"})

    def test_any_of_a_group(self):
        for mark, expected in ((139, "wrong"), (140, "right"), (143, "right"), (144, "wrong"),
                               (0, "unmarked")):
            self.assertEqual(self.verdict(mark, "any140to143-7.shim.example.net"), {expected})

    def test_names_without_owner(self):
        self.assertEqual(self.verdict(0, "_.shim.example.net"), {"other_zero"})
        self.assertEqual(self.verdict(9, "shim.example.net"), {"other_marked"})
        self.assertEqual(self.verdict(9, "m137.shim.example.net"), {"other_marked"})
        self.assertEqual(self.verdict(0, ""), {"other_zero"})

    def test_ipv6(self):
        self.assertEqual(self.verdict(1, "m137-1.shim.example.net", source="fd00:222::1",
                                      target="fd00:222::2"), {"wrong"})

    def test_details_of_a_wrong_one(self):
        bench = judge.Judge()
        bench.packet(138, support.udp(query("m137-000001.shim.example.net")))
        detail = bench.result()["details"][0]
        self.assertEqual((detail["name"], detail["qtype"], detail["expected"], detail["seen"],
                          detail["source_port"]),
                         ("m137-000001.shim.example.net", "A", 137, 138, support.SOURCE_PORT))

    def test_mask(self):
        bench = judge.Judge(mask=0xFF)
        bench.packet(0xAB00 + 137, support.udp(query("m137-000001.shim.example.net")))
        self.assertEqual(bench.counts["right"], 1)

    def test_rubbish_is_counted(self):
        bench = judge.Judge()
        for packet in (b"", b"\x45", support.udp(b"short"), support.ip_packet(17, b""),
                       support.ip_packet(1, b"12345678")):
            bench.packet(0, packet)
        self.assertEqual(bench.counts["unreadable"], 5)


class Streams(unittest.TestCase):
    """TCP: framing, order, and the SYN's own mark."""

    def setUp(self):
        self.bench = judge.Judge()
        self.first = dnswire.framed(query("m137-000001.shim.example.net"))
        self.second = dnswire.framed(query("m138-000002.shim.example.net"))

    def send(self, mark, sequence, payload=b"", **how):
        """One segment."""
        self.bench.packet(mark, support.tcp(sequence, payload, **how))

    def seen(self, *names):
        """Some of the counters."""
        return tuple(self.bench.counts[name] for name in names)

    def test_marked_connection(self):
        self.send(137, 99, flags=SYN)
        self.send(137, 100)
        self.send(137, 100, self.first)
        self.assertEqual(self.seen("right", "syn_right", "syn_marked", "bare_marked"), (1, 1, 1, 1))

    def test_syn_of_another_client(self):
        self.send(138, 99, flags=SYN)
        self.send(137, 100, self.first)
        self.assertEqual(self.seen("right", "syn_wrong", "syn_right"), (1, 1, 0))

    def test_unmarked_syn(self):
        self.send(0, 99, flags=SYN)
        self.send(137, 100, self.first)
        self.assertEqual(self.seen("right", "syn_missing", "syn_unmarked"), (1, 1, 1))

    def test_syn_counts_against_the_first_question_only(self):
        self.send(137, 99, flags=SYN)
        self.send(137, 100, self.first)
        self.send(138, 100 + len(self.first), self.second)
        self.assertEqual(self.seen("right", "syn_right", "syn_wrong"), (2, 1, 0))

    def test_fast_open(self):
        self.send(137, 99, self.first, flags=SYN)
        self.assertEqual(self.seen("right", "syn_right"), (1, 1))

    def test_connection_without_its_syn(self):
        self.send(137, 5000, self.first)
        self.assertEqual(self.seen("right", "syn_right", "syn_wrong", "syn_missing"), (1, 0, 0, 0))

    def test_two_questions_in_a_segment(self):
        self.send(137, 100, self.first + self.second)
        self.assertEqual(self.seen("right", "wrong", "wrong_shared"), (1, 1, 1))

    def test_wrong_for_both_in_a_segment(self):
        self.send(139, 100, self.first + self.second)
        self.assertEqual(self.seen("wrong", "wrong_shared"), (2, 0))

    def test_question_in_pieces(self):
        self.send(137, 100, self.first[:1])
        self.send(137, 101, self.first[1:9])
        self.send(137, 109, self.first[9:] + self.second[:5])
        self.assertEqual(self.seen("right", "wrong"), (1, 0))
        self.send(138, 100 + len(self.first) + 5, self.second[5:])
        self.assertEqual(self.seen("right", "wrong"), (1, 1))

    def test_one_unmarked_piece(self):
        self.send(137, 100, self.first[:2])
        self.send(0, 102, self.first[2:])
        self.assertEqual(self.seen("right", "unmarked"), (0, 1))

    def test_repeated_and_reordered(self):
        self.send(137, 99, flags=SYN)
        self.send(138, 100 + len(self.first), self.second)
        self.send(137, 100, self.first)
        self.send(137, 100, self.first)
        self.assertEqual(self.seen("right", "wrong", "tcp_repeated"), (2, 0, 1))

    def test_sequence_numbers_wrap(self):
        self.send(137, 0xFFFFFFFA, flags=SYN)
        self.send(137, 0xFFFFFFFB, self.first)
        self.send(138, 0xFFFFFFFB + len(self.first), self.second)
        self.assertEqual(self.seen("right", "wrong"), (2, 0))

    def test_reused_port(self):
        for mark, start, frame in ((137, 99, self.first), (138, 5099, self.second)):
            self.send(mark, start, flags=SYN)
            self.send(mark, start + 1, frame)
        self.assertEqual(self.seen("right", "syn_right"), (2, 2))

    def test_connections_do_not_mix(self):
        self.send(137, 100, self.first[:5], port=1)
        self.send(138, 100, self.second, port=2)
        self.send(137, 105, self.first[5:], port=1)
        self.assertEqual(self.seen("right", "wrong"), (2, 0))


if __name__ == "__main__":
    unittest.main()
