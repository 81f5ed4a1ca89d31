# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges packets: does each carry the mark of a client that caused its question?

Pure: packets in, counts out. The name's first label says which mark is right (names.py).
"""

import collections
import ipaddress
import struct
import time

import dnswire
import encrypted
import names
import plan

MAX_DETAILS = 50
MAX_UNMARKED = 10_000
TCP, UDP = 6, 17
SYN = 2
_V6_EXTENSIONS = {0, 43, 60}            # hop by hop, routing, destination options
_COUNTERS = (
    "right", "wrong", "unmarked",       # questions whose name spells a mark
    "wrong_shared",                     # of the wrong: the mark is right for another question
                                        # that TCP put into the same segment
    "udp_questions", "tcp_questions",   # how these came
    "other_zero", "other_marked",       # questions whose name spells none
    "syn_marked", "syn_unmarked",       # TCP SYNs by their own mark
    "syn_right", "syn_wrong", "syn_missing",    # ... against the connection's first question
    "bare_marked", "bare_unmarked",     # other segments without payload
    "tcp_repeated",                     # payload that was sent before
    "tcp_mixed",                        # connections whose payload had several marks
    "other_bits_changed",               # packets on which another user's bits are not as they were
    "not_queries", "unreadable")


class Packet:
    """The addresses, the transport header and the payload of an IP packet."""

    def __init__(self, data):
        self.transport, offset, end = _ip_payload(data)
        family_half = 4 if data[0] >> 4 == 4 else 16
        start = 12 if family_half == 4 else 8
        self.source = data[start:start + family_half]
        self.target = data[start + family_half:start + 2 * family_half]
        self.source_port, self.target_port = struct.unpack_from("!HH", data, offset)
        self.sequence, self.flags = 0, 0
        header = 8
        if self.transport == TCP:
            self.sequence, = struct.unpack_from("!I", data, offset + 4)
            header = (data[offset + 12] >> 4) * 4
            self.flags = data[offset + 13]
        self.payload = data[offset + header:end]

    @property
    def connection(self):
        """What tells one TCP connection from another."""
        return self.source, self.source_port, self.target, self.target_port


def _ip_payload(data):
    """(transport protocol, offset of its header, end of the packet)."""
    if data[0] >> 4 == 4:
        total, = struct.unpack_from("!H", data, 2)
        return data[9], (data[0] & 15) * 4, total
    length, = struct.unpack_from("!H", data, 4)
    protocol, offset = data[6], 40
    while protocol in _V6_EXTENSIONS:
        protocol, offset = data[offset], offset + (data[offset + 1] + 1) * 8
    return protocol, offset, 40 + length


class Stream:
    """One direction of a TCP connection, in the order of its bytes."""

    def __init__(self, syn_mark, following):
        self.syn_mark = syn_mark
        self.following = following      # the next sequence number, None until known
        self.judged_syn = syn_mark is None
        self.buffer = bytearray()
        self.marks = []                 # [bytes left, mark] of each segment in the buffer
        self.seen = set()               # the marks of all segments
        self.early = {}                 # segments that came before their turn

    def append(self, data, mark):
        """Add a segment's payload."""
        self.buffer += data
        self.marks.append([len(data), mark])
        self.seen.add(mark)

    def take_messages(self):
        """Remove whole messages; yields (message, marks of the segments that carried it)."""
        while len(self.buffer) >= 2:
            size = 2 + (self.buffer[0] << 8 | self.buffer[1])
            if len(self.buffer) < size:
                return
            message = bytes(self.buffer[2:size])
            del self.buffer[:size]
            yield message, self._take_marks(size)

    def _take_marks(self, size):
        carried = []
        while size:
            entry = self.marks[0]
            used = min(size, entry[0])
            carried.append(entry[1])
            entry[0] -= used
            size -= used
            if not entry[0]:
                self.marks.pop(0)
        return carried


