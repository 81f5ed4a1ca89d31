# SPDX-License-Identifier: GPL-2.0-or-later
"""Where resolvers are measured: three namespaces, the four rules, an upstream in C, and dnsperf.

The network is the testbed's (lib/netlab.py). With one serving thread the resolver has the last processor to itself, and
load and upstream have the others; with more threads than processors can be spared, all share all.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import plan
import resolverkit
from daemons import Daemon, TestbedError, command, wait_until
from netlab import CLIENT_LINK, Network
from preload import complaints

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent.parent
UPSTREAM = ROOT / "build" / "bench" / "upstream"

RESOLVERS = {"unbound": "unbound", "dnsmasq": "dnsmasq", "bind": "bind", "pdns": "pdns-recursor"}   # and their modules
ATTEMPTS = 3
MARKS = 20              # clients, each with a mark of its own
CACHED_NAMES = 500      # dnsmasq's cache has room for them
WARM_NAMES = 60_000
FRESH_NAMES = 1_000_000
ZONES = 1000
TOP = ("com", "net", "org", "info", "biz")  # no names that resolvers answer by themselves
TTL = 3600
OUTSTANDING = 100
TRACED_RATE = 500       # queries a second: each finds a resolver that waits for it, also under strace


class Invalid(TestbedError):
    """A measurement that does not count."""


def counted(name, measure):
    """What measure() gives; tried again where it says Invalid."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return measure()
        except Invalid as why:
            print(f"    attempt {attempt}: {why}", file=sys.stderr)
    raise TestbedError(f"{name}: no measurement counted")


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run a resolver."""

    name: str
    module: str                 # in testbed/resolvers
    shim: pathlib.Path | None = None
    source: str = ""            # CONNMARK_SOURCE

    @property
    def environment(self):
        """What `env` sets for it."""
        return [f"LD_PRELOAD={self.shim}", f"CONNMARK_SOURCE={self.source}"] if self.shim else []

    @property
    def marks(self):
        """Whether its upstream queries bear the clients' marks."""
        return bool(self.shim) or self.module.endswith("-conntrack")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One measurement."""

    nanoseconds: float      # of CPU, a query
    rate: float             # queries a second
    queries: int
    lost: int


def rules():
    """The four rules of the README, for MARKS clients that differ by their port only."""
    lines = ["-N CLIENTS", "-A PREROUTING -j CONNMARK --restore-mark",
             f"-A PREROUTING -m mark --mark 0 -i {CLIENT_LINK} -j CLIENTS",
             "-A PREROUTING -j CONNMARK --save-mark",
             "-A OUTPUT -m mark ! --mark 0 -j CONNMARK --save-mark"]
    for i in range(MARKS):
        lines.append(f"-A CLIENTS -m mark --mark 0 -m statistic --mode nth --every {MARKS - i} --packet 0 "
                     f"-j MARK --set-mark {plan.FIRST_MARK + i}")
    return "*mangle\n" + "\n".join(lines) + "\nCOMMIT\n"


def processors(threads):
    """(the resolver's, the load's), as taskset takes them."""
    all_of_them = sorted(os.sched_getaffinity(0))
    if threads >= len(all_of_them):
        return (",".join(map(str, all_of_them)),) * 2
    return (",".join(map(str, all_of_them[-threads:])), ",".join(map(str, all_of_them[:-threads])))


def cpu_nanoseconds(pids):
    """What all tasks of these processes have had of the processors."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def resident_kib(pids):
    """Rss of these processes."""
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += int(re.search(r"^Rss:\s+(\d+)", text, re.MULTILINE)[1])
    return total


