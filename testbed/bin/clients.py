#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks many DNS questions from many client addresses at once and checks each answer.

Every query spells in its name the mark of the client which asks it (lib/names.py). UDP queries
have a fresh socket each, like those of a stub resolver; over TCP and TLS there is one connection for
every --tcp-pipeline queries. A truncated UDP answer is asked again over TCP, as stubs do.

With --again N each question is asked twice: N s after its answer by another client. Its name spells
everybody's marks then, and who asked when is listed (lib/refresh.py).

The result is a JSON object:
  asked, distinct   queries, and different questions among them
  answered          with the expected rcode (NXDOMAIN where the name has the directive nx)
  failed            another rcode, or no address and no CNAME either
  unauthenticated   of the failed, with --authenticated: answers without the AD bit from a signed
                    zone, and answers to names with the directive bogus, which must be SERVFAIL
  lost              no answer within the timeout and its retries
  wrong             answered with an address that does not belong to the name
  cname_only        answered with a CNAME that the resolver did not follow
  retried_over_tcp  truncated answers that were asked again
"""

import argparse
import collections
import itertools
import pathlib
import random
import selectors
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import dnswire
import names
import plan
import programs
import tlsclient
import tree

IP_BIND_ADDRESS_NO_PORT = 24
MAX_DETAILS = 50


class Query:
    """One question of one client."""

    __slots__ = ("ident", "name", "qtype", "wire", "expected_rcode", "expected_rdata",
                 "sent", "authenticated", "again")

    def __init__(self, ident, name, qtype, authenticated=False):
        self.ident = ident
        self.name = name
        self.qtype = qtype
        self.sent = None                # when it was asked for the first time
        self.again = False              # the second time, by another client
        self.authenticated = authenticated and not tree.is_unsigned(name)
        self.wire = dnswire.build_query(ident, name, qtype,
                                        flags=dnswire.RD | (dnswire.AD if authenticated else 0))
        wanted = names.directives(name)
        self.expected_rcode = (
            dnswire.SERVFAIL if self.authenticated and b"bogus" in wanted
            else dnswire.NXDOMAIN if b"nx" in wanted else dnswire.NOERROR)
        address = {dnswire.A: names.address_v4, dnswire.AAAA: names.address_v6}.get(qtype)
        self.expected_rdata = address(name) if address else None

    def judge(self, message, question):
        """'answered', 'failed', 'unauthenticated', 'wrong' or 'cname_only'."""
        if self.authenticated and question.rcode in (dnswire.NOERROR, dnswire.NXDOMAIN) and (
                self.expected_rcode == dnswire.SERVFAIL or not question.flags & dnswire.AD):
            return "unauthenticated"
        if question.rcode != self.expected_rcode:
            return "failed"
        if question.rcode != dnswire.NOERROR or self.expected_rdata is None:
            return "answered"
        found = list(dnswire.records(message, question))
        rdata = [data for _, rtype, data, _ in found if rtype == self.qtype]
        if rdata:
            return "answered" if rdata == [self.expected_rdata] else "wrong"
        if any(rtype == dnswire.CNAME for _, rtype, _, _ in found):
            return "cname_only"
        return "failed"


class Exchange:
    """One socket of one client, with the queries that it waits for."""

    def __init__(self, client, queries, over_tcp):
        self.client = client
        self.over_tcp = over_tcp
        self.waiting = {query.ident: query for query in queries}
        self.tries = 0
        self.sock = None
        self.received = bytearray()
        self.pending = bytearray()
        self.tls = None                 # a tlsclient.Session


class Workload:
    """The exchanges to make, in order: names, types, directives and clients."""

    def __init__(self, options):
        self._options = options
        self._random = random.Random(options.seed)
        self._marks = plan.client_marks(options.clients)
        self._mix = parse_mix(options.directives)
        self._types = [dnswire.TYPES[text] for text in options.qtypes.split(",")]
        self._serial = itertools.count(options.first_serial)
        self._kinds = tree.parse_kinds(options.tree) if options.tree else None
        self.distinct = 0

    def __iter__(self):
        if self._options.same > 1:
            return self._groups()
        return self._singles()

    def _name(self, owner, serial):
        directives = self._random.choices(*self._mix)[0]
        self.distinct += 1
        zone = self._options.zone.encode()
        if self._kinds:
            kind = self._random.choices(*self._kinds)[0]
            zone = tree.place(kind, owner, serial, self._options.clients)
        return b".".join([b"%s-%06d" % (owner, serial), *directives, zone])

    def _query(self, name, qtype):
        return Query(self._random.randrange(1 << 16), name, qtype, self._options.authenticated)

    def _singles(self):
        left = self._options.queries
        over_tcp = self._options.proto != "udp"
        per_socket = self._options.tcp_pipeline if over_tcp else 1
        for mark in itertools.cycle(self._marks):
            if left <= 0:
                return
            queries = {}
            for _ in range(min(per_socket, left)):
                name = self._name(self._owner(mark), next(self._serial))
                query = self._query(name, self._random.choice(self._types))
                while query.ident in queries:
                    query = self._query(name, query.qtype)
                queries[query.ident] = query
            left -= len(queries)
            yield Exchange(mark, queries.values(), over_tcp)

    def _owner(self, mark):
        if self._options.again:
            return b"any%dto%d" % (self._marks[0], self._marks[-1])
        return b"m%d" % mark

    def second(self, client, query):
        """The same question by another client."""
        query = self._query(query.name, query.qtype)
        query.again = True
        other = (self._marks.index(client) + len(self._marks) // 2) % len(self._marks)
        return Exchange(self._marks[other], [query], self._options.proto != "udp")

    def _groups(self):
        marks, size = list(self._marks), self._options.same
        starts = itertools.cycle(range(0, len(marks) - size + 1, size))
        for _ in range(self._options.queries // size):
            start = next(starts)
            group = marks[start:start + size]
            name = self._name(b"any%dto%d" % (group[0], group[-1]), next(self._serial))
            qtype = self._random.choice(self._types)
            for mark in group:
                yield Exchange(mark, [self._query(name, qtype)], self._options.proto != "udp")


class Clients:
    """Keeps the wanted number of queries in flight and counts what becomes of them."""

    def __init__(self, options, stop, workload):
        self._options = options
        self._stop = stop
        self._workload = workload
        self._family = socket.AF_INET6 if options.ip == 6 else socket.AF_INET
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop.read_end, selectors.EVENT_READ)
        self._deadlines = collections.deque()
        self._seconds = collections.deque()     # (when, client, query) to be asked again
        self._in_flight = 0
        self.details = []
        self.waits = []                 # (client, name, when it was asked, when it was over)
        self.counts = collections.Counter(dict.fromkeys(
            ("asked", "answered", "failed", "lost", "wrong", "cname_only", "retried_over_tcp",
             "resent", "unauthenticated"), 0))

    def run(self):
        """Ask everything; returns when nothing is waited for any more."""
        exchanges = iter(self._workload)
        upcoming = next(exchanges, None)
        while (upcoming or self._in_flight or self._seconds) and not self._stop:
            while upcoming and self._room_for(upcoming):
                self._ask(upcoming)
                upcoming = next(exchanges, None)
            while self._second_due():
                self._ask(self._workload.second(*self._seconds.popleft()[1:]))
            self._wait()

    def _second_due(self):
        return (self._seconds and self._seconds[0][0] <= time.monotonic()
                and self._in_flight < self._options.in_flight)

    def _ask(self, exchange):
        self.counts["asked"] += len(exchange.waiting)
        self._start(exchange)

    def _room_for(self, exchange):
        if not self._in_flight:
            return True
        return self._in_flight + len(exchange.waiting) <= self._options.in_flight

    def _start(self, exchange):
        kind = socket.SOCK_STREAM if exchange.over_tcp else socket.SOCK_DGRAM
        sock = socket.socket(self._family, kind)
        sock.setblocking(False)
        if exchange.over_tcp:
            sock.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((plan.client_address(exchange.client, self._options.ip), 0))
        sock.connect_ex((self._options.server, self._options.port))
        exchange.sock = sock
        exchange.received.clear()
        self._in_flight += len(exchange.waiting)
        self._selector.register(sock, selectors.EVENT_READ, exchange)
        self._send(exchange)

    def _send(self, exchange):
        exchange.tries += 1
        now = time.monotonic()
        self._deadlines.append((now + self._options.timeout, exchange, exchange.tries))
        for query in exchange.waiting.values():
            query.sent = query.sent or now
        if exchange.over_tcp:
            queries = b"".join(dnswire.framed(query.wire) for query in exchange.waiting.values())
            exchange.tls = tlsclient.Session(queries) if self._options.proto == "tls" else None
            exchange.pending = bytearray(exchange.tls.output() if exchange.tls else queries)
            self._selector.modify(exchange.sock, selectors.EVENT_READ | selectors.EVENT_WRITE,
                                  exchange)
            return
        for query in exchange.waiting.values():
            try:
                exchange.sock.send(query.wire)
            except OSError:                 # refused so far; a retry may still succeed
                self.counts["send_errors"] += 1

    def _wait(self):
        full = self._in_flight >= self._options.in_flight
        queues = (self._deadlines, () if full else self._seconds)
        due = min((queue[0][0] for queue in queues if queue),
                  default=None)
        timeout = None if due is None else max(0, due - time.monotonic())
        for key, events in self._selector.select(timeout):
            if key.data is None:
                continue
            if events & selectors.EVENT_WRITE:
                self._write(key.data)
            if events & selectors.EVENT_READ and key.data.sock:
                self._read(key.data)
        self._expire()

    def _write(self, exchange):
        try:
            sent = exchange.sock.send(exchange.pending)
        except BlockingIOError:
            return
        except OSError:                     # the reader sees it as well and closes
            sent = len(exchange.pending)
        del exchange.pending[:sent]
        if not exchange.pending:
            self._selector.modify(exchange.sock, selectors.EVENT_READ, exchange)

    def _read(self, exchange):
        try:
            data = exchange.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(exchange, error)
            return
        if not exchange.over_tcp:
            self._answer(exchange, data)
        elif data:
            exchange.received += self._decrypted(exchange, data)
            for message in dnswire.take_frames(exchange.received):
                self._answer(exchange, message)
        else:
            self._broken(exchange, None)
        if not exchange.waiting:
            self._close(exchange)

    def _decrypted(self, exchange, data):
        """The plain bytes; what TLS wants to say to them is sent."""
        if not exchange.tls:
            return data
        plain = exchange.tls.take(data)
        exchange.pending += exchange.tls.output()
        if exchange.pending:
            self._selector.modify(exchange.sock, selectors.EVENT_READ | selectors.EVENT_WRITE,
                                  exchange)
        return plain

    def _broken(self, exchange, error):
        """An ICMP error on UDP only counts; a TCP connection is over, and may be tried again."""
        self.counts["socket_errors"] += 1
        self._note("socket", error or "closed by the server", exchange)
        if exchange.over_tcp:
            self._try_again(exchange)

    def _answer(self, exchange, message):
        try:
            question = dnswire.Question(message)
            query = exchange.waiting.get(question.ident)
            if query is None or not question.is_response or question.name != query.name:
                self.counts["unexpected"] += 1
                return
            if question.flags & dnswire.TC and not exchange.over_tcp:
                self._ask_over_tcp(exchange, query)
                return
            verdict = query.judge(message, question)
        except dnswire.Malformed:
            self.counts["malformed"] += 1
            return
        del exchange.waiting[query.ident]
        self._in_flight -= 1
        self._over(exchange, query)
        self.counts[verdict] += 1
        if verdict in ("wrong", "cname_only"):
            self.counts["answered"] += 1
        if verdict == "unauthenticated":
            self.counts["failed"] += 1
        if self._options.again and not query.again:
            self._seconds.append((time.monotonic() + self._options.again, exchange.client, query))
        if verdict in ("wrong", "failed", "unauthenticated"):
            self._note(verdict, f"rcode {question.rcode}", exchange, query)

    def _over(self, exchange, query):
        """The client waits for this one no longer."""
        self.waits.append((exchange.client, query.name.decode(), query.sent, time.monotonic()))

    def _ask_over_tcp(self, exchange, query):
        self.counts["retried_over_tcp"] += 1
        del exchange.waiting[query.ident]
        self._in_flight -= 1
        self._start(Exchange(exchange.client, [query], True))

    def _note(self, what, text, exchange, query=None):
        if len(self.details) < MAX_DETAILS:
            query = query or next(iter(exchange.waiting.values()))
            self.details.append({"what": what, "text": str(text), "client": exchange.client,
                                 "name": query.name.decode("ascii", "replace")})

    def _expire(self):
        now = time.monotonic()
        while self._deadlines:
            due, exchange, tries = self._deadlines[0]
            done = exchange.tries != tries or not exchange.waiting
            if not done and due > now:
                return
            self._deadlines.popleft()
            if not done:
                self._try_again(exchange)

    def _try_again(self, exchange):
        if exchange.tries > self._options.retries:
            self._give_up(exchange)
            return
        self.counts["resent"] += len(exchange.waiting)
        if exchange.over_tcp:
            self._close(exchange)
            self._in_flight -= len(exchange.waiting)
            self._start(exchange)
        else:
            self._send(exchange)

    def _give_up(self, exchange):
        self._note("lost", f"after {exchange.tries} tries", exchange)
        self.counts["lost"] += len(exchange.waiting)
        self._in_flight -= len(exchange.waiting)
        for query in exchange.waiting.values():
            self._over(exchange, query)
        exchange.waiting.clear()
        self._close(exchange)

    def _close(self, exchange):
        if exchange.sock:
            self._selector.unregister(exchange.sock)
            exchange.sock.close()
            exchange.sock = None


def parse_mix(text):
    """'rnd50:8,cnin+rnd9:1,none:1' as (lists of labels, weights)."""
    choices, weights = [], []
    for part in text.split(","):
        labels, _, weight = part.partition(":")
        labels = [] if labels == "none" else labels.encode().split(b"+")
        for label in labels:
            if not names.parse_directive(label):
                raise argparse.ArgumentTypeError(f"'{label.decode()}' is no directive")
        choices.append(labels)
        weights.append(int(weight or 1))
    return choices, weights


def arguments():
    """The command line's grammar."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=plan.PORT)
    parser.add_argument("--ip", type=int, choices=(4, 6), default=4)
    parser.add_argument("--proto", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=plan.MAX_CLIENTS)
    parser.add_argument("--in-flight", type=int, default=64, help="queries waiting, over all")
    parser.add_argument("--directives", default="none",
                        help="labels with weights, joined by '+': rnd50:8,cnin+rnd9:1,none:1")
    parser.add_argument("--qtypes", default="A", help="A,AAAA,TXT,MX,NS: chosen at random")
    parser.add_argument("--same", type=int, default=1, metavar="N",
                        help="each question is asked by N clients at once")
    parser.add_argument("--tcp-pipeline", type=int, default=1, metavar="N",
                        help="queries on one TCP connection")
    parser.add_argument("--again", type=float, default=0, metavar="SECONDS",
                        help="each question a second time, so long after its answer")
    parser.add_argument("--timeout", type=float, default=5)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--zone", default=plan.ZONE)
    parser.add_argument("--tree", metavar="KINDS",
                        help=f"names in a tree of zones instead: {tree.ALL_KINDS} (lib/tree.py)")
    parser.add_argument("--keep-waits", action="store_true",
                        help="list who waited when for what, as always with --tree")
    parser.add_argument("--authenticated", action="store_true",
                        help="answers must be validated: ask for the AD bit, and expect it")
    parser.add_argument("--list", action="store_true", help="print the names and ask nothing")
    parser.add_argument("--first-serial", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="result (default: stdout)")
    return parser


def main():
    """Ask everything and write the result."""
    parser = arguments()
    options = parser.parse_args()
    if options.same > options.clients:
        parser.error("--same needs as many clients")
    if options.again and (options.same > 1 or options.clients < 2):
        parser.error("--again needs two clients, and no --same")
    options.keep_waits |= bool(options.tree or options.again)
    stop = programs.StopFlag()
    try:
        workload = Workload(options)
    except (ValueError, KeyError, argparse.ArgumentTypeError) as error:
        parser.error(f"{error}")
    if options.list:
        print(*sorted({query.name.decode() for exchange in workload
                       for query in exchange.waiting.values()}), sep="\n")
        return
    clients = Clients(options, stop, workload)
    started = time.monotonic()
    clients.run()
    programs.write_json(options.json, {
        **clients.counts, "distinct": workload.distinct,
        "seconds": round(time.monotonic() - started, 3), "interrupted": bool(stop),
        "details": clients.details, **({"waits": clients.waits} if options.keep_waits else {})})


if __name__ == "__main__":
    main()
