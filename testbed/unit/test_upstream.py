# SPDX-License-Identifier: GPL-2.0-or-later
"""The script of the upstream, and the grammar of the names."""

import collections
import unittest

import support

dnswire = support.library("dnswire")
names = support.library("names")
upstream = support.program("upstream")
clients = support.program("clients")


class Directives(unittest.TestCase):
    """What each label does."""

    def setUp(self):
        self.script = upstream.Script(collections.Counter())

    def ask(self, name, qtype=dnswire.A, over_tcp=False, edns=True):
        """(delay, answer's question, its records) or None."""
        response = self.script.respond(
            dnswire.build_query(7, name.encode(), qtype, edns), over_tcp)
        if response is None:
            return None
        question = dnswire.Question(response[1])
        return response[0], question, list(dnswire.records(response[1], question))

    def target(self, name):
        """The name that a CNAME answer leads to."""
        query = dnswire.build_query(7, name.encode(), dnswire.A)
        answer = self.script.respond(query, False)[1]
        question = dnswire.Question(answer)
        for _, rtype, _, offset in dnswire.records(answer, question):
            if rtype == dnswire.CNAME:
                return dnswire.read_name(answer, offset)[0].decode()
        return None

    def test_address(self):
        delay, question, found = self.ask("m137-1.shim.example.net")
        self.assertEqual((delay, question.rcode, question.ident), (0, 0, 7))
        self.assertEqual(found[0][2], names.address_v4(b"m137-1"))
        self.assertEqual(found[-1][1], dnswire.OPT)

    def test_opt_only_where_asked(self):
        self.assertEqual(len(self.ask("m137-1.shim.example.net", edns=False)[2]), 1)

    def test_case_is_echoed(self):
        self.assertEqual(self.ask("M137-1.sHim.example.NET")[1].name, b"M137-1.sHim.example.NET")

    def test_other_types_have_no_data(self):
        _, question, found = self.ask("m137-1.shim.example.net", qtype=16)
        self.assertEqual((question.rcode, [entry[1] for entry in found]),
                         (0, [dnswire.SOA, dnswire.OPT]))

    def test_delays(self):
        self.assertEqual(self.ask("m137-1.dly150.shim.example.net")[0], 0.15)
        first = self.ask("m137-1.rnd50.shim.example.net")[0]
        self.assertEqual(first, self.ask("m137-1.rnd50.shim.example.net")[0])
        self.assertTrue(0 <= first <= 0.05)

    def test_drops(self):
        self.assertIsNone(self.ask("m137-1.drop1.shim.example.net"))
        self.assertIsNotNone(self.ask("M137-1.drop1.shim.example.net"))
        self.assertIsNone(self.ask("m137-1.drop1.shim.example.net", qtype=dnswire.AAAA))
        self.assertIsNotNone(self.ask("m137-2.drop1.shim.example.net", over_tcp=True))
        self.assertIsNone(self.ask("m137-1.dropall.shim.example.net"))
        self.assertIsNone(self.ask("m137-1.dropall.shim.example.net"))

    def test_truncation(self):
        _, question, found = self.ask("m137-1.tc.shim.example.net")
        self.assertTrue(question.flags & dnswire.TC)
        self.assertEqual([entry[1] for entry in found], [dnswire.OPT])
        _, question, found = self.ask("m137-1.tc.shim.example.net", over_tcp=True)
        self.assertFalse(question.flags & dnswire.TC)
        self.assertEqual(found[0][1], dnswire.A)

    def test_failures(self):
        self.assertEqual(self.ask("m137-1.servf1.shim.example.net")[1].rcode, dnswire.SERVFAIL)
        self.assertEqual(self.ask("m137-1.servf1.shim.example.net")[1].rcode, dnswire.NOERROR)
        self.assertEqual(self.ask("m137-1.nx.shim.example.net")[1].rcode, dnswire.NXDOMAIN)

    def test_aliases(self):
        self.assertEqual(self.target("m137-1.rnd5.cnin.shim.example.net"),
                         "m137-1.rnd5.shim.example.net")
        self.assertEqual(self.target("m137-1.cnout.shim.example.net"),
                         "m137-1.other.example.org")
        chain = ["m137-1.cnch.shim.example.net"]
        while chain[-1]:
            chain.append(self.target(chain[-1]))
        self.assertEqual(chain[1:-1], ["m137-1.cnch2.shim.example.net",
                                       "m137-1.cnch1.shim.example.net",
                                       "m137-1.shim.example.net"])

    def test_rubbish_is_not_answered(self):
        for message in (b"", b"x" * 11, b"\0" * 12, b"\xff" * 40):
            self.assertIsNone(self.script.respond(message, False))


class Grammar(unittest.TestCase):
    """Labels that are and are not directives; the clients' mixes."""

    def test_directives(self):
        self.assertEqual(names.parse_directive(b"DLY15"), (b"dly", 15))
        self.assertEqual(names.parse_directive(b"cnch"), (b"cnch", None))
        for label in (b"dly", b"shim", b"example", b"nx2", b"tcp", b"drop", b"tc9"):
            self.assertIsNone(names.parse_directive(label))

    def test_owner_needs_a_serial(self):
        self.assertEqual(names.owners(b"m137-000042.x"), (137, 137))
        self.assertEqual(names.owners(b"any137to176-1"), (137, 176))
        self.assertEqual(names.owners(b"_.m137-1.net"), (137, 137))
        for name in (b"", b"m137", b"xm137-1", b"m137-1x.net"):
            self.assertIsNone(names.owners(name))

    def test_mix(self):
        self.assertEqual(clients.parse_mix("rnd50:8,cnin+rnd9,none:1"),
                         ([[b"rnd50"], [b"cnin", b"rnd9"], []], [8, 1, 1]))

    def test_frames(self):
        buffer = bytearray(dnswire.framed(b"one") + dnswire.framed(b"two") + b"\0")
        self.assertEqual(dnswire.take_frames(buffer), [b"one", b"two"])
        self.assertEqual(buffer, b"\0")


if __name__ == "__main__":
    unittest.main()