class Judge:
    """Counts and keeps the details of what was wrong."""

    def __init__(self, mask=0xFFFFFFFF, keep_others=False, other=(0, 0), keep_questions=False,
                 keep_owned=False, keep_unmarked=False):
        self._mask = mask
        self._other = other             # (mask, value) of another user's bits
        self.clock = lambda: (time.monotonic(),) * 2    # between which moments the packet was logged
        self.others = [] if keep_others else None   # of questions whose name spells no mark:
                                                    # (moments, name, type, marks) for recursion.py
        self.questions = [] if keep_questions else None     # each: (name, type, ID, marks)
        self.owned = [] if keep_owned else None     # likewise, those that spell one: refresh.py
        self.unmarked = [] if keep_unmarked else None       # (time, name) of the first MAX_UNMARKED: soaking.py
        self._streams = {}
        self.encrypted = encrypted.Watch()
        self.counts = collections.Counter(dict.fromkeys(_COUNTERS, 0))
        self.marks = collections.Counter()
        self.by_owner = {}              # the mark that is right: Counter of the marks seen
        self.validation = collections.Counter()     # DNSKEY and DS questions: by type and verdict
        self.syn_marks = collections.Counter()
        self.other_names = collections.Counter()
        self.details = []
        self.unmarked_names = []

    def packet(self, mark, data):
        """Judge one IP packet with its firewall mark."""
        self.counts["other_bits_changed"] += mark & self._other[0] != self._other[1]
        mark &= self._mask
        try:
            packet = Packet(data)
        except (IndexError, struct.error):
            self.counts["unreadable"] += 1
            return
        if packet.transport == UDP:
            self._message(packet.payload, [mark], packet)
        elif packet.transport == TCP and packet.target_port == plan.TLS_PORT:
            self.encrypted.segment(mark, packet, packet.flags & SYN, time.monotonic())
        elif packet.transport == TCP:
            self._segment(mark, packet)
        else:
            self.counts["unreadable"] += 1

    def _segment(self, mark, packet):
        key, sequence = packet.connection, packet.sequence
        if packet.flags & SYN:
            self._syn(mark, key, sequence)
            sequence = (sequence + 1) & 0xFFFFFFFF
        elif not packet.payload:
            self.counts["bare_marked" if mark else "bare_unmarked"] += 1
        if packet.payload:
            stream = self._streams.setdefault(key, Stream(None, None))
            self._payload(stream, sequence, mark, packet)

    def _syn(self, mark, key, sequence):
        self.counts["syn_marked" if mark else "syn_unmarked"] += 1
        self.syn_marks[mark] += 1
        known = self._streams.get(key)
        following = (sequence + 1) & 0xFFFFFFFF
        if known and known.following == following and not known.judged_syn:
            return                              # the same SYN again
        self._streams[key] = Stream(mark, following)

    def _payload(self, stream, sequence, mark, packet):
        if stream.following is None:
            stream.following = sequence
        ahead = (sequence - stream.following) & 0xFFFFFFFF
        if 0 < ahead < 1 << 31:
            stream.early[sequence] = mark, packet
            return
        known = (stream.following - sequence) & 0xFFFFFFFF
        if known:
            self.counts["tcp_repeated"] += 1
        fresh = packet.payload[known:]
        if not fresh:
            return
        self.counts["tcp_mixed"] += stream.seen not in (set(), {mark}) and len(stream.seen) == 1
        stream.append(fresh, mark)
        stream.following = (stream.following + len(fresh)) & 0xFFFFFFFF
        messages = list(stream.take_messages())
        together = _owners(message for message, _ in messages)
        for message, marks in messages:
            self._message(message, marks, packet, stream, together)
        if stream.following in stream.early:
            self._payload(stream, stream.following, *stream.early.pop(stream.following))

    def _message(self, message, marks, packet, stream=None, together=()):
        try:
            question = dnswire.Question(message)
        except dnswire.Malformed:
            self.counts["unreadable"] += 1
            return
        if question.is_response:
            self.counts["not_queries"] += 1
            return
        right = names.owners(question.name)
        if self.questions is not None:
            self.questions.append((question.name.decode("ascii", "replace"), question.qtype,
                                   int.from_bytes(message[:2], "big"), list(marks)))
        if stream and not stream.judged_syn:
            stream.judged_syn = True
            self._judge_syn(stream.syn_mark, right)
        if right is None:
            self.counts["other_marked" if any(marks) else "other_zero"] += 1
            self.other_names[f"{question.name.decode('ascii', 'replace')} {marks[-1]}"] += 1
            if self.others is not None:
                self.others.append((self.clock(), question.name.decode("ascii", "replace"),
                                    question.qtype, marks))
            return
        if self.owned is not None:
            self.owned.append((time.monotonic(), question.name.decode("ascii", "replace"),
                               question.qtype, marks))
        self.counts["tcp_questions" if stream else "udp_questions"] += 1
        verdict = self._question(question, right, marks, packet)
        if verdict == "wrong" and any(_verdict(other, marks) == "right" for other in together):
            self.counts["wrong_shared"] += 1

    def _judge_syn(self, mark, right):
        if right is None:
            return
        verdict = _verdict(right, [mark])
        self.counts["syn_missing" if verdict == "unmarked" else f"syn_{verdict}"] += 1

    def _question(self, question, right, marks, packet):
        verdict = _verdict(right, marks)
        self.counts[verdict] += 1
        if question.qtype in (dnswire.DS, dnswire.DNSKEY):
            self.validation[f"{dnswire.TYPE_NAMES[question.qtype]} {verdict}"] += 1
        self.marks.update(marks)
        if right[0] == right[1]:
            self.by_owner.setdefault(right[0], collections.Counter()).update(marks)
        if verdict == "unmarked" and self.unmarked is not None and len(self.unmarked) < MAX_UNMARKED:
            self.unmarked.append((time.monotonic(), question.name.decode("ascii", "replace")))
        if verdict == "unmarked" and len(self.unmarked_names) < MAX_DETAILS:
            self.unmarked_names.append(f"{question.name.decode('ascii', 'replace')} "
                                       f"{dnswire.TYPE_NAMES.get(question.qtype, question.qtype)}")
        if verdict == "wrong" and len(self.details) < MAX_DETAILS:
            self.details.append({
                "name": question.name.decode("ascii", "replace"),
                "qtype": dnswire.TYPE_NAMES.get(question.qtype, question.qtype),
                "expected": right[0] if right[0] == right[1] else list(right),
                "seen": marks[0] if len(marks) == 1 else marks,
                "transport": "udp" if packet.transport == UDP else "tcp",
                "source": str(ipaddress.ip_address(packet.source)),
                "source_port": packet.source_port,
                "time": round(time.time(), 6)})
        return verdict

    def result(self):
        """Everything as a dictionary for JSON."""
        return {**self.counts,
                "marks": dict(sorted(self.marks.items())),
                "by_owner": {owner: dict(sorted(seen.items()))
                             for owner, seen in sorted(self.by_owner.items())},
                "validation": dict(self.validation),
                "syn_marks": dict(sorted(self.syn_marks.items())),
                "other_names": dict(self.other_names.most_common(MAX_DETAILS)),
                "unmarked_names": self.unmarked_names,
                "details": self.details}


def _owners(messages):
    """The marks that are right for each of the messages which have an owner."""
    found = []
    for message in messages:
        try:
            found.append(names.owners(dnswire.Question(message).name))
        except dnswire.Malformed:
            continue
    return [owner for owner in found if owner]


def _verdict(right, marks):
    """One verdict over all the segments which carried a question: the worst counts."""
    lowest, highest = right
    if any(mark and not lowest <= mark <= highest for mark in marks):
        return "wrong"
    return "right" if all(marks) else "unmarked"
