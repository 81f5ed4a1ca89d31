# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough DNS wire format (RFC 1035, RFC 6891) for a scripted upstream and its judges."""

import struct

A, NS, CNAME, SOA, AAAA, OPT, DS, DNSKEY = 1, 2, 5, 6, 28, 41, 43, 48
TYPES = {"A": A, "AAAA": AAAA, "TXT": 16, "MX": 15, "NS": NS, "SOA": SOA}
TYPE_NAMES = {DS: "DS", DNSKEY: "DNSKEY", **{number: text for text, number in TYPES.items()}}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5

QR, AA, TC, RD, RA, AD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020

_HEADER = struct.Struct("!6H")
_TAIL = struct.Struct("!2H")
_RECORD = struct.Struct("!2HIH")
_TTL = 60
_POINTER_TO_QUESTION = b"\xc0\x0c"
_OPT_RECORD = b"\0" + _RECORD.pack(OPT, 1232, 0, 0)


class Malformed(ValueError):
    """The message cannot be read."""


def encode_name(name):
    """Wire form of a dotted name (bytes; no escapes); b'' is the root."""
    labels = [label for label in name.split(b".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def read_name(message, offset):
    """(dotted name in its own case, offset behind it); follows compression, with a bound."""
    labels, behind, jumps = [], None, 0
    while True:
        if offset >= len(message):
            raise Malformed("name runs out of the message")
        length = message[offset]
        if length == 0:
            return b".".join(labels), behind or offset + 1
        if length >= 0xC0:
            if offset + 1 >= len(message) or jumps > 20:
                raise Malformed("bad compression pointer")
            behind = behind or offset + 2
            offset = (length & 0x3F) << 8 | message[offset + 1]
            jumps += 1
            continue
        if offset + 1 + length > len(message):
            raise Malformed("label runs out of the message")
        labels.append(bytes(message[offset + 1:offset + 1 + length]))
        offset += 1 + length


class Question:
    """The header and the one question of a message."""

    __slots__ = ("ident", "flags", "name", "qtype", "wire", "behind", "counts")

    def __init__(self, message):
        if len(message) < 12:
            raise Malformed("shorter than a header")
        self.ident, self.flags, questions, *self.counts = _HEADER.unpack_from(message)
        if questions != 1:
            raise Malformed(f"{questions} questions")
        self.name, behind = read_name(message, 12)
        if behind + 4 > len(message):
            raise Malformed("no type behind the name")
        self.qtype, _ = _TAIL.unpack_from(message, behind)
        self.behind = behind + 4
        self.wire = message[12:self.behind]

    @property
    def is_response(self):
        """Whether the QR bit is set."""
        return bool(self.flags & QR)

    @property
    def rcode(self):
        """The response code of the header."""
        return self.flags & 0xF


def records(message, question):
    """Yield (owner, type, rdata, rdata's offset) of all the records behind the question."""
    offset = question.behind
    for _ in range(sum(question.counts)):
        owner, offset = read_name(message, offset)
        if offset + _RECORD.size > len(message):
            raise Malformed("record runs out of the message")
        rtype, _, _, length = _RECORD.unpack_from(message, offset)
        offset += _RECORD.size
        yield owner, rtype, message[offset:offset + length], offset
        offset += length


def has_opt(message, question):
    """Whether the query speaks EDNS."""
    if not question.counts[2]:
        return False
    return any(rtype == OPT for _, rtype, _, _ in records(message, question))


def build_query(ident, name, qtype, edns=True, flags=RD):
    """A recursive query of class IN, with an OPT record unless told otherwise."""
    header = _HEADER.pack(ident, flags, 1, 0, 0, 1 if edns else 0)
    tail = _OPT_RECORD if edns else b""
    return header + encode_name(name) + _TAIL.pack(qtype, 1) + tail


def build_answer(question, edns, rcode=NOERROR, answer=None, soa_owner=None, truncated=False,
                 ttl=_TTL):
    """An answer which echoes the question's bytes.

    answer: (type, rdata) of one record of the question's own name, with that TTL;
    soa_owner: the wire name of the zone whose SOA goes into the authority section.
    """
    flags = QR | RA | (question.flags & RD) | (TC if truncated else 0) | rcode
    parts = [_HEADER.pack(question.ident, flags, 1, 1 if answer else 0,
                          1 if soa_owner is not None else 0, 1 if edns else 0), question.wire]
    if answer:
        rtype, rdata = answer
        parts += [_POINTER_TO_QUESTION, _RECORD.pack(rtype, 1, ttl, len(rdata)), rdata]
    if soa_owner is not None:
        rdata = soa_owner + soa_owner + struct.pack("!5I", 1, 3600, 600, 86400, _TTL)
        parts += [soa_owner, _RECORD.pack(SOA, 1, _TTL, len(rdata)), rdata]
    if edns:
        parts.append(_OPT_RECORD)
    return b"".join(parts)


def record(owner, rtype, ttl, rdata):
    """One resource record of class IN; the owner is a dotted name."""
    return encode_name(owner) + _RECORD.pack(rtype, 1, ttl, len(rdata)) + rdata


def soa(zone, ttl):
    """A zone's SOA record, whose negative TTL is the same."""
    names = encode_name(zone) * 2
    return record(zone, SOA, ttl, names + struct.pack("!5I", 1, 3600, 600, 86400, ttl))


def build_response(question, edns, flags, answers=(), authority=(), additional=()):
    """An authoritative server's response: whole records by section, the rcode among the flags."""
    counts = len(answers), len(authority), len(additional) + bool(edns)
    header = _HEADER.pack(question.ident, QR | (question.flags & RD) | flags, 1, *counts)
    return b"".join([header, question.wire, *answers, *authority, *additional,
                     _OPT_RECORD if edns else b""])


def framed(message):
    """The message with TCP's length prefix (RFC 1035, 4.2.2)."""
    return struct.pack("!H", len(message)) + message


def take_frames(buffer):
    """Remove every complete framed message from a bytearray and return them as bytes."""
    frames = []
    while len(buffer) >= 2:
        length = buffer[0] << 8 | buffer[1]
        if len(buffer) < 2 + length:
            break
        frames.append(bytes(buffer[2:2 + length]))
        del buffer[:2 + length]
    return frames
