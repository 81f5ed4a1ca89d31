# SPDX-License-Identifier: GPL-2.0-or-later
"""Where questions arrived, and which marks each conntrack entry had: made by hand."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import flows
import uplinks

UPSTREAM = {"192.168.222.2"}


def event(kind, entry, sport, mark):
    """A line of conntrack -E -o id."""
    marked = f" mark={mark}" if mark is not None else ""
    return (f" [{kind}] udp      17 30 src=192.168.222.1 dst=192.168.222.2 sport=5300 dport=53 "
            f"src=192.168.222.2 dst=192.168.222.1 sport=53 dport={sport}{marked} id={entry}\n")


class Flows(unittest.TestCase):
    """conntrack's events in, a verdict out."""

    def test_one_mark_each(self):
        """Entries that keep their marks, and one that is nobody's."""
        seen = flows.judge(event("NEW", 1, 1000, 137) + event("UPDATE", 1, 1000, 137)
                           + event("NEW", 2, 1001, 138) + event("NEW", 3, 1002, 0), UPSTREAM)
        self.assertEqual((seen["entries"], seen["marks"], seen["ports"]), (2, 2, 2))
        self.assertEqual((seen["entries_changed"], seen["ports_shared"]), (0, 0))
        self.assertEqual(seen["unmarked_entries"], 1)

    def test_changed(self):
        """An entry whose mark changes, also from none."""
        seen = flows.judge(event("NEW", 1, 1000, 0) + event("UPDATE", 1, 1000, 137)
                           + event("NEW", 2, 1001, 138) + event("UPDATE", 2, 1001, 139), UPSTREAM)
        self.assertEqual((seen["entries"], seen["entries_changed"]), (2, 2))
        self.assertEqual((seen["marks"], seen["ports_shared"]), (3, 2))

    def test_destroyed_without_its_mark(self):
        """What the kernel leaves out of a last event is no change."""
        seen = flows.judge(event("NEW", 1, 1000, 137) + event("DESTROY", 1, 1000, None), UPSTREAM)
        self.assertEqual(seen["entries_changed"], 0)

    def test_other_flows(self):
        """Towards other addresses: not ours."""
        self.assertEqual(flows.judge(event("NEW", 1, 1000, 137), {"192.0.2.1"})["entries"], 0)


class Arrivals(unittest.TestCase):
    """The upstreams' lists in, a verdict out."""

    @staticmethod
    def settle(first, second):
        """Both upstreams' lists, of UDP."""
        return uplinks.settle({"upstreams": [
            {"arrivals": [("udp", *one) for one in found]} for found in (first, second)]})

    def test_home(self):
        """Even marks at the first, odd ones at the second, each from its own address."""
        seen = self.settle([("192.168.222.1", 1, "m138-1.x")], [("192.168.223.1", 1, "M137-2.x")])
        self.assertEqual((seen["udp_home"], seen["udp_astray"], seen["udp_foreign_source"]), (2, 0, 0))
        self.assertEqual((seen["udp_ports"], seen["udp_ports_shared"]), (2, 0))

    def test_not_home(self):
        """At the wrong one; at the right one, from the other's address, IPv6 too."""
        seen = self.settle([("192.168.222.1", 1, "m137-1.x")],
                           [("192.168.222.1", 1, "m137-2.x"), ("fd00:222::1", 1, "m139-3.x")])
        self.assertEqual((seen["udp_home"], seen["udp_astray"], seen["udp_foreign_source"]), (0, 1, 2))

    def test_shared_port(self):
        """Two clients' questions from one port; names without an owner do not count."""
        seen = self.settle([("192.168.222.1", 1, "m138-1.x"), ("192.168.222.1", 1, "m140-2.x"),
                            ("192.168.222.1", 1, "ready-1.x")], [])
        self.assertEqual((seen["udp_ports"], seen["udp_ports_shared"]), (1, 1))


if __name__ == "__main__":
    unittest.main()
