# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of zones: who serves what, where names lead, and who a question belongs to."""

import collections
import random
import unittest

import support

dnswire = support.library("dnswire")
names = support.library("names")
signedtree = support.library("signedtree")
tree = support.library("tree")

WHOLE = b"m137-000042.rnd50.z-m137-42.p7.lab"


class Zones(unittest.TestCase):
    """From the root down."""

    def way(self, name):
        """The names of the zones above a name."""
        return [zone.name for zone in tree.zones(name)]

    def test_way(self):
        for name, zones in (
                (WHOLE, [b"", b"lab", b"p7.lab", b"z-m137-42.p7.lab"]),
                (b"m137-000042.z-m137-0.lab", [b"", b"lab", b"z-m137-0.lab"]),
                (b"m137-000042.out.farm", [b"", b"farm", b"out.farm"]),
                (b"m137-1.z-m137-1.p0.hub.lab", [b"", b"lab", b"hub.lab"]),
                (b"a.rootns", [b""]), (b"nowhere", [b""]), (b"", [b""])):
            self.assertEqual(self.way(name), zones)

    def test_every_name_server_has_a_host_that_serves_its_zone(self):
        for kind in tree.KINDS:
            zone = tree.zones(b"x." + tree.place(kind, b"m137", 42, 40))[-1]
            for server in zone.nameservers:
                self.assertIn(tree.host_of(server), zone.hosts)

    def test_glue_lies_in_its_own_zone(self):
        for kind in tree.KINDS:
            for zone in tree.zones(b"x." + tree.place(kind, b"m137", 42, 40))[1:]:
                inside = all(server.endswith(b"." + zone.name) for server in zone.nameservers)
                self.assertEqual(zone.glue, inside)

    def test_kinds(self):
        self.assertEqual(tree.parse_kinds("tld:4,into"), ([b"tld", b"into"], [4, 1]))
        with self.assertRaises(ValueError):
            tree.parse_kinds("tld,tdl")


class Names(unittest.TestCase):
    """Whole names, and what they lead to."""

    def test_whole_and_empty(self):
        self.assertTrue(tree.is_whole(WHOLE))
        for name in (b"rnd50.z-m137-42.p7.lab", b"z-m137-42.p7.lab", b"p7.lab", b"lab", b""):
            self.assertFalse(tree.is_whole(name))
        self.assertTrue(tree.is_empty(b"rnd50.z-m137-42.p7.lab"))
        self.assertTrue(tree.is_empty(b"p7.hub.lab"))
        self.assertFalse(tree.is_empty(b"nothing.lab"))

    def test_aliases(self):
        for name, target in (
                (b"m1-2.cnin.z-m1-2.p0.lab", b"m1-2.z-m1-2.p0.lab"),
                (b"m1-2.cnout.rnd5.z-m1-2.p0.lab", b"m1-2.out.farm"),
                (b"m1-2.cnch.z-m1-2.p0.lab", b"m1-2.cnch2.z-m1-2.p0.lab"),
                (b"m1-2.z-m1-2.p0.hub.lab", b"m1-2.z-m1-2.p0.lab"), (WHOLE, None)):
            self.assertEqual(tree.alias(name), target)

    def test_closure_follows_aliases_and_name_servers(self):
        found = tree.closure(b"m1-2.cnout.f-m1-2.p0.lab")
        for name in (b"m1-2.out.farm", b"ns.out.farm", b"s2.host.farm", b"ns.host.farm",
                     b"a.nic.farm", b"a.nic.lab", b"ns.p0.lab"):
            self.assertIn(name, found)
        self.assertNotIn(b"a.rootns", found)

    def test_owners_of_what_lies_between(self):
        for name in (WHOLE, b"rnd50.z-m137-42.p7.lab", b"_.z-m137-42.p7.lab",
                     b"ns1.z-m137-42.p7.lab", b"h-m137-42.host.farm", b"Z-M137-42.p7.lab"):
            self.assertEqual(names.owners(name), (137, 137))
        self.assertEqual(names.owners(b"f-any140to144-3.p0.lab"), (140, 144))
        for name in (b"p7.lab", b"lab", b"s1.host.farm", b"ns.p7.lab", b"_.lab"):
            self.assertIsNone(names.owners(name))


class Signed(unittest.TestCase):
    """What the zone files of a signed tree have."""

    def test_every_zone_is_delegated_and_every_name_is_there(self):
        asked = [b"m137-000042." + tree.place(kind, b"m137", 42, 40) for kind in sorted(tree.KINDS)]
        zones, records = signedtree.contents(asked, 4)
        for name in filter(None, zones):
            above = records[tree.zones(name)[-2].name]
            self.assertTrue(any(line.startswith(f"{name.decode()}. ") and " NS " in line
                                for line in above), name)
        for name in asked:
            here = records[tree.zones(name)[-1].name]
            self.assertTrue(any(line.startswith(f"{name.decode()}. ") for line in here), name)
        self.assertIn("192.168.222.10", "".join(records[b""]))

    def test_what_must_not_exist_is_not_there(self):
        _, records = signedtree.contents([b"m1-2.nx.z-m1-2.p0.lab"], 4)
        self.assertNotIn("m1-2.nx.", "".join(records[b"z-m1-2.p0.lab"]))

    def test_unsigned_zones(self):
        self.assertTrue(tree.is_unsigned(b"m1-2.u-m1-2.p0.lab"))
        self.assertTrue(tree.is_unsigned(b"u-m1-2.p0.lab"))
        self.assertFalse(tree.is_unsigned(b"m1-2.z-m1-2.p0.lab"))


