# SPDX-License-Identifier: GPL-2.0-or-later
"""Which unmarked questions of a soak are the resolver's own business."""

import pathlib
import tempfile
import unittest

import support  # pylint: disable=unused-import
import soaking

WAITS = "m137-000001 10.000 12.000\nm138-000002 10.000 15.000\nany137to141-000003 10.000 11.000\nany137to141-000003 10.100 14.000\n"


class Background(unittest.TestCase):
    """Nobody waits, without doubt."""

    def count(self, *unmarked):
        """How many of these are."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "waits"
            path.write_text(WAITS, encoding="ascii")
            return soaking.background(unmarked, path)

    def test_while_somebody_waits(self):
        self.assertEqual(self.count((11, "m137-000001.dly1200.shim.example.net"), (14.9, "m138-000002.tc.example")), 0)

    def test_just_over_is_no_proof(self):
        self.assertEqual(self.count((12.1, "m137-000001.dly1200.shim.example.net")), 0)

    def test_long_over(self):
        self.assertEqual(self.count((12.6, "M137-000001.Dly1200.shim.example.net"), (13, "m138-000002.tc.example")), 1)

    def test_the_last_of_several_clients_counts(self):
        self.assertEqual(self.count((13, "any137to141-000003.shim.example.net")), 0)
        self.assertEqual(self.count((15, "any137to141-000003.other.example.org")), 1)

    def test_a_name_that_nobody_is_known_to_have_asked(self):
        self.assertEqual(self.count((99, "m176-000009.rnd50.shim.example.net")), 0)


if __name__ == "__main__":
    unittest.main()