class Lab:
    """Namespaces, rules, upstream and files with names; a context."""

    def __init__(self, one_zone=False, outstanding=OUTSTANDING):
        self._undo = contextlib.ExitStack()
        self._one_zone, self.outstanding = one_zone, outstanding
        self.network = Network()
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
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="connmark-bench-"))
        self.folder.chmod(0o755)
        self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._undo.callback(self.network.close)
        self.network.build(plan.client_marks(1))
        self.network.run(self.network.resolver, "iptables-restore", text=rules())
        self._write_names()
        upstream = self.start("upstream", self.network.upstreams[0],
                              [UPSTREAM, plan.upstream_address(4), str(plan.PORT), str(TTL)],
                              processors(1)[1])
        wait_until(lambda: upstream.check() and self._listens(), 10, "the upstream to listen")

    def _listens(self):
        return ":53 " in self.network.run(self.network.upstreams[0], "ss", "-Hlnu")

    def _name(self, letter, number):
        zone = 0 if self._one_zone else number % ZONES
        return f"{letter}{number:07d}.z{zone:03d}.{TOP[zone % len(TOP)]} A\n"

    def _write_names(self):
        for kind, letter, count in (("probe", "p", 1), ("cached", "c", CACHED_NAMES), ("warm", "w", WARM_NAMES),
                                    ("uncached", "u", FRESH_NAMES)):
            self.write_names(kind, letter, range(count))

    def write_names(self, kind, letter, numbers):
        """A file for dnsperf."""
        (self.folder / kind).write_text("".join(self._name(letter, number) for number in numbers), encoding="ascii")

    def start(self, name, namespace, argv, cpus):
        """A program of one of the namespaces, on these processors."""
        daemon = Daemon(name, self.network.inside(namespace, ["taskset", "-c", cpus, *map(str, argv)]),
                        self.folder)
        self._undo.callback(daemon.stop)
        return daemon

    def load(self, names, cpus, *options):
        """One dnsperf run from the clients' namespace: (completed, lost)."""
        argv = ["taskset", "-c", cpus, "dnsperf", "-s", plan.resolver_address(4), "-d", str(self.folder / names),
                "-a", plan.client_address(plan.FIRST_MARK, 4), "-t", "2", "-b", "4096", *options]
        done = subprocess.run(self.network.inside(self.network.clients, argv), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120, check=False)

        def number(label):
            found = re.search(rf"{label}:\s+([\d.]+)", done.stdout)
            if not found:
                raise TestbedError(f"dnsperf: no '{label}' in its output: {done.stdout}{done.stderr}")
            return float(found[1])

        return int(number("Queries completed")), int(number("Queries lost"))

    def saved_marks(self):
        """How many packets the last of the four rules has seen."""
        text = self.network.run(self.network.resolver, "iptables-save", "-c", "-t", "mangle")
        return sum(int(n) for n in re.findall(r"^\[(\d+):\d+\] -A OUTPUT ", text, re.MULTILINE))

    def resolver(self, contender, threads, specific=True):
        """A running resolver; a context."""
        return Running(self, contender, threads, specific)


