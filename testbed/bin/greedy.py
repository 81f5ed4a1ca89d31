#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One client that asks ever new names at a steady rate and waits for nothing, until it is told to stop.

Its names spell its mark (lib/names.py), so the witness judges them as any other's. The result is a JSON
object: sent, answered (by anything), refused (no room in the socket's buffer), seconds.
"""

import argparse
import pathlib
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import dnswire
import plan
import programs

TURN_SECONDS = 0.02
SOCKET_SECONDS = 1              # then the next: another source port, another flow
LINGER_SECONDS = 0.3            # for answers that are under way at the end


class Flood:
    """Sends, and counts what comes back."""

    def __init__(self, options):
        self._options = options
        self._sock, self._opened = None, 0
        self.sent = self.answered = self.refused = 0

    def turn(self, due):
        """Send until `due` have been sent, and read what is there."""
        if not self._sock or time.monotonic() - self._opened > SOCKET_SECONDS:
            self._open()
        while self.sent + self.refused < due:
            self._send()
        self.read()

    def _open(self):
        if self._sock:
            self.read()
            self._sock.close()
        family = socket.AF_INET6 if self._options.ip == 6 else socket.AF_INET
        self._sock, self._opened = socket.socket(family, socket.SOCK_DGRAM), time.monotonic()
        self._sock.setblocking(False)
        self._sock.bind((plan.client_address(self._options.mark, self._options.ip), 0))
        self._sock.connect((self._options.server, plan.PORT))

    def _send(self):
        serial = self._options.first_serial + self.sent + self.refused
        labels = f".{self._options.label}" if self._options.label else ""
        name = f"m{self._options.mark}-{serial:06d}{labels}.{plan.ZONE}".encode()
        try:
            self._sock.send(dnswire.build_query(serial & 0xFFFF, name, dnswire.A))
            self.sent += 1
        except OSError:
            self.refused += 1

    def read(self):
        """Take all the answers that are there."""
        while True:
            try:
                self._sock.recv(4096)
                self.answered += 1
            except BlockingIOError:
                return
            except OSError:             # an ICMP error of an earlier query
                continue


def main():
    """Ask until SIGTERM, write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, metavar="ADDRESS")
    parser.add_argument("--mark", type=int, required=True, help="the client's, and its last octet")
    parser.add_argument("--rate", type=float, default=200, help="queries a second")
    parser.add_argument("--label", default="rnd50", help="what the upstream shall do")
    parser.add_argument("--ip", type=int, choices=(4, 6), default=4)
    parser.add_argument("--first-serial", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="result (default: stdout)")
    options = parser.parse_args()
    stop, flood, started = programs.StopFlag(), Flood(options), time.monotonic()
    while not stop:
        flood.turn((time.monotonic() - started) * options.rate)
        select.select([stop.read_end], [], [], TURN_SECONDS)
    seconds = time.monotonic() - started
    time.sleep(LINGER_SECONDS)
    flood.read()
    programs.write_json(options.json, {"sent": flood.sent, "answered": flood.answered, "refused": flood.refused,
                                       "seconds": round(seconds, 3)})


if __name__ == "__main__":
    main()
