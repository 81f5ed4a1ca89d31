# SPDX-License-Identifier: GPL-2.0-or-later
"""One cell of the test matrix: a network, and one run of a resolver after the other in it."""

import contextlib
import json
import math
import os
import pathlib
import shutil
import tempfile

import account
import encrypted
import fastopen
import firewall
import flows
import inspection
import plan
import recursion
import refresh
import service
import signedtree
import uplinks
from daemons import Daemon, TestbedError, command
from ends import SIGNED_FOLDER, Ends
from netlab import Network

FLOOD_SECONDS = 120         # of patience, once the clients are done
PHASES = 3                  # of clients, where the resolver loads anew between them


class Cell:
    """The network, the firewall and the folder of all the runs of one command line."""

    def __init__(self, options):
        self.options = options
        self._undo = contextlib.ExitStack()
        self.network = Network(options.uplinks)
        self.folder = None

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_):
        self._undo.close()

    def _build(self):
        options, marks = self.options, plan.client_marks(self.options.clients)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="connmark-testbed."))
        self.folder.chmod(0o755)
        if not options.keep:
            self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._undo.callback(self.network.close)
        self.network.build(marks)
        if options.fast_open:
            for namespace in (self.network.resolver, *self.network.upstreams):
                self.network.run(namespace, "sysctl", "-q", "-w", fastopen.SYSCTL)
        for pair in options.sysctl:
            self.network.run(self.network.resolver, "sysctl", "-q", "-w", pair)
        if options.dnssec:
            self._sign()
        firewall.Rules(marks, options.rules, options.via, options.one_flow_per_mark,
                       options.client_zone, bool(options.other_bits),
                       tuple(marks[len(marks) - options.untracked:])).install(self.network)

    def _sign(self):
        """The zones of all that the clients will ask."""
        ends = Ends(self.options, self.folder / "none", None)
        listed = [command(*map(str, ends.clients("none", phase * self.options.queries)), "--list")
                  for phase in range(PHASES if self.options.reload else 1)]
        signedtree.build(self.folder / SIGNED_FOLDER, "".join(listed).encode().split(),
                         self.options.upstream_ip)

    def run(self, number, shim):
        """One resolver from start to end; returns the record for the JSON."""
        folder = self.folder / f"{number}-{'shimmed' if shim else 'bare'}"
        folder.mkdir(mode=0o755)
        self.network.run(self.network.resolver, "conntrack", "-F")
        with Run(self, folder, shim) as run:
            return {"round": number, "mode": "shimmed" if shim else "bare", **run.play()}


