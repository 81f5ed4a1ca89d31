# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads one NFLOG group: nfnetlink_log's messages over a raw netlink socket.

The constants are those of linux/netfilter/nfnetlink_log.h. A packet that was not seen is no
proof, so both ways of losing one are counted: ENOBUFS of the socket and gaps in the group's own
sequence numbers.
"""

import errno
import select
import socket
import struct
import time

NETLINK_NETFILTER = 12
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 64 << 20

_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = _SUBSYSTEM | 0, _SUBSYSTEM | 1
_NLMSG_ERROR = 2
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4

_CFG_CMD, _CFG_MODE, _CFG_NLBUFSIZ, _CFG_TIMEOUT, _CFG_QTHRESH, _CFG_FLAGS = range(1, 7)
_BIND, _UNBIND = 1, 2
_COPY_PACKET = 2
_FLAG_SEQUENCE = 1

_ATTR_MARK, _ATTR_PAYLOAD, _ATTR_SEQUENCE = 2, 9, 12
_ATTR_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_GENERIC = struct.Struct("!BBH")        # struct nfgenmsg
_ATTRIBUTE = struct.Struct("=HH")

KERNEL_BUFFER = 128 << 10
FLUSH_HUNDREDTHS = 5                    # the kernel hands over what it holds after this time


def _aligned(length):
    return (length + 3) & ~3


def _attribute(kind, payload):
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (_aligned(length) - length)


def parse_attributes(data):
    """A dictionary of attribute type to payload."""
    found, offset = {}, 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _ATTR_TYPE_MASK] = data[offset + _ATTRIBUTE.size:offset + length]
        offset += _aligned(length)
    return found


class Decoder:
    """Reads netlink datagrams of nfnetlink_log and follows their sequence numbers.

    on_packet(mark, packet) is called for each packet, which begins with its IP header.
    """

    def __init__(self, on_packet):
        self.packets = 0
        self.gaps = 0
        self._expected = 0
        self._on_packet = on_packet

    def feed(self, data):
        """One datagram; returns the status of each acknowledgement (0 or a negative errno)."""
        acknowledged, offset = [], 0
        while offset + _HEADER.size <= len(data):
            length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
            body = data[offset + _HEADER.size:offset + length]
            if kind == _PACKET:
                self._packet(body)
            elif kind == _NLMSG_ERROR:
                acknowledged.append(struct.unpack_from("=i", body)[0])
            offset += _aligned(max(length, _HEADER.size))
        return acknowledged

    def _packet(self, body):
        attributes = parse_attributes(body[_GENERIC.size:])
        sequence, = struct.unpack("!I", attributes[_ATTR_SEQUENCE])
        self.gaps += (sequence - self._expected) & 0xFFFFFFFF
        self._expected = (sequence + 1) & 0xFFFFFFFF
        self.packets += 1
        mark, = struct.unpack("!I", attributes.get(_ATTR_MARK, b"\0\0\0\0"))
        self._on_packet(mark, attributes.get(_ATTR_PAYLOAD, b""))


class Group:
    """A bound NFLOG group, whose packets go to the decoder.

    moment: (earliest, latest), between which the packets that the decoder gets just now were logged.
    On a busy machine this program has its turn some time after them: all that is sure is that they
    came after the socket was last seen empty. With a threshold of 1, that is; else the kernel may
    have held them before.
    """

    def __init__(self, number, decoder, threshold, receive_buffer=RECEIVE_BUFFER):
        self.overruns = 0
        self.moment = (time.monotonic(),) * 2
        self._empty = time.monotonic()
        self._number = number
        self._decoder = decoder
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer)
        self._sock.bind((0, 0))
        self._configure(_attribute(_CFG_CMD, bytes((_BIND,))))
        self._configure(
            _attribute(_CFG_MODE, struct.pack("!IBB", 0xFFFF, _COPY_PACKET, 0))
            + _attribute(_CFG_NLBUFSIZ, struct.pack("!I", KERNEL_BUFFER))
            + _attribute(_CFG_TIMEOUT, struct.pack("!I", FLUSH_HUNDREDTHS))
            + _attribute(_CFG_QTHRESH, struct.pack("!I", threshold))
            + _attribute(_CFG_FLAGS, struct.pack("!H", _FLAG_SEQUENCE)))

    def fileno(self):
        """For select()."""
        return self._sock.fileno()

    def _request(self, attributes):
        body = _GENERIC.pack(socket.AF_UNSPEC, 0, self._number) + attributes
        self._sock.send(_HEADER.pack(_HEADER.size + len(body), _CONFIG,
                                     _NLM_F_REQUEST | _NLM_F_ACK, 1, 0) + body)

    def _configure(self, attributes):
        """Send a configuration and wait for the kernel's word; packets may come before it."""
        self._request(attributes)
        statuses = []
        while not statuses:
            statuses = self.receive()
        if statuses[0]:
            raise OSError(-statuses[0], f"NFLOG group {self._number} refused")

    def receive(self):
        """Take what one read yields; returns the acknowledgements in it, None where it is empty."""
        asked = time.monotonic()
        try:
            data = self._sock.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._empty = asked
            return None
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self.overruns += 1
            return []
        self.moment = self._empty, time.monotonic()
        return self._decoder.feed(data)

    def drain(self, longest=3.0):
        """Take everything that the kernel still holds, then unbind (which flushes the rest)."""
        quiet = 3 * FLUSH_HUNDREDTHS / 100
        self._read_until_quiet(quiet, longest)
        self._request(_attribute(_CFG_CMD, bytes((_UNBIND,))))
        self._read_until_quiet(quiet, longest)

    def _read_until_quiet(self, quiet, longest):
        end = time.monotonic() + longest
        while time.monotonic() < end and select.select([self._sock], [], [], quiet)[0]:
            self.receive()
