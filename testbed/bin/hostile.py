#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends malformed and alien datagrams through a relay under the library, and reads what came out.

Each datagram must leave as it came, byte for byte, and without a mark; good questions sent between
them, from the same client, must leave with the client's mark (else nothing was proven). The bytes
are judged where they arrive, the marks at NFLOG behind the OUTPUT rules. Needs root.
"""

import argparse
import contextlib
import pathlib
import select
import shutil
import socket
import struct
import sys
import tempfile
import time

TESTBED = pathlib.Path(__file__).resolve().parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(TESTBED / "lib"))

# pylint: disable=wrong-import-position
import firewall
import judge
import plan
from daemons import Daemon, wait_until
from netlab import Network

MARK = plan.FIRST_MARK
HEADER = struct.Struct("!HHHHHH")
NAME = b"\x04m137\x04shim\x07example\x03net\x00"
QUESTION = NAME + b"\x00\x01\x00\x01"


def query(number, flags=0x0100, counts=(1, 0, 0, 0), question=QUESTION):
    """A query whose ID is its number."""
    return HEADER.pack(number, flags, *counts) + question


def good(number):
    """A question like any other."""
    name = f"m137-{number}".encode()
    return query(number, question=bytes((len(name),)) + name + b"\x04shim\x00\x00\x01\x00\x01")


def hostile():
    """(what it is, datagram) of everything that is no question to the library."""
    whole = query(0x4001)
    yield from ((f"cut off after {size} octets", whole[:size]) for size in range(1, len(whole)))
    yield "empty", b""
    yield "compressed in a loop", query(0x4002, question=b"\xc0\x0c\x00\x01\x00\x01")
    yield "compressed in two steps", query(0x4003, question=b"\x01a\xc0\x10\xc0\x0c\x00\x01\x00\x01")
    yield "a pointer past the end", query(0x4004, question=b"\xff\xff\x00\x01\x00\x01")
    yield "a reserved label type", query(0x4005, question=b"\x80a\x00\x00\x01\x00\x01")
    yield "a name of 256 octets", query(
        0x4006, question=(b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01")
    yield "no question", query(0x4007, counts=(0, 0, 0, 0), question=b"")
    yield "two questions", query(0x4008, counts=(2, 0, 0, 0), question=QUESTION * 2)
    yield "65535 questions", query(0x4009, counts=(65535, 0, 0, 0))
    yield "a dynamic update", query(0x400a, flags=0x2800)
    yield "an unknown opcode", query(0x400b, flags=0x7800)
    yield "an answer nobody asked for", query(0x400c, flags=0x8180)
    yield "no DNS: text", b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n"
    yield "no DNS: zeros", bytes(64)
    yield "no DNS: ones", b"\xff" * 512
    yield "oversized", query(0x400d, counts=(0, 0, 0, 0), question=b"\xaa" * 60000)


def datagrams():
    """Everything in the order in which it is sent: [what it is, bytes, mark expected]."""
    sent = [["a good question", good(number), MARK] for number in range(32)]
    for number, (what, data) in enumerate(hostile()):
        sent.append([what, data, 0])
        sent.append(["a good question", good(100 + number), MARK])
    return sent


class Sink:
    """The upstream's end: a socket in another namespace, opened by a helper of this program."""

    def __init__(self, network, folder):
        self._path = folder / "sink.bin"
        self._daemon = Daemon("sink", network.inside(network.upstreams[0], [
            sys.executable, __file__, "--sink", self._path]), folder)
        self.stop = self._daemon.stop
        self._daemon.await_file(self._path)

    def datagrams(self):
        """What arrived so far, in its order."""
        data, found, offset = self._path.read_bytes(), [], 0
        while offset + 4 <= len(data):
            size, = struct.unpack_from("!I", data, offset)
            found.append(data[offset + 4:offset + 4 + size])
            offset += 4 + size
        return found


def run_sink(path):
    """Write each datagram that arrives, behind its length."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)        # SO_RCVBUFFORCE
    sock.bind((plan.upstream_address(4), plan.PORT))
    with open(path, "wb", buffering=0) as out:
        while True:
            data = sock.recv(65535)
            out.write(struct.pack("!I", len(data)) + data)


def run_sender(folder):
    """Send everything from one marked client, at a pace that no buffer overflows at."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((plan.client_address(MARK, 4), 0))
    sock.connect((plan.resolver_address(4), plan.PORT))
    for _, data, _ in datagrams():
        sock.send(data)
        select.select([], [], [], 0.002)
    (folder / "sent").touch()