class Run:
    """A fresh upstream, witness and resolver, and the clients that ask it."""

    def __init__(self, cell, folder, shim):
        self._options, self._network = cell.options, cell.network
        self._folder, self._shim = folder, shim
        self._ends = Ends(cell.options, folder, shim)
        self._undo = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._undo.close()

    def play(self):
        """Everything in its order: the witness sees the resolver from its first packet on."""
        before = firewall.logged(self._network, self._options.rules)
        upstreams = self._upstreams()
        flow_watch = self._watch_flows() if self._options.watch_flows else None
        witness = self._start("witness", self._network.resolver, self._ends.witness(), ready=True)
        opened = fastopen.opened(self._network) if self._options.fast_open else 0
        resolver = self._resolver()
        self._probe()
        clients, life = self._ask(resolver)
        resolver.check()
        record = {**self._inspect(resolver), "clients": clients, "life": life}
        if self._options.account and self._shim:
            record["stats"] = account.snapshot(self._folder)
        if self._options.fast_open:
            record["fast_open"] = fastopen.opened(self._network) - opened
        record["resolver"]["exit_status"] = resolver.stop()
        record["resolver"]["stderr"] = resolver.stderr()
        at_least = firewall.logged(self._network, self._options.rules) - before
        for daemon in (witness, *upstreams, *filter(None, [flow_watch])):
            daemon.stop()
        record["logged"] = firewall.logged(self._network, self._options.rules) - before
        self._collect(record, len(upstreams), flow_watch)
        # connections that nobody answers are tried again after their program has ended
        record["complete"] = (record["witness"]["complete"] and
                              at_least <= record["witness"]["packets"] <= record["logged"])
        return record

    def stand(self, with_resolver=True):
        """Upstream and resolver, ready for what somebody else does with them; returns the resolver."""
        self._upstreams()
        if not with_resolver:
            return None
        resolver = self._resolver()
        self._probe()
        return resolver

    def _collect(self, record, upstreams, flow_watch):
        """The programs' results, and what they mean together."""
        record["witness"] = self._result("witness")
        record["upstreams"] = [self._result(f"upstream{number}") for number in range(upstreams)]
        record["upstream"] = record["upstreams"][0]
        if upstreams > 1 or flow_watch:
            record["arrivals"] = uplinks.settle(record)
        if flow_watch:
            record["marked_flows"] = flows.judge(
                flow_watch.out_path.read_text(encoding="ascii"),
                {plan.upstream_address(family) for family in (4, 6)})
        if self._ends.recursing:
            recursion.settle(record)
        elif self._ends.encrypted:
            encrypted.settle(record)
        elif self._options.refresh:
            record["refreshes"] = refresh.settle(record, self._options.refresh)
        if "stats" in record:
            account.settle(record, self._folder, int(self._options.mask, 0))

    def _start(self, name, namespace, argv, ready=False):
        daemon = Daemon(name, self._network.inside(namespace, argv), self._folder)
        self._undo.callback(daemon.stop)
        if ready:
            daemon.await_file(self._folder / f"{name}.ready")
        return daemon

    def _upstreams(self):
        return [self._start(f"upstream{number}", namespace, self._ends.upstream(f"upstream{number}"),
                            ready=True)
                for number, namespace in enumerate(self._network.upstreams)]

    def _watch_flows(self):
        watch = self._start("flows", self._network.resolver, flows.WATCH)
        flows.await_watch(watch, self._network)
        return watch

    def _resolver(self):
        argv, namespace = self._ends.resolver(), self._network.resolver
        if self._options.daemonise:
            resolver = service.Background(self._network, argv, self._folder)
        else:
            resolver = service.Foreground("resolver", self._network.inside(namespace, argv),
                                          self._folder)
        self._undo.callback(resolver.stop)
        return resolver

    def _probe(self):
        self._start("probe", self._network.clients, self._ends.probe()).finish(30)

    def _ask(self, resolver):
        """All the clients' queries; returns (their result, what was seen of the resolver's life)."""
        if self._options.flood:
            return self._beside_flood(), {}
        if not self._options.reload:
            return self._clients("clients", 0), {}
        results, life = [self._clients("clients1", 0)], {}
        command = self._ends.reload(resolver.pid)
        life["reloaded"] = command is not None
        if command:
            self._start("reload", self._network.resolver, command).finish(20)
            self._probe()
        for phase in range(1, PHASES):
            results.append(self._clients(f"clients{phase + 1}", phase * self._options.queries))
            resolver.check()
            life[f"descriptors{phase}"] = service.settled_descriptors(
                resolver, life.get("descriptors1"))
        life["zombies"] = service.zombies(resolver)
        return _together(results), life

    def _beside_flood(self):
        flood = self._start("flood", self._network.clients, self._ends.flood(), ready=True)
        clients = self._clients("clients", 0)
        flood.finish(FLOOD_SECONDS)
        return {**clients, "flood": self._result("flood")}

    def _clients(self, name, first_serial):
        clients = self._start(name, self._network.clients, self._ends.clients(name, first_serial))
        clients.finish(self._patience())
        return self._result(name)

    def _result(self, name):
        path = self._folder / f"{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TestbedError(f"{name} left no result") from None

    def _patience(self):
        """Longer than the clients need where every single query is lost."""
        options = self._options
        turns = math.ceil(options.queries / max(1, options.in_flight - options.tcp_pipeline + 1))
        return 60 + refresh.AGAIN_SECONDS.get(options.refresh, 0) + turns * options.timeout * (options.retries + 1)

    def _inspect(self, resolver):
        pids = resolver.pids()
        record = {"mapped": bool(self._shim) and all(
            inspection.maps(pid, os.path.realpath(self._shim)) for pid in pids)}
        record["resolver"] = {"command": resolver.argv[4:], "pids": pids}
        if self._options.inspect:
            record["resolver"]["tasks"] = [
                entry for pid in pids for entry in inspection.statuses(pid)]
            record["flows"] = inspection.flows(self._network)
        return record


def _together(results):
    """The results of clients that came one after the other, as one."""
    whole = dict(results[0])
    for one in results[1:]:
        for key, value in one.items():
            whole[key] = whole.get(key, type(value)()) + value
    whole["interrupted"] = any(one["interrupted"] for one in results)
    return whole
