#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a resolver, from an address which has no mark, until it answers; then exits with 0.

With --tcp it also waits until the resolver accepts a TCP connection. Exits with 1 where the
time is up. The names it asks have no owner: ready-N.ZONE.
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

TRY_SECONDS = 0.25


def answers(options, attempt):
    """Whether one UDP query got NOERROR."""
    name = f"ready-{attempt}.{options.zone}".encode()
    with opened(options, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((options.server, options.port))
            sock.send(dnswire.build_query(attempt & 0xFFFF, name, dnswire.A))
            question = dnswire.Question(sock.recv(4096))
        except (OSError, dnswire.Malformed):
            return False
        return question.rcode == dnswire.NOERROR


def accepts(options):
    """Whether a TCP connection can be made."""
    with opened(options, socket.SOCK_STREAM) as sock:
        return sock.connect_ex((options.server, options.port)) == 0


def opened(options, kind):
    """A socket bound to the probe's address, with a short timeout."""
    family = 6 if ":" in options.server else 4
    sock = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)
    sock.settimeout(TRY_SECONDS)
    sock.bind((plan.client_address(plan.PROBE_HOST, family), 0))
    return sock


def main():
    """Try until it works or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=plan.PORT)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--zone", default=plan.ZONE)
    parser.add_argument("--patience", type=float, default=15, metavar="SECONDS")
    options = parser.parse_args()
    end = time.monotonic() + options.patience
    attempt = 0
    while time.monotonic() < end:
        attempt += 1
        started = time.monotonic()
        if answers(options, attempt) and (not options.tcp or accepts(options)):
            return 0
        if time.monotonic() - started < TRY_SECONDS:    # refused at once: not yet listening
            time.sleep(0.02)
    return 1


if __name__ == "__main__":
    sys.exit(main())