def run_witness(folder):
    """Write "mark payload-in-hex" for each UDP packet at the firewall."""
    import nflog        # pylint: disable=import-outside-toplevel
    import programs     # pylint: disable=import-outside-toplevel
    lines, stop = [], programs.StopFlag()
    decoder = nflog.Decoder(lambda mark, packet: lines.append((mark, packet)))
    group = nflog.Group(plan.NFLOG_GROUP, decoder, 1)
    programs.announce_ready(folder / "witness.ready")
    while not stop:
        if group in select.select([group, stop.read_end], [], [])[0]:
            group.receive()
    group.drain()
    with open(folder / "witness.txt", "w", encoding="ascii") as out:
        for mark, packet in lines:
            whole = judge.Packet(packet)
            out.write(f"{mark} {whole.payload.hex()}\n")


def compare(sent, arrived, seen):
    """Reasons why something did not leave as it came, or with another mark than it must have."""
    reasons = []
    if [data for _, data, _ in sent] != arrived:
        lost = [what for what, data, _ in sent if data not in arrived]
        reasons.append(f"{len(arrived)} of {len(sent)} datagrams arrived as sent; not: {lost}")
    whole = {payload: mark for mark, payload in seen}
    for what, data, mark in sent:
        found = whole.get(data)
        if found is None and len(data) > 1472:
            found = next((seen_mark for payload, seen_mark in whole.items()
                          if payload and data.startswith(payload[:1400])), None)
        if found != mark:
            reasons.append(f"{what}: mark {found}, must be {mark}")
    return reasons


def parts(network, folder, shim):
    """The programs of the run, in the order in which they start."""
    relay = TESTBED.parent / "build" / "programs" / "relay"
    here = [sys.executable, __file__]
    yield "witness", network.resolver, [*here, "--witness", folder], folder / "witness.ready"
    yield "relay", network.resolver, [
        "env", f"LD_PRELOAD={shim}", relay, plan.resolver_address(4), plan.upstream_address(4)], None
    yield "sender", network.clients, [*here, "--sender", folder], folder / "sent"


def experiment(shim):
    """Build everything, send, and return the reasons for failure."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="connmark-testbed."))
    network, sent, daemons = Network(), datagrams(), []
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(network.close)
        network.build(plan.client_marks(1))
        firewall.Rules(plan.client_marks(1)).install(network)
        sink = Sink(network, folder)
        undo.callback(sink.stop)
        for name, namespace, argv, ready in parts(network, folder, shim):
            daemons.append(Daemon(name, network.inside(namespace, argv), folder))
            undo.callback(daemons[-1].stop)
            if ready:
                wait_until(ready.exists, 60, f"{name}")
            else:
                listening(network)
        wait_until(lambda: len(sink.datagrams()) >= len(sent), 10, "the datagrams to arrive")
        daemons[1].check()
        daemons[0].stop()
        lines = (folder / "witness.txt").read_text(encoding="ascii").splitlines()
        seen = [(int(line.split(" ")[0]), bytes.fromhex(line.split(" ")[1])) for line in lines]
        return compare(sent, sink.datagrams(), seen), len(sent)


def listening(network):
    """Wait until the relay has its socket."""
    wait_until(lambda: ":53 " in network.run(network.resolver, "ss", "-Hlun"), 10, "the relay")


def main():
    """The experiment, or one of its parts inside a namespace."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shim", default=str(TESTBED.parent / "build" / "libconnmarkshim.so"))
    for part in ("sink", "sender", "witness"):
        parser.add_argument(f"--{part}", type=pathlib.Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    for part, run in (("sink", run_sink), ("sender", run_sender), ("witness", run_witness)):
        if getattr(options, part):
            return run(getattr(options, part))
    begun = time.monotonic()
    reasons, count = experiment(options.shim)
    for reason in reasons:
        print(f"    {reason}")
    print(f"hostile: {count} datagrams, {len(reasons)} complaints, "
          f"{time.monotonic() - begun:.1f} s")
    print("FAIL" if reasons else "PASS")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
