#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A tiny forwarder that marks its upstream queries itself: the testbed's control.

It proves the judges before anybody relies on them. Each query of a client, over UDP, gets an
upstream socket of its own, over UDP or TCP, with a mark that is
  right    the one which the name spells
  wrong    another client's
  none     no mark at all
"""

import argparse
import pathlib
import selectors
import socket
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import dnswire
import names
import plan
import programs


def chosen_mark(policy, name):
    """The mark for a question."""
    right = names.owners(name)
    if policy == "none" or right is None:
        return 0
    if policy == "right":
        return right[0]
    return plan.FIRST_MARK + (right[1] + 1 - plan.FIRST_MARK) % plan.MAX_CLIENTS


class Forwarder:
    """One event loop; one upstream socket a query."""

    def __init__(self, options, stop):
        self._options = options
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop.read_end, selectors.EVENT_READ, lambda: None)
        self._stop = stop

    def listen(self, address):
        """Take queries on this address."""
        sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, plan.PORT))
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._query(sock))

    def run(self):
        """Serve until told to stop."""
        while not self._stop:
            for key, _ in self._selector.select():
                key.data()

    def _query(self, listener):
        try:
            message, client = listener.recvfrom(4096)
            question = dnswire.Question(message)
        except (OSError, dnswire.Malformed):
            return
        over_tcp = self._options.upstream_proto != "udp"
        sock = self._connected(chosen_mark(self._options.mark, question.name))
        sock.sendall(dnswire.framed(message) if over_tcp else message)
        received = bytearray()
        self._selector.register(
            sock, selectors.EVENT_READ,
            lambda: self._answer(sock, received, over_tcp, listener, client))

    def _connected(self, mark):
        """A new socket to the upstream with that mark."""
        address, proto = self._options.upstream, self._options.upstream_proto
        sock = socket.socket(family_of(address),
                             socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM)
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.connect((address, plan.TLS_PORT if proto == "tls" else plan.PORT))
        if proto != "tls":
            return sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = context.wrap_socket(sock)
        sock.setblocking(False)
        return sock

    def _answer(self, sock, received, over_tcp, listener, client):
        try:
            data = sock.recv(65536)
        except ssl.SSLWantReadError:        # a record without data of ours
            return
        received += data
        messages = dnswire.take_frames(received) if over_tcp else [data]
        for message in messages:
            listener.sendto(message, client)
        if messages or not data:
            self._selector.unregister(sock)
            sock.close()


def family_of(address):
    """AF_INET6 or AF_INET."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def main():
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mark", choices=("right", "wrong", "none"), required=True)
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS")
    parser.add_argument("--upstream", required=True, metavar="ADDRESS")
    parser.add_argument("--upstream-proto", choices=("udp", "tcp", "tls"), default="udp")
    options = parser.parse_args()
    stop = programs.StopFlag()
    forwarder = Forwarder(options, stop)
    for address in options.listen:
        forwarder.listen(address)
    forwarder.run()


if __name__ == "__main__":
    main()
