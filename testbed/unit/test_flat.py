# SPDX-License-Identifier: GPL-2.0-or-later
"""The soak's verdict over curves that are made up."""

import random
import unittest

import support  # pylint: disable=unused-import
import flat

ROUND = 20_000


def looks(memory, descriptors=None, count=24):
    """Looks at rest; memory and descriptors: functions of the round's number."""
    return [{"queries": number * ROUND, "pss_kib": memory(number), "rss_kib": memory(number) + 4000,
             "descriptors": descriptors(number) if descriptors else 23} for number in range(1, count + 1)]


class Flat(unittest.TestCase):
    """What is no leak."""

    def test_level(self):
        self.assertEqual(flat.unmet(looks(lambda _: 60_000)), [])

    def test_noise(self):
        drawn = random.Random(7)
        self.assertEqual(flat.unmet(looks(lambda _: 60_000 + drawn.randrange(-500, 500),
                                          lambda _: 23 + drawn.randrange(3))), [])

    def test_cache_that_fills_at_first(self):
        self.assertEqual(flat.unmet(looks(lambda number: 30_000 + 30_000 * min(1, number / 5))), [])

    def test_less_at_the_end(self):
        self.assertEqual(flat.unmet(looks(lambda number: 60_000 - 500 * number, lambda number: 40 - number)), [])

    def test_growth_as_bare(self):
        grown = looks(lambda number: 30_000 + 700 * number)
        self.assertNotEqual(flat.unmet(grown), [])
        self.assertEqual(flat.unmet(grown, looks(lambda number: 26_000 + 690 * number)), [])


class Leaks(unittest.TestCase):
    """What is one."""

    def test_octets_with_each_query(self):
        for octets in (16, 64, 1000):
            reasons = flat.unmet(looks(lambda number, each=octets: 40_000 + number * ROUND * each / 1024))
            self.assertEqual(len(reasons), 2, reasons)
            self.assertIn(f"{octets:.1f} octets a query", reasons[0])

    def test_descriptors(self):
        reasons = flat.unmet(looks(lambda _: 60_000, lambda number: 23 + number // 4))
        self.assertEqual(len(reasons), 1, reasons)
        self.assertIn("descriptors at rest grew from", reasons[0])

    def test_more_than_bare(self):
        reasons = flat.unmet(looks(lambda number: 30_000 + 900 * number), looks(lambda number: 26_000 + 600 * number))
        self.assertEqual(len(reasons), 2, reasons)

    def test_bare_of_another_load_is_no_excuse(self):
        grown = looks(lambda number: 30_000 + 700 * number)
        self.assertNotEqual(flat.unmet(grown, looks(lambda number: 26_000 + 700 * number, count=9)), [])


class Nothing(unittest.TestCase):
    """Where nothing can be said, that is said."""

    def test_too_few(self):
        for count in (0, 1, flat.LEAST_LOOKS - 1):
            with self.assertRaises(flat.TooFew):
                flat.unmet(looks(lambda _: 60_000, count=count))


if __name__ == "__main__":
    unittest.main()
