# SPDX-License-Identifier: GPL-2.0-or-later
"""One resolver's soak: many rounds of clients with all faults, a client that floods beside them, reloads.

It is a run of a cell (cell.py) whose clients take long: the same upstream, witness and judge. The witness
watches from the resolver's first packet to its last and counts as it goes. Between the rounds, when the
sockets of late answers are closed, memory and descriptors are looked at; under load they are sampled for
the chart alone.
"""

import argparse
import collections
import json
import pathlib
import re
import threading
import time

import flat
import names
import plan
import service
import verdict
from cell import Run
from daemons import TestbedError, wait_until
from ends import BIN, Ends

WAITS = "waits"                 # a file: who was waited for how long, of all clients
LATE_SECONDS = 0.3              # as late as the witness may be
SAMPLE_SECONDS = 1
MOST_SAMPLES = 200              # kept for the chart
ROUND_SECONDS = 240             # a round that takes longer has got stuck
FLOODER = plan.FIRST_MARK + plan.MAX_CLIENTS - 1        # its mark, which no other client has
SAME = 5
# A round's clients: their share of its queries and of those in flight, and what is said to bin/clients.py besides.
PARTS = (("single", 0.6, {}),
         ("same", 0.25, {"same": SAME}),
         ("tcp", 0.15, {"client_proto": "tcp", "tcp_pipeline": 4}))
DIRECTIVES = ("rnd50:8,dly150:1,dly1200:1,drop1:1,tc:1,cnin:1,cnout+rnd30:1,cnch:1,servf1:1,nx:1,cnin+tc:1,"
              "drop1+rnd50:1,none:5")
# Flows of a thousand queries a second are forgotten before conntrack's table is full of them.
SYSCTLS = tuple(f"net.netfilter.nf_conntrack_{name}=10" for name in (
    "udp_timeout", "udp_timeout_stream", "tcp_timeout_time_wait", "tcp_timeout_close", "tcp_timeout_fin_wait",
    "tcp_timeout_last_ack", "tcp_timeout_close_wait"))


class Ended(TestbedError):
    """The resolver ended by itself: not a fault of the testbed, but what the soak looks for."""


def look(pids):
    """What these processes have at the moment: PSS and RSS in KiB, descriptors, threads."""
    found = collections.Counter()
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        for key in ("Pss", "Rss"):
            found[f"{key.lower()}_kib"] += int(re.search(rf"^{key}:\s+(\d+)", rollup, re.MULTILINE)[1])
        found["threads"] += len(list(pathlib.Path(f"/proc/{pid}/task").iterdir()))
    return {**found, "descriptors": service.descriptors(pids)}


class Sampler:
    """Looks at a resolver once a second, from a thread of its own; a context."""

    def __init__(self, resolver):
        self._resolver, self._end = resolver, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.samples = []               # (when, look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _run(self):
        while not self._end.wait(SAMPLE_SECONDS):
            try:
                self.samples.append((time.monotonic(), look(self._resolver.pids())))
            except OSError:             # it has just ended, which others say
                continue


