# SPDX-License-Identifier: GPL-2.0-or-later
"""The grammar of the names that clients ask: who asks, and what the upstream shall do.

    m137-000042.dly150.shim.example.net
    |           |      zone
    |           directive labels, any number
    first label: m<mark>-<serial>, or any<lo>to<hi>-<serial> for a question of several clients

In the tree of zones (tree.py) a client's zones are named likewise, with a letter in front:
z-m137-42. What lies at or beneath such a name is that client's.

Everything is read without regard to case, because resolvers randomise it (0x20).
"""

import ipaddress
import re
import zlib

_OWNER = re.compile(rb"(?:^|\.)(?:[a-z]-)?(?:m(\d+)|any(\d+)to(\d+))-\d+(?:\.|$)")
_ASKED = re.compile(rb"(?:m\d+|any\d+to\d+)-\d+$")
_DIRECTIVE = re.compile(rb"(dly|rnd|cnch|dropall|drop1|tc|cnin|cnout|servf1|servf2|nx|bogus|ttl)(\d*)$")
_WITH_NUMBER = {b"dly", b"rnd", b"cnch", b"ttl"}
_NEEDS_NUMBER = {b"dly", b"rnd", b"ttl"}
CHAIN_LENGTH = 3


def first_label(name):
    """The first label of a dotted name (bytes), in lower case."""
    return name.split(b".", 1)[0].lower()


def owners(name):
    """The marks (lowest, highest) that are right for a question, or None if it names none."""
    found = _OWNER.search(name.lower())
    if not found:
        return None
    if found.group(1):
        mark = int(found.group(1))
        return mark, mark
    return int(found.group(2)), int(found.group(3))


def is_asked(label):
    """Whether a label (in lower case) is the first one of a name that clients ask."""
    return _ASKED.match(label) is not None


def parse_directive(label):
    """(word, number or None) of one label, or None where it is no directive."""
    found = _DIRECTIVE.match(label.lower())
    if not found:
        return None
    word, digits = found.groups()
    if digits and word not in _WITH_NUMBER:
        return None
    if not digits and word in _NEEDS_NUMBER:
        return None
    return word, int(digits) if digits else None


def directives(name):
    """All directives of a name, as a dictionary of word to number."""
    found = {}
    for label in name.split(b".")[1:]:
        parsed = parse_directive(label)
        if parsed:
            found[parsed[0]] = parsed[1]
    return found


def without_directive(name, word):
    """The name in lower case, less the first directive label that has this word."""
    labels = name.lower().split(b".")
    for index, label in enumerate(labels[1:], start=1):
        parsed = parse_directive(label)
        if parsed and parsed[0] == word:
            del labels[index]
            break
    return b".".join(labels)


def next_in_chain(name, left):
    """The next name of a chain which has `left` links to go, this one counted."""
    if left <= 1:
        return without_directive(name, b"cnch")
    labels = name.lower().split(b".")
    for index, label in enumerate(labels[1:], start=1):
        parsed = parse_directive(label)
        if parsed and parsed[0] == b"cnch":
            labels[index] = b"cnch%d" % (left - 1)
            break
    return b".".join(labels)


def spread(name, limit):
    """A number 0..limit that is the same each time for the same name."""
    return zlib.crc32(b"delay " + name.lower()) % (limit + 1)


def address_v4(name):
    """The rdata of the A record: from the first label only, so that CNAMEs keep it."""
    return bytes((192, 0, 2, 1 + zlib.crc32(first_label(name)) % 254))


def address_v6(name):
    """The rdata of the AAAA record."""
    base = int(ipaddress.IPv6Address("2001:db8::"))
    return (base + 1 + zlib.crc32(first_label(name))).to_bytes(16, "big")