class Validated(unittest.TestCase):
    """What clients take for a validated answer."""

    def verdict(self, name, flags):
        """Of an answer with the right address and these flags."""
        query = support.program("clients").Query(1, name, dnswire.A, True)
        question = dnswire.Question(query.wire)
        answer = dnswire.build_response(question, True, flags, [
            dnswire.record(name, dnswire.A, 1, names.address_v4(name))])
        return query.judge(answer, dnswire.Question(answer))

    def test_authenticated(self):
        good, bogus = b"m1-2.z-m1-2.p0.lab", b"m1-2.bogus.z-m1-2.p0.lab"
        unsigned = b"m1-2.bogus.u-m1-2.p0.lab"
        self.assertEqual(self.verdict(good, dnswire.AD), "answered")
        self.assertEqual(self.verdict(good, 0), "unauthenticated")
        self.assertEqual(self.verdict(good, dnswire.SERVFAIL), "failed")
        self.assertEqual(self.verdict(bogus, dnswire.SERVFAIL), "answered")
        self.assertEqual(self.verdict(bogus, 0), "unauthenticated")
        self.assertEqual(self.verdict(unsigned, 0), "answered")


class Authority(unittest.TestCase):
    """The servers, asked as a resolver would ask them."""

    def setUp(self):
        program = support.program("authority")
        options = program.arguments().parse_args(["--shared-delay", "0"])
        self.counters, seen = collections.Counter(), set()
        self.hosts = {number: program.Host(number, options, self.counters, seen)
                      for number in tree.plan.AUTHORITY_HOSTS}

    def ask(self, host, name, qtype=dnswire.A):
        """(rcode, records by type) of one host's answer."""
        _, answer = self.hosts[host].respond(dnswire.build_query(1, name, qtype), False)
        question = dnswire.Question(answer)
        found = {}
        for owner, rtype, data, at in dnswire.records(answer, question):
            if rtype in (dnswire.NS, dnswire.CNAME):
                data, _ = dnswire.read_name(answer, at)
            found.setdefault(rtype, []).append((owner, data))
        return question.rcode, found

    def resolve(self, name, qtype=dnswire.A):
        """Walk from the root; returns the last (rcode, records)."""
        addresses = {bytes((192, 168, 222, number)): number for number in self.hosts}
        host = tree.ROOT_HOST
        for _ in range(8):
            rcode, found = self.ask(host, name, qtype)
            if rcode or dnswire.NS not in found or dnswire.SOA in found:
                return rcode, found
            glue = found.get(dnswire.A)
            if not glue:
                server = random.choice(found[dnswire.NS])[1]
                glue = self.resolve(server)[1][dnswire.A]
            host = addresses[glue[0][1]]
        raise AssertionError(f"{name} is referred for ever")

    def test_every_kind_resolves(self):
        for kind in sorted(set(tree.KINDS) - {b"into"}):
            name = b"m137-000042." + tree.place(kind, b"m137", 42, 40)
            rcode, found = self.resolve(name)
            self.assertEqual((rcode, found[dnswire.A]), (0, [(name, names.address_v4(name))]))

    def test_into_a_zone(self):
        name = b"m137-000042." + tree.place(b"into", b"m137", 42, 40)
        _, found = self.resolve(name)
        self.assertEqual(found[dnswire.CNAME], [(name, b"m137-000042.z-m137-42.p2.lab")])

    def test_nothing(self):
        self.assertEqual(self.ask(tree.ROOT_HOST, b"_ta-4f66")[0], dnswire.NXDOMAIN)
        self.assertEqual(self.ask(tree.LAB_HOST, b"nothing.lab")[0], dnswire.NXDOMAIN)
        self.assertEqual(self.ask(tree.LAB_HOST, b"x.farm")[0], dnswire.REFUSED)
        rcode, found = self.ask(tree.CLIENT_HOSTS[0], b"rnd50.z-m137-42.p7.lab")
        self.assertEqual((rcode, list(found)), (0, [dnswire.SOA, dnswire.OPT]))

    def test_a_dropped_copy_is_dropped_once_for_all_hosts(self):
        message = dnswire.build_query(1, b"m1-2.drop1.z-m1-2.p0.lab", dnswire.A)
        first, second = (self.hosts[number] for number in tree.CLIENT_HOSTS)
        self.assertIsNone(first.respond(message, False))
        self.assertIsNotNone(second.respond(message, False))


if __name__ == "__main__":
    unittest.main()
