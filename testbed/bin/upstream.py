#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A scripted DNS upstream: answers any name, and does what the name's directive labels say.

Directives (between the first label and the zone, see lib/names.py):
  dlyN     answer after N ms
  rndN     answer after 0..N ms, the same each time for the same name
  drop1    drop the first UDP copy of each question, answer its repeats
  dropall  never answer
  tc       truncated and empty over UDP, in full over TCP
  cnin     CNAME to the same name without this label, its address not included
  cnout    CNAME to the first label in other.example.org, its address not included
  cnch     a chain of three CNAMEs, one in each answer
  servf1   SERVFAIL to the first copy of each question, then the answer
  servf2   SERVFAIL to the second copy alone
  nx       NXDOMAIN
  ttlN     a TTL of N s

With --tls FILE the same over TLS on port 853, with a certificate made at the start; the result
then says which bytes of which connection carried which question (lib/encrypted.py).

A and AAAA get an address that is derived from the first label, with a TTL of 60 s unless told
otherwise; any other type gets NOERROR, no answer and a SOA record.
"""

import argparse
import collections
import heapq
import itertools
import pathlib
import selectors
import socket
import ssl
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import dnswire
import names
import plan
import programs
import tlsserver

UDP_BATCH = 64              # datagrams taken from one socket before the others have their turn
RECEIVE_BUFFER = 8 << 20
SOA_LABELS = 3
TTL = 60


class Script:
    """Decides what to answer, and when. Knows nothing of sockets."""

    def __init__(self, counters):
        self.counters = counters
        self._dropped = set()
        self._copies = collections.Counter()    # of the questions that fail once

    def respond(self, message, over_tcp):
        """(seconds to wait, answer) for a query, or None where nothing shall be answered."""
        try:
            question = dnswire.Question(message)
            edns = dnswire.has_opt(message, question)
        except dnswire.Malformed:
            self.counters["malformed"] += 1
            return None
        if question.is_response:
            self.counters["malformed"] += 1
            return None
        wanted = names.directives(question.name)
        if self._drops(question, wanted, over_tcp):
            self.counters["dropped"] += 1
            return None
        return self._delay(question, wanted), self._answer(question, edns, wanted, over_tcp)

    def _drops(self, question, wanted, over_tcp):
        if b"dropall" in wanted:
            return True
        return b"drop1" in wanted and not over_tcp and self._first_copy(self._dropped, question)

    def _fails(self, question, wanted):
        copy = {b"servf1": 1, b"servf2": 2}
        which = [copy[word] for word in copy if word in wanted]
        if not which:
            return False
        self._copies[question.name.lower(), question.qtype] += 1
        return self._copies[question.name.lower(), question.qtype] in which

    @staticmethod
    def _first_copy(seen, question):
        key = question.name.lower(), question.qtype
        if key in seen:
            return False
        seen.add(key)
        return True

    @staticmethod
    def _delay(question, wanted):
        milliseconds = wanted.get(b"dly", 0)
        if b"rnd" in wanted:
            milliseconds += names.spread(question.name, wanted[b"rnd"])
        return milliseconds / 1000

    def _answer(self, question, edns, wanted, over_tcp):
        if b"tc" in wanted and not over_tcp:
            self.counters["truncated"] += 1
            return dnswire.build_answer(question, edns, truncated=True)
        if self._fails(question, wanted):
            self.counters["servfail"] += 1
            return dnswire.build_answer(question, edns, rcode=dnswire.SERVFAIL)
        if b"nx" in wanted:
            self.counters["nxdomain"] += 1
            return dnswire.build_answer(question, edns, rcode=dnswire.NXDOMAIN,
                                        soa_owner=zone_of(question.name))
        target = alias(question.name, wanted)
        if target is not None:
            self.counters["cname"] += 1
            return dnswire.build_answer(question, edns,
                                        answer=(dnswire.CNAME, dnswire.encode_name(target)))
        return self._address(question, edns, wanted.get(b"ttl", TTL))

    def _address(self, question, edns, ttl):
        self.counters["answered"] += 1
        if question.qtype == dnswire.A:
            answer = dnswire.A, names.address_v4(question.name)
        elif question.qtype == dnswire.AAAA:
            answer = dnswire.AAAA, names.address_v6(question.name)
        else:
            return dnswire.build_answer(question, edns, soa_owner=zone_of(question.name))
        return dnswire.build_answer(question, edns, answer=answer, ttl=ttl)


def zone_of(name):
    """The wire name of the zone: the last three labels, or fewer where there are fewer."""
    return dnswire.encode_name(b".".join(name.lower().split(b".")[-SOA_LABELS:]))


def alias(name, wanted):
    """The CNAME's target that the directives ask for, or None."""
    if b"cnin" in wanted:
        return names.without_directive(name, b"cnin")
    if b"cnch" in wanted:
        left = wanted[b"cnch"]
        return names.next_in_chain(name, names.CHAIN_LENGTH if left is None else left)
    if b"cnout" in wanted:
        return names.first_label(name) + b"." + plan.OTHER_ZONE.encode()
    return None


class Connection:
    """One TCP client: a buffer each way, the script that answers it, and its TLS or None."""

    def __init__(self, sock, peer, script, session=None):
        self.sock = sock
        self.peer = peer
        self.script = script
        self.session = session
        self.received = bytearray()
        self.pending = bytearray()
        self.open = True

    def messages(self, data):
        """The DNS messages that are whole with these bytes."""
        if self.session:
            return self.session.take(data)
        self.received += data
        return dnswire.take_frames(self.received)

    def outgoing(self, plain):
        """What to send for these bytes, and for the handshake."""
        if not self.session:
            return plain
        if plain:
            self.session.seal(plain)
        return self.session.output()