class Running:
    """One resolver, from its start to its end."""

    def __init__(self, lab, contender, threads, specific):
        self.lab, self.contender = lab, contender
        self.cpus, self.load_cpus = processors(threads)
        self._setting = resolverkit.Setting(
            folder=pathlib.Path(tempfile.mkdtemp(prefix="resolver-", dir=lab.folder)),
            upstream=plan.upstream_address(4), upstream_proto="udp", specific=specific, threads=threads)
        self._daemon = None

    def __enter__(self):
        self._setting.folder.chmod(0o755)
        argv = resolverkit.load(self.contender.module).command(self._setting)
        self._daemon = self.lab.start(self._setting.folder.name, self.lab.network.resolver,
                                      ["env", *self.contender.environment, *argv], self.cpus)
        try:
            wait_until(self._answers, 20, f"{self.contender.module} to answer")
            self._check_library()
        except BaseException:
            self._daemon.stop()
            raise
        return self

    def __exit__(self, *_):
        self._daemon.stop()
        self.lab.network.run(self.lab.network.resolver, "conntrack", "-F")
        shutil.rmtree(self._setting.folder, ignore_errors=True)

    def _answers(self):
        self._daemon.check()
        return self.lab.load("probe", self.load_cpus, "-n", "1", "-t", "0.1")[0] > 0

    def pids(self):
        """Its processes: nothing else runs in its namespace."""
        return sorted(Network.pids(self.lab.network.resolver))

    def _check_library(self):
        for pid in self.pids():
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            if ("libconnmarkshim" in maps) != bool(self.contender.shim):
                raise Invalid(f"{self.contender.name}: the library is{'' if self.contender.shim else ' not'} "
                              f"wanted in process {pid}, which is otherwise")
        said = complaints(self._daemon.stderr())
        if "connmarkshim" in said:
            raise Invalid(f"{self.contender.name}: {said[-1000:]}")

    def warm(self, names):
        """Fill its cache, and let its threads settle."""
        self.lab.load("cached", self.load_cpus, "-n", "2", "-q", "20")
        self.lab.load("warm" if names == "uncached" else names, self.load_cpus, "-l", "0.5",
                      "-c", str(MARKS), "-q", str(self.lab.outstanding))

    def measure(self, names, seconds, rate=0):
        """
        A Sample; Invalid where queries were lost, or left with other marks than they must.

        rate: queries a second; 0: as many as are answered.
        """
        pids, saved = self.pids(), self.lab.saved_marks()
        before = cpu_nanoseconds(pids)
        limit = ["-Q", str(rate)] if rate else []
        completed, lost = self.lab.load(names, self.load_cpus, "-l", str(seconds), "-c", str(MARKS),
                                              "-q", str(self.lab.outstanding), *limit)
        spent = cpu_nanoseconds(pids) - before
        self._daemon.check()
        if not completed or lost > completed / 1000:
            raise Invalid(f"{self.contender.name}: {lost} queries lost, {completed} answered")
        self._check_marks(names, completed, self.lab.saved_marks() - saved)
        # dnsperf's own rate counts the time in which it waits for stragglers
        return Sample(spent / completed, completed / seconds, completed, lost)

    def _check_marks(self, names, completed, marked):
        if not self.contender.marks:
            good = marked == 0
        else:
            good = names != "uncached" or marked >= completed * 0.999
        if not good:
            raise Invalid(f"{self.contender.name}: {completed} queries, {marked} marked packets left")

    def system_calls(self, queries):
        """{name: [calls a query, those of them that failed]} for cached queries that come one at a time."""
        out = self._setting.folder / "strace"
        argv = ["strace", "-f", "-c", "-o", str(out)]
        for pid in self.pids():
            argv += ["-p", str(pid)]
        tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True)
        try:
            tracer.stderr.readline()        # 'attached': from then on every call counts
            self._await_tracer(tracer.pid)
            answered = self.lab.load("cached", self.load_cpus, "-n", str(queries // CACHED_NAMES), "-q", "1", "-c", "1",
                                     "-Q", str(TRACED_RATE))[0]
        finally:
            tracer.terminate()
            tracer.communicate(timeout=20)
        calls = {}
        for line in out.read_text(encoding="ascii").splitlines():
            found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$", line)
            if found and found[3] != "total":
                calls[found[3]] = [int(count or 0) / answered for count in (found[1], found[2])]
        if not calls:
            raise Invalid("strace counted nothing")
        return calls

    def _await_tracer(self, tracer):
        def traced():
            return all(f"TracerPid:\t{tracer}\n" in status.read_text(encoding="utf-8")
                       for pid in self.pids() for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"))
        wait_until(traced, 10, "strace to attach")

    def resident(self):
        """KiB of memory that it occupies."""
        return resident_kib(self.pids())

    def settle(self):
        """Wait until an idle resolver is idle."""
        last, end = cpu_nanoseconds(self.pids()), time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.5)
            now = cpu_nanoseconds(self.pids())
            if now - last < 1_000_000:
                return
            last = now