class Soak(Run):
    """A run whose clients come in rounds. schedule: queries, round, flood (a second), reload_every."""

    def __init__(self, cell, folder, shim, schedule, progress):
        super().__init__(cell, folder, shim)
        self._schedule, self._progress = schedule, progress
        self._asked = self._flooded = 0
        self._counts, self._floods = collections.Counter(), collections.Counter()
        self._details, self.looks, self._reloads = [], [], 0
        self._samples, self._pids = [], []

    def soak(self):
        """Play it; the record is a run's, with a part of its own."""
        record = self.play()
        record["witness"]["background_unmarked"] = background(
            record["witness"].pop("unmarked_at", ()), self._folder / WAITS) if self._shim else 0
        record["soak"] = {
            "looks": self.looks, "samples": _thinned(self._samples), "reloads": self._reloads,
            "flood": dict(self._floods), "pids_kept": self._pids == record["resolver"]["pids"],
            "said": [line for line in record["resolver"]["stderr"].splitlines()
                     if "connmarkshim" in line and "marks come from" not in line][:20]}
        record["resolver"]["stderr"] = record["resolver"]["stderr"][-3000:]
        return record

    def _ask(self, resolver):
        self._pids = resolver.pids()
        self._look(resolver)
        number = 0
        while self._asked < self._schedule.queries:
            number += 1
            self._round(resolver, number)
        return {**self._counts, "interrupted": False, "details": self._details[:50]}, {}

    def _round(self, resolver, number):
        wanted = min(self._schedule.round, self._schedule.queries - self._asked)
        before, started = self._asked, time.monotonic()
        anew = self._schedule.reload_every and number % self._schedule.reload_every == 0
        with Sampler(resolver) as sampler:
            flood = self._flood(number) if self._schedule.flood else None
            parts = [self._part(number, name, wanted, share, extra) for name, share, extra in PARTS]
            if anew:
                self._reload(resolver, number, parts)
            for name, daemon in parts:
                self._finish(resolver, daemon)
                self._add(self._result(name))
            if flood:
                flood[1].stop()
                self._add_flood(self._result(flood[0]))
        seconds = time.monotonic() - started
        for when, sample in sampler.samples:
            self._samples.append({"queries": before + round((when - started) / seconds * (self._asked - before)), **sample})
        if number == 1 and not self._asked:
            raise TestbedError("the clients asked nothing")
        self._look(resolver)
        self._progress(number, self._asked, self._schedule.queries, self.looks[-1], self._counts, seconds)

    def _part(self, number, name, wanted, share, extra):
        """Start one kind of clients; returns (the result's name, the program)."""
        queries = max(SAME, round(wanted * share))
        options = argparse.Namespace(**{
            **vars(self._options), "queries": queries, "clients": plan.MAX_CLIENTS - 1,
            "in_flight": max(SAME, round(self._options.in_flight * share)), **extra})
        title = f"{name}{number}"
        # serials never come again; the kinds' own ranges keep them apart
        first = self._asked * len(PARTS) + wanted * [part[0] for part in PARTS].index(name)
        argv = Ends(options, self._folder, self._shim).clients(title, first)
        return title, self._start(title, self._network.clients, argv)

    def _finish(self, resolver, daemon):
        """Wait for clients, but not for those of a resolver that has ended."""
        wait_until(lambda: not daemon.running() or not resolver.running(), ROUND_SECONDS, f"{daemon.name} to finish")
        if not resolver.running():
            raise Ended(f"the resolver ended by itself after {self._asked} queries, with status {resolver.stop()}: "
                        f"{resolver.stderr()[-1000:]}")
        daemon.finish(1)

    def _reload(self, resolver, number, parts):
        """Amid the load: as soon as some of the clients are under way."""
        time.sleep(0.5)
        command = self._ends.reload(resolver.pid)
        self._start(f"reload{number}", self._network.resolver, command).finish(20)
        self._reloads += 1
        if not any(daemon.running() for _, daemon in parts):
            raise TestbedError("the clients had finished before the reload: more queries a round are needed")

    def _flood(self, number):
        title = f"flood{number}"
        argv = [BIN / "greedy.py", "--json", self._folder / f"{title}.json", "--server",
                plan.resolver_address(4), "--mark", str(FLOODER), "--rate", str(self._schedule.flood),
                "--first-serial", str(self._flooded)]
        return title, self._start(title, self._network.clients, argv)

    def _add(self, result):
        if result["interrupted"]:
            raise TestbedError("the clients were interrupted")
        self._asked += result["asked"]
        self._details += result.pop("details")
        with open(self._folder / WAITS, "a", encoding="ascii") as file:
            file.writelines(f"{names.first_label(name.encode()).decode()} {asked:.3f} {over:.3f}\n"
                            for _, name, asked, over in result.pop("waits"))
        self._counts.update({key: value for key, value in result.items()
                             if isinstance(value, (int, float)) and not isinstance(value, bool)})

    def _add_flood(self, result):
        self._flooded += result["sent"] + result["refused"]
        self._floods.update(result)

    def _look(self, resolver):
        service.settled_descriptors(resolver)
        self.looks.append({"queries": self._asked, **look(resolver.pids())})


