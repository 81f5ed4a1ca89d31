#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Floods a resolver with distinct names, from an address that has no mark.

All of them lie beneath one zone, and their names have no owner: f-N.DIRECTIVES.ZONE. It sends at an
even rate and does not wait for answers. The ready file appears once so many queries are out that they
fill a table of the default size. The result is a JSON object: sent, seconds.
"""

import argparse
import pathlib
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import dnswire
import plan
import programs

BURST = 50
FILLED = 20000          # more than a shard of the table has room for, twice over


def opened(server, port):
    """A socket of the one address that all of it comes from."""
    family = 6 if ":" in server else 4
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((plan.client_address(plan.PROBE_HOST, family), 0))
    sock.connect((server, port))
    return sock


def flood(options, sock, stop):
    """Send it; returns how many were."""
    begun = time.monotonic()
    suffix = f".{options.directives}.{plan.ZONE}"
    for number in range(options.queries):
        if stop:
            return number
        if number % BURST == 0:
            time.sleep(max(0.0, begun + number / options.rate - time.monotonic()))
        if number == min(FILLED, options.queries - 1):
            programs.announce_ready(options.ready_file)
        try:
            sock.send(dnswire.build_query(number & 0xFFFF, f"f-{number}{suffix}".encode(), dnswire.A))
        except OSError:     # a full queue: the next one
            time.sleep(0.001)
    return options.queries


def main():
    """Flood, and say how much it was."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=plan.PORT)
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--rate", type=float, default=12000, help="queries a second")
    parser.add_argument("--directives", default="dly900")
    parser.add_argument("--ready-file")
    parser.add_argument("--json")
    options = parser.parse_args()
    begun, stop = time.monotonic(), programs.StopFlag()
    with opened(options.server, options.port) as sock:
        sent = flood(options, sock, stop)
    programs.write_json(options.json, {"sent": sent, "seconds": time.monotonic() - begun})
    return 0


if __name__ == "__main__":
    sys.exit(main())
