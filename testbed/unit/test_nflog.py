# SPDX-License-Identifier: GPL-2.0-or-later
"""The decoder of nfnetlink_log's messages."""

import struct
import unittest

import support

nflog = support.library("nflog")


def attribute(kind, payload):
    """A netlink attribute, padded."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def message(sequence, mark=0, payload=b"packet"):
    """One NFULNL_MSG_PACKET as the kernel sends it: no mark attribute where there is no mark."""
    body = b"\x02\0\0\x35" + attribute(1, b"\x08\0\x03\0")
    if mark:
        body += attribute(2, struct.pack("!I", mark))
    body += attribute(9, payload) + attribute(12, struct.pack("!I", sequence))
    return struct.pack("=IHHII", 16 + len(body), 0x0400, 0, 0, 0) + body


class Decoding(unittest.TestCase):
    """Packets, marks, acknowledgements and losses."""

    def setUp(self):
        self.seen = []
        self.decoder = nflog.Decoder(lambda mark, packet: self.seen.append((mark, packet)))

    def test_several_in_one_datagram(self):
        self.decoder.feed(message(0, 137) + message(1, 0, b"odd") + message(2, 1 << 31))
        self.assertEqual(self.seen, [(137, b"packet"), (0, b"odd"), (1 << 31, b"packet")])
        self.assertEqual((self.decoder.packets, self.decoder.gaps), (3, 0))

    def test_gap(self):
        self.decoder.feed(message(0) + message(4))
        self.assertEqual(self.decoder.gaps, 3)

    def test_first_one_lost(self):
        self.decoder.feed(message(1))
        self.assertEqual(self.decoder.gaps, 1)

    def test_acknowledgements(self):
        refused = struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -1)
        self.assertEqual(self.decoder.feed(message(0) + refused), [-1])


if __name__ == "__main__":
    unittest.main()