def background(unmarked, waits):
    """How many of the unmarked questions came when nobody waited for them any more.

    A resolver that loads anew may refuse those who wait and go on asking for them. That is its own business, and
    nobody's mark is right. unmarked: (when, name); waits: a file with 'first-label asked over' of every query.
    """
    over = {names.first_label(name.encode()): None for _, name in unmarked}
    with open(waits, encoding="ascii") as file:
        for line in file:
            label, _, until = line.split()
            label = label.encode()
            if label in over:
                over[label] = max(over[label] or 0, float(until))
    return sum(over[label] is not None and when > over[label] + LATE_SECONDS for when, label in (
        (when, names.first_label(name.encode())) for when, name in unmarked))


def _thinned(samples):
    return samples[::max(1, -(-len(samples) // MOST_SAMPLES))]


def failure_share(record):
    """Queries without a good answer, of those that were asked."""
    return verdict.failures(record) / max(1, record["clients"]["asked"])


# The share of queries that may fail beyond the bare resolver's: whose turn it is when a resolver loads anew is chance.
FAILURES_MORE = 0.01
MOST_FAILURES = 0.1             # ... and in all, where there is no bare one: the upstream makes one in 26 fail


def unmet(record, bare, slack=flat.MEMORY_KIB):
    """Reasons why a shimmed resolver did not come through; bare: a record to compare failures with, or None."""
    clients, soak = record["clients"], record["soak"]
    flooded = sum(record["witness"]["by_owner"].get(str(FLOODER), {}).values())
    usual = bare["soak"]["looks"][1:] if bare else ()
    waiting = {**record["witness"], "unmarked": record["witness"]["unmarked"] - record["witness"]["background_unmarked"]}
    reasons = verdict.unmet_right({**record, "witness": waiting}, None) + flat.unmet(soak["looks"][1:], usual, slack)
    own = record["witness"]["right"] - flooded
    if own < clients["distinct"] - verdict.failures(record):
        reasons.append(f"{own} right questions for {clients['distinct']} queries, the flood's aside")
    if failure_share(record) > (failure_share(bare) + FAILURES_MORE if bare else MOST_FAILURES):
        reasons.append(f"{verdict.failures(record)} of {clients['asked']} queries lost or failed" + (
            f", bare {verdict.failures(bare)} of {bare['clients']['asked']}" if bare else ""))
    if not soak["pids_kept"]:
        reasons.append("the resolver's processes are others than at the start")
    reasons += [f"the library complained: {line}" for line in soak["said"][:3]]
    return reasons


def technical(record):
    """Reasons why the record proves nothing."""
    reasons = verdict.technical(record)
    if not record["clients"].get("asked"):
        reasons.append("nothing was asked")
    if len(record["soak"]["looks"]) <= flat.LEAST_LOOKS:
        reasons.append(f"{len(record['soak']['looks'])} looks at memory and descriptors: more rounds are needed")
    return reasons


def summary(record):
    """What of a record is worth keeping: no paths, no process ids."""
    kept = {key: record[key] for key in ("mode", "complete", "logged", "clients", "soak")}
    kept["clients"] = {key: value for key, value in record["clients"].items() if key not in ("details", "interrupted")}
    kept["witness"] = {key: value for key, value in record["witness"].items()
                       if isinstance(value, int) and value or key in ("wrong", "unmarked", "background_unmarked", "details", "unmarked_names")}
    kept["exit_status"] = record["resolver"]["exit_status"]
    return json.loads(json.dumps(kept))
