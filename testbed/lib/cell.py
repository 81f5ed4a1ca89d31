"""One cell of the test matrix: a network, and one run of a resolver after the other in it."""

import contextlib
import json
import math
import os
import pathlib
import shutil
import tempfile

import encrypted
import firewall
import inspection
import plan
import recursion
import resolverkit
import tree
from daemons import Daemon, TestbedError
from netlab import Network

BIN = pathlib.Path(__file__).resolve().parent.parent / "bin"


class Cell:
    """The network, the firewall and the folder of all the runs of one command line."""

    def __init__(self, options):
        self.options = options
        self._undo = contextlib.ExitStack()
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
        options, marks = self.options, plan.client_marks(self.options.clients)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="connmark-testbed."))
        self.folder.chmod(0o755)
        if not options.keep:
            self._undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._undo.callback(self.network.close)
        self.network.build(marks)
        firewall.install(self.network, options.rules, marks, options.via == "redirect")

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
        self._recursing = resolverkit.is_recursing(cell.options.resolver)
        self._encrypted = cell.options.upstream_proto == "tls"
        self._undo = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._undo.close()

    def play(self):
        """Everything in its order: the witness sees the resolver from its first packet on."""
        before = firewall.logged(self._network, self._options.rules)
        upstream = self._start("upstream", self._network.upstream, self._upstream(), ready=True)
        witness = self._start("witness", self._network.resolver, self._witness(), ready=True)
        resolver = self._start("resolver", self._network.resolver, self._resolver())
        self._start("probe", self._network.clients, self._probe()).finish(30)
        clients = self._start("clients", self._network.clients, self._clients())
        clients.finish(self._patience())
        resolver.check()
        record = self._inspect(resolver)
        record["resolver"]["exit_status"] = resolver.stop()
        record["resolver"]["stderr"] = resolver.stderr()
        witness.stop()
        upstream.stop()
        logged = firewall.logged(self._network, self._options.rules) - before
        for name in ("clients", "witness", "upstream"):
            record[name] = self._result(name)
        if self._recursing:
            recursion.settle(record)
        elif self._encrypted:
            encrypted.settle(record)
        record["logged"] = logged
        record["complete"] = record["witness"]["complete"] and logged == record["witness"]["packets"]
        return record

    def _start(self, name, namespace, argv, ready=False):
        daemon = Daemon(name, self._network.inside(namespace, argv), self._folder)
        self._undo.callback(daemon.stop)
        if ready:
            daemon.await_file(self._folder / f"{name}.ready")
        return daemon

    def _program(self, name, *extra):
        return [BIN / f"{name}.py", *extra]

    def _reporting(self, name):
        return ["--json", self._folder / f"{name}.json"]

    def _result(self, name):
        path = self._folder / f"{name}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TestbedError(f"{name} left no result") from None

    def _upstream(self):
        if self._recursing:
            return self._program("authority", "--family", str(self._options.upstream_ip),
                                 "--ready-file", self._folder / "upstream.ready",
                                 *self._reporting("upstream"))
        tls = ["--tls", self._folder / resolverkit.CERTIFICATE] if self._encrypted else []
        return self._program("upstream", "--listen", plan.upstream_address(4), "--listen",
                             plan.upstream_address(6), *tls, "--ready-file",
                             self._folder / "upstream.ready", *self._reporting("upstream"))

    def _witness(self):
        timed = ["--threshold", "1"] if self._recursing or self._encrypted else []
        timed += ["--keep-others"] * self._recursing + ["--keep-encrypted"] * self._encrypted
        return self._program("witness", "--mask", self._options.mask, *timed,
                             "--receive-buffer", str(self._options.witness_buffer),
                             "--ready-file", self._folder / "witness.ready", *self._reporting("witness"))

    def _resolver(self):
        """The bare and the shimmed command line differ in nothing but the preload."""
        options = self._options
        if self._recursing and self._encrypted:
            raise resolverkit.Unsupported("no name server of the tree speaks TLS")
        setting = resolverkit.Setting(
            folder=self._folder, upstream=plan.upstream_address(options.upstream_ip),
            upstream_proto=options.upstream_proto, specific=options.bind == "specific",
            minimise=options.minimise)
        preload = [f"LD_PRELOAD={self._shim}"] if self._shim else []
        return ["env", *options.env, *preload,
                *resolverkit.load(options.resolver).command(setting)]

    def _server(self):
        family = self._options.client_ip
        if self._options.via == "redirect":
            return plan.CAPTURED[family]
        return plan.resolver_address(family)

    def _probe(self):
        extra = ["--tcp"] if self._options.client_proto == "tcp" else []
        if self._recursing:
            extra += ["--zone", tree.READY_ZONE]
        return self._program("probe", "--server", self._server(), *extra)

    def _clients(self):
        options = self._options
        return self._program(
            "clients", "--server", self._server(), "--ip", str(options.client_ip),
            "--proto", options.client_proto, "--queries", str(options.queries),
            "--clients", str(options.clients), "--in-flight", str(options.in_flight),
            "--directives", options.directives, "--qtypes", options.qtypes,
            "--same", str(options.same), "--tcp-pipeline", str(options.tcp_pipeline),
            "--timeout", str(options.timeout), "--retries", str(options.retries),
            "--seed", str(options.seed), *self._reporting("clients"),
            *(["--tree", options.zones] if self._recursing else []),
            *(["--keep-waits"] if self._encrypted else []))

    def _patience(self):
        """Longer than the clients need where every single query is lost."""
        options = self._options
        turns = math.ceil(options.queries / max(1, options.in_flight - options.tcp_pipeline + 1))
        return 60 + turns * options.timeout * (options.retries + 1)

    def _inspect(self, resolver):
        pids = inspection.process_tree(resolver.pid)
        record = {"mapped": bool(self._shim) and all(
            inspection.maps(pid, os.path.realpath(self._shim)) for pid in pids)}
        record["resolver"] = {"command": resolver.argv[4:], "pids": pids}
        if self._options.inspect:
            record["resolver"]["tasks"] = [
                entry for pid in pids for entry in inspection.statuses(pid)]
            record["flows"] = inspection.flows(self._network)
        return record
