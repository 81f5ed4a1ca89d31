# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions behind cached answers: made by hand."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import names
import refresh
import verdict

NAME = "any137to140-000001.dly100.ttl2.shim.example.net"
FIRST, SECOND = (137, NAME, 10.0, 10.1), (139, NAME, 13.6, 13.6001)


def settle(*owned):
    """The verdict on questions (time, mark) of a name that two clients asked for."""
    record = {"clients": {"waits": [SECOND, FIRST]},
              "witness": {"owned": [(now, NAME.title(), 1, [mark]) for now, mark in owned]}}
    return refresh.settle(record), record["witness"]


class Settle(unittest.TestCase):
    """Lists in, counts out."""

    def test_right(self):
        """Each question has the mark of who asked last, the second behind a cached answer."""
        found, witness = settle((10.0001, 137), (13.602, 139))
        self.assertEqual(found, {"names": 1, "right": 1, "wrong": 0, "unmarked": 0})
        self.assertEqual((witness["right"], witness["wrong"]), (2, 0))

    def test_wrong(self):
        """The mark of who had the name into the cache; and none."""
        found, witness = settle((10.0001, 137), (13.602, 137), (13.603, 0))
        self.assertEqual(found, {"names": 1, "right": 0, "wrong": 1, "unmarked": 1})
        self.assertEqual((witness["right"], witness["wrong"], witness["unmarked"]), (1, 1, 1))
        self.assertEqual(witness["details"][0]["expected"], 139)

    def test_waited(self):
        """A client that had its answer only from the upstream shows no refresh."""
        record = {"clients": {"waits": [FIRST, (139, NAME, 13.6, 13.71)]},
                  "witness": {"owned": [(13.601, NAME, 1, [139])]}}
        self.assertEqual(refresh.settle(record)["names"], 0)
        self.assertEqual(record["witness"]["right"], 1)

    def test_alias(self):
        """What an alias leads to is asked for alone the second time, while its client waits."""
        alias = NAME.replace(".dly100", ".cnin.dly100")
        record = {"clients": {"waits": [(137, alias, 10.0, 10.2), (139, alias, 13.6, 13.75)]},
                  "witness": {"owned": [(10.001, alias, 1, [137]), (10.1, NAME, 1, [137]), (13.601, NAME, 1, [139])]}}
        self.assertEqual(refresh.settle(record, "alias"), {"names": 1, "right": 1, "wrong": 0, "unmarked": 0})
        self.assertEqual(record["witness"]["right"], 3)

    def test_too_few(self):
        """A run in which the cache was not refreshed proves nothing."""
        record = {"refreshes": {"names": 49}, "clients": {"distinct": 100}}
        self.assertEqual(len(verdict.unmet_refresh(record)), 1)
        record["refreshes"]["names"] = 50
        self.assertEqual(verdict.unmet_refresh(record), [])


class Directives(unittest.TestCase):
    """The mix, with a TTL in each part."""

    def test_mix(self):
        """Weights and other labels stay."""
        self.assertEqual(refresh.directives("stale", "dly100:2,none:1,none"),
                         "dly100+ttl2:2,ttl2:1,ttl2")
        self.assertEqual(refresh.directives("", "none"), "none")

    def test_ttl(self):
        """A TTL is a directive with a number."""
        self.assertEqual(names.directives(NAME.encode()), {b"dly": 100, b"ttl": 2})
        self.assertIsNone(names.parse_directive(b"ttl"))


if __name__ == "__main__":
    unittest.main()