class Upstream:
    """The sockets, the event loop and the heap of answers which are not yet due."""

    def __init__(self, stop):
        self.counters = collections.Counter()
        self.encrypted = []             # the logs of all TLS sessions
        self.arrivals = None            # see keep_arrivals
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop.read_end, selectors.EVENT_READ, lambda _events: None)
        self._due = []
        self._order = itertools.count()
        self._stop = stop

    def keep_arrivals(self):
        """From now on note where each question came from: (protocol, address, port, name)."""
        self.arrivals = []

    def _arrived(self, protocol, peer, message):
        if self.arrivals is None:
            return
        try:
            name = dnswire.Question(message).name.decode("ascii", "replace")
        except dnswire.Malformed:
            return
        self.arrivals.append((protocol, peer[0], peer[1], name))

    def listen(self, address, port, script):
        """Open UDP and TCP on one address, answered by that script."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        udp.bind((address, port))
        udp.setblocking(False)
        self._watch(udp, lambda _events: self._read_udp(udp, script))
        self.listen_stream(address, port, script)

    def listen_stream(self, address, port, script, context=None):
        """Open TCP on one address, or TLS with that context."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((address, port))
        tcp.listen(1024)
        tcp.setblocking(False)
        self._watch(tcp, lambda _events: self._accept(tcp, script, context))

    def _watch(self, sock, callback, events=selectors.EVENT_READ):
        self._selector.register(sock, events, callback)

    def run(self):
        """Serve until told to stop."""
        while not self._stop:
            timeout = None
            if self._due:
                timeout = max(0, self._due[0][0] - time.monotonic())
            for key, events in self._selector.select(timeout):
                key.data(events)
            self._send_due()

    def _send_due(self):
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def _later(self, delay, send):
        if delay <= 0:
            send()
            return
        heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), send))
        self.counters["most_pending"] = max(self.counters["most_pending"], len(self._due))

    def _read_udp(self, sock, script):
        for _ in range(UDP_BATCH):
            try:
                message, peer = sock.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError:             # an ICMP error of an earlier answer
                continue
            self.counters["udp_queries"] += 1
            self._arrived("udp", peer, message)
            response = script.respond(message, over_tcp=False)
            if response:
                delay, answer = response
                self._later(delay, lambda a=answer, p=peer: self._send_udp(sock, a, p))

    def _send_udp(self, sock, answer, peer):
        try:
            sock.sendto(answer, peer)
        except OSError:
            self.counters["send_errors"] += 1

    def _accept(self, listener, script, context):
        while True:
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError:
                continue
            self.counters["tcp_connections"] += 1
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = tlsserver.Session(context, peer) if context else None
            if session:
                self.encrypted.append(session.log)
            connection = Connection(sock, peer, script, session)
            self._watch(sock, lambda events, c=connection: self._serve(c, events))

    def _serve(self, connection, events):
        if events & selectors.EVENT_WRITE:
            self._flush(connection)
        if events & selectors.EVENT_READ and connection.open:
            self._read_tcp(connection)

    def _read_tcp(self, connection):
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(connection)
            return
        try:
            for message in connection.messages(data):
                self._answer_tcp(connection, message)
        except ssl.SSLError:                # also a client that says good-bye
            self.counters["tls_ended"] += 1
            self._close(connection)
        if connection.open:
            connection.pending += connection.outgoing(b"")
            self._flush(connection)

    def _answer_tcp(self, connection, message):
        self.counters["tls_queries" if connection.session else "tcp_queries"] += 1
        self._arrived("tls" if connection.session else "tcp", connection.peer, message)
        response = connection.script.respond(message, over_tcp=True)
        if response:
            delay, answer = response
            self._later(delay, lambda a=answer: self._send_tcp(connection, a))

    def _send_tcp(self, connection, answer):
        if not connection.open:
            self.counters["closed_before_answer"] += 1
            return
        connection.pending += connection.outgoing(dnswire.framed(answer))
        self._flush(connection)

    def _flush(self, connection):
        if not connection.open:
            return
        try:
            sent = connection.sock.send(connection.pending)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        del connection.pending[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.pending else 0)
        key = self._selector.get_key(connection.sock)
        if key.events != events:
            self._selector.modify(connection.sock, events, key.data)

    def _close(self, connection):
        if connection.open:
            connection.open = False
            self._selector.unregister(connection.sock)
            connection.sock.close()


def main():
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", action="append", required=True, metavar="ADDRESS",
                        help="address for UDP and TCP (repeatable)")
    parser.add_argument("--port", type=int, default=plan.PORT)
    parser.add_argument("--tls", metavar="FILE",
                        help="TLS on port 853 of each address; the certificate goes to this file")
    parser.add_argument("--keep-arrivals", action="store_true",
                        help="list where each question came from")
    parser.add_argument("--ready-file", metavar="FILE", help="written when all sockets are open")
    parser.add_argument("--json", metavar="FILE", help="counters at the end (default: stdout)")
    options = parser.parse_args()
    stop = programs.StopFlag()
    upstream = Upstream(stop)
    if options.keep_arrivals:
        upstream.keep_arrivals()
    script = Script(upstream.counters)
    for address in options.listen:
        upstream.listen(address, options.port, script)
    if options.tls:
        context = tlsserver.certificate(options.tls, options.listen)
        for address in options.listen:
            upstream.listen_stream(address, plan.TLS_PORT, script, context)
    programs.announce_ready(options.ready_file)
    upstream.run()
    programs.write_json(options.json, {
        **upstream.counters, **({"encrypted": upstream.encrypted} if options.tls else {}),
        **({"arrivals": upstream.arrivals} if options.keep_arrivals else {})})


if __name__ == "__main__":
    main()
