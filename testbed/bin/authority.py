#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The name servers of a whole tree of zones, from the root down: for resolvers that recurse.

Each address of the upstream net serves its part of the tree (lib/tree.py): the root, the top-level
domains, the shared zones, the clients' zones. Referrals and their glue have a TTL of 1 s.

At the clients' own zones the directives of upstream.py hold: dlyN, rndN, drop1, dropall and tc for
any question there, and cnin, cnout, cnch, servf1 and nx for whole names. Shared zones answer after
0 to --shared-delay ms, the same each time for the same name.

With --signed the answers are those of a `named` that has the tree's zones signed
(lib/signedtree.py), which runs as long as this program; bogus then falsifies an address.
"""

import argparse
import ipaddress
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE)]

# pylint: disable=wrong-import-position
import dnswire
import names
import plan
import programs
import signedtree
import tree
from upstream import Upstream

ADDRESS_TYPE = {4: dnswire.A, 6: dnswire.AAAA}
ANSWER_TTL = 60
NAMED_SECONDS = 15          # to load all zones


class Host:
    """What one address of the upstream net answers. Knows nothing of sockets."""

    def __init__(self, number, options, counters, seen):
        self._number = number
        self._family = options.family
        self._shared_delay = options.shared_delay
        self._counters = counters
        self._is_clients = number in tree.CLIENT_HOSTS
        self._seen = seen               # shared by all hosts: a retry may go to another one

    def respond(self, message, over_tcp):
        """(seconds to wait, answer) for a query, or None where nothing shall be answered."""
        try:
            question = dnswire.Question(message)
            edns = dnswire.has_opt(message, question)
        except dnswire.Malformed:
            self._counters["malformed"] += 1
            return None
        name = question.name.lower()
        wanted = names.directives(name) if self._is_clients else {}
        if b"dropall" in wanted or self._first_copy(b"drop1", wanted, question, over_tcp):
            self._counters["dropped"] += 1
            return None
        if b"tc" in wanted and not over_tcp:
            self._counters["truncated"] += 1
            answer = dnswire.build_response(question, edns, flags=dnswire.AA | dnswire.TC)
        else:
            answer = self._response(message, question, edns, wanted)
        return self._delay(name, wanted), answer

    def _first_copy(self, word, wanted, question, over_tcp=False):
        key = word, question.name.lower(), question.qtype
        if word not in wanted or over_tcp or key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _delay(self, name, wanted):
        if not self._is_clients:
            return names.spread(name, self._shared_delay) / 1000
        milliseconds = wanted.get(b"dly", 0)
        if b"rnd" in wanted:
            milliseconds += names.spread(name, wanted[b"rnd"])
        return milliseconds / 1000

    def _response(self, _message, question, edns, wanted):
        parts = self._answer(question, question.name.lower(), wanted)
        return dnswire.build_response(question, edns, **parts)

    def _answer(self, question, name, wanted):
        """The response's flags and sections."""
        way = tree.zones(name)
        if question.qtype == dnswire.DS and len(way) > 1 and way[-1].name == name:
            way.pop()                       # the parent's side of the cut answers
        mine = [depth for depth, zone in enumerate(way) if self._number in zone.hosts]
        if not mine:
            self._counters["refused"] += 1
            return {"flags": dnswire.REFUSED}
        if way[mine[-1]] is not way[-1]:
            return self._referral(way[mine[-1] + 1])
        return self._authoritative(way[-1], question, name, wanted)

    def _referral(self, zone):
        self._counters["referrals"] += 1
        glue = zone.nameservers if zone.glue else ()
        return {"flags": 0, "authority": self._nameservers(zone),
                "additional": [self._address(server) for server in glue]}

    @staticmethod
    def _nameservers(zone):
        return [dnswire.record(zone.name, dnswire.NS, zone.ttl, dnswire.encode_name(server))
                for server in zone.nameservers]

    def _address(self, server):
        text = plan.UPSTREAM_FORMAT[self._family].format(tree.host_of(server))
        return dnswire.record(server, ADDRESS_TYPE[self._family], tree.TTL,
                              ipaddress.ip_address(text).packed)

    def _authoritative(self, zone, question, name, wanted):
        if tree.is_whole(name):
            return self._whole(zone, question, name, wanted)
        if name == zone.name and question.qtype == dnswire.NS:
            return {"flags": dnswire.AA, "answers": self._nameservers(zone)}
        if tree.host_of(name) is not None:
            self._counters["server_addresses"] += 1
            if question.qtype == ADDRESS_TYPE[self._family]:
                return {"flags": dnswire.AA, "answers": [self._address(name)]}
            return self._nothing(zone, dnswire.NOERROR)
        if name == zone.name or tree.is_empty(name):
            self._counters["empty"] += 1
            return self._nothing(zone, dnswire.NOERROR)
        return self._nothing(zone, dnswire.NXDOMAIN)

    def _nothing(self, zone, rcode):
        if rcode == dnswire.NXDOMAIN:
            self._counters["nxdomain"] += 1
        return {"flags": dnswire.AA | rcode, "authority": [dnswire.soa(zone.name, tree.TTL)]}

    def _whole(self, zone, question, name, wanted):
        if self._first_copy(b"servf1", wanted, question):
            self._counters["servfail"] += 1
            return {"flags": dnswire.SERVFAIL}
        if b"nx" in wanted:
            return self._nothing(zone, dnswire.NXDOMAIN)
        target = tree.alias(name)
        if target is not None:
            self._counters["cname"] += 1
            rtype, rdata = dnswire.CNAME, dnswire.encode_name(target)
        elif question.qtype == dnswire.A:
            rtype, rdata = dnswire.A, names.address_v4(name)
        elif question.qtype == dnswire.AAAA:
            rtype, rdata = dnswire.AAAA, names.address_v6(name)
        else:
            return self._nothing(zone, dnswire.NOERROR)
        self._counters["answered"] += 1
        return {"flags": dnswire.AA, "answers": [dnswire.record(name, rtype, ANSWER_TTL, rdata)]}


class SignedHost(Host):
    """Faults and delays as ever; what it answers is asked of the signed zones' server."""

    def __init__(self, number, options, counters, seen):
        super().__init__(number, options, counters, seen)
        self._backend = signedtree.BACKEND_FORMAT.format(number), signedtree.BACKEND_PORT

    def _response(self, message, question, edns, wanted):
        if self._first_copy(b"servf1", wanted, question):
            self._counters["servfail"] += 1
            return dnswire.build_response(question, edns, flags=dnswire.SERVFAIL)
        answer = bytearray(self._asked(message))
        self._counters["signed"] += 1
        if b"bogus" in wanted and not tree.is_unsigned(question.name.lower()):
            self._falsify(answer)
        return bytes(answer)

    def _asked(self, message):
        received, frames = bytearray(), []
        with socket.create_connection(self._backend, timeout=2) as sock:
            sock.sendall(dnswire.framed(message))
            while not frames:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("the server of the signed zones closed")
                received += data
                frames = dnswire.take_frames(received)
        return frames[0]

    def _falsify(self, answer):
        """Another address beneath the signature of the right one."""
        for _, rtype, rdata, at in dnswire.records(answer, dnswire.Question(answer)):
            if rtype in (dnswire.A, dnswire.AAAA):
                answer[at + len(rdata) - 1] ^= 1
                self._counters["falsified"] += 1


def signed_server(folder):
    """Start it, and wait until it has loaded."""
    process = subprocess.Popen(  # pylint: disable=consider-using-with
        signedtree.serve(folder), stdin=subprocess.DEVNULL)
    address = signedtree.BACKEND_FORMAT.format(tree.ROOT_HOST), signedtree.BACKEND_PORT
    end = time.monotonic() + NAMED_SECONDS
    while True:
        try:
            socket.create_connection(address, timeout=2).close()    # it loads, then it listens
            return process
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)


def arguments():
    """The command line's grammar."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", type=int, choices=(4, 6), default=4,
                        help="the only kind of address that name servers have")
    parser.add_argument("--shared-delay", type=int, default=15, metavar="MS")
    parser.add_argument("--signed", metavar="FOLDER", type=pathlib.Path,
                        help="where lib/signedtree.py has put the signed zones")
    parser.add_argument("--ready-file", metavar="FILE", help="written when all sockets are open")
    parser.add_argument("--json", metavar="FILE", help="counters at the end (default: stdout)")
    return parser


def main():
    """Parse the command line and serve."""
    options = arguments().parse_args()
    server = Upstream(programs.StopFlag())
    named = signed_server(options.signed) if options.signed else None
    kind, seen = SignedHost if named else Host, set()
    for number in plan.AUTHORITY_HOSTS:
        host = kind(number, options, server.counters, seen)
        server.listen(plan.UPSTREAM_FORMAT[options.family].format(number), plan.PORT, host)
    programs.announce_ready(options.ready_file)
    server.run()
    if named:
        named.terminate()
        named.wait()
    programs.write_json(options.json, server.counters)


if __name__ == "__main__":
    main()
