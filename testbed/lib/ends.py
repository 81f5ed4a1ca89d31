# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of a run's programs: what stands around the resolver, and the resolver."""

import pathlib
import shlex

import account
import firewall
import plan
import refresh
import resolverkit
import signedtree
import tree

SIGNED_FOLDER = "signed"        # in the cell's folder: the same zones for all its runs
BIN = pathlib.Path(__file__).resolve().parent.parent / "bin"


class Ends:
    """Options in, command lines out."""

    def __init__(self, options, folder, shim):
        self._options, self._folder, self._shim = options, folder, shim
        self.recursing = resolverkit.is_recursing(options.resolver)
        self.encrypted = options.upstream_proto == "tls"
        self._signed = folder.parent / SIGNED_FOLDER if options.dnssec else None
        self.setting = resolverkit.Setting(
            folder=folder, upstream=plan.upstream_address(options.upstream_ip),
            upstream_proto=options.upstream_proto, specific=options.bind == "specific",
            minimise=options.minimise, daemon=options.daemonise, refresh=options.refresh,
            fast_open=options.fast_open, cache_mib=getattr(options, "cache_mib", 0),
            client_tls=options.client_proto == "tls",
            anchor=str(self._signed / signedtree.ANCHOR)
            if self._signed and options.validate else "",
            limits=(str(BIN / "confine.py"), *options.confine, "--") if shim and options.confine else (),
            socket_mark=firewall.OTHER_OF_SOCKET if options.other_bits == "socket" else 0)

    def _program(self, name, result, *extra):
        """One of ours; `result` names its ready file and its JSON."""
        return [BIN / f"{name}.py", "--ready-file", self._folder / f"{result}.ready",
                "--json", self._folder / f"{result}.json", *extra]

    def upstream(self, result):
        """The scripted upstream, or the name servers of the tree."""
        options = self._options
        if self.recursing:
            signed = ["--signed", self._signed] if self._signed else []
            return self._program("authority", result, "--family", str(options.upstream_ip),
                                 *signed)
        tls = ["--tls", self._folder / resolverkit.CERTIFICATE] if self.encrypted else []
        arrivals = ["--keep-arrivals"] if options.uplinks > 1 or options.watch_flows else []
        return self._program("upstream", result, "--listen", plan.upstream_address(4), "--listen",
                             plan.upstream_address(6), *tls, *arrivals)

    def witness(self):
        """The judge of what leaves."""
        again = bool(self._options.refresh)
        timed = ["--threshold", "1"] if self.recursing or self.encrypted or again else []
        timed += (["--keep-others"] * self.recursing + ["--keep-encrypted"] * self.encrypted
                  + ["--keep-owned"] * again)
        timed += ["--keep-questions"] * bool(self._options.account and self._shim)
        timed += ["--keep-unmarked"] * bool(getattr(self._options, "keep_unmarked", False) and self._shim)
        if self._options.other_bits:
            bits = (firewall.OTHER_OF_SOCKET if self._options.other_bits == "socket"
                    else firewall.OTHER_OF_OUTPUT)
            timed += ["--other-mask", hex(firewall.OTHER_MASK), "--other-bits", hex(bits)]
        return self._program("witness", "witness", "--mask", self._options.mask, *timed,
                             "--receive-buffer", str(self._options.witness_buffer))

    def resolver(self):
        """The bare and the shimmed command line differ in nothing but the preload."""
        if self.recursing and self.encrypted:
            raise resolverkit.Unsupported("no name server of the tree speaks TLS")
        if self._signed and not self.recursing:
            raise resolverkit.Unsupported("the signed tree is for resolvers that recurse")
        less = ",".join(f"-{name}" for name in self._options.without_capability)
        bounded = ["setpriv", "--bounding-set", less] if less else []
        module, limits = resolverkit.load(self._options.resolver), self.setting.limits
        resolverkit.check_refresh(module, self._options.refresh)
        # a unit's drop-in preloads by itself
        libraries = " ".join([self._shim, *self._options.beneath]) if self._shim else ""
        preload = [f"LD_PRELOAD={libraries}"] if self._shim and not limits else []
        launcher = getattr(self._options, "launcher", None)
        if preload and launcher:
            preload = [launcher, "--"]
        told = account.environment(self._folder) if self._shim and self._options.account else []
        before = () if getattr(module, "PLACES_LIMITS", False) else limits
        return [*bounded, *before, "env", *told, *self._options.env, *preload,
                *shlex.split(self._options.through), *module.command(self.setting)]

    def reload(self, pid):
        """The command that has the resolver load anew, or None where nothing does."""
        module = resolverkit.load(self._options.resolver)
        if hasattr(module, "reload"):
            return module.reload(self.setting, pid)
        return ["/bin/kill", "-HUP", str(pid)]

    def _server(self):
        family = self._options.client_ip
        if self._options.via != "direct":
            return plan.CAPTURED[family]
        return plan.resolver_address(family)

    def _port(self):
        if self._options.via == "dnat":
            return plan.CAPTURED_PORT
        return plan.TLS_PORT if self._options.client_proto == "tls" else plan.PORT

    def probe(self):
        """Waits until the resolver answers; not by way of a translated port."""
        dnat = self._options.via == "dnat"
        server = plan.resolver_address(self._options.client_ip) if dnat else self._server()
        extra = ["--tcp"] if self._options.client_proto == "tcp" else []
        if self.recursing:
            extra += ["--zone", tree.READY_ZONE]
        return [BIN / "probe.py", "--server", server, *extra]

    def flood(self):
        """One client that asks far too much."""
        return self._program("flood", "flood", "--server", self._server(), "--port", str(self._port()),
                             "--queries", str(self._options.flood))

    def clients(self, result, first_serial):
        """All the clients' queries."""
        options = self._options
        return [BIN / "clients.py", "--json", self._folder / f"{result}.json",
                "--server", self._server(), "--port", str(self._port()),
                "--ip", str(options.client_ip), "--first-serial", str(first_serial),
                "--proto", options.client_proto, "--queries", str(options.queries),
                "--clients", str(options.clients), "--in-flight", str(options.in_flight),
                "--directives", refresh.directives(options.refresh, options.directives), "--qtypes", options.qtypes,
                "--same", str(options.same), "--tcp-pipeline", str(options.tcp_pipeline),
                "--timeout", str(options.timeout), "--retries", str(options.retries),
                "--again", str(refresh.AGAIN_SECONDS.get(options.refresh, 0)),
                "--seed", str(options.seed + first_serial),
                *(["--tree", options.zones] if self.recursing else []),
                *(["--authenticated"] if options.dnssec else []),
                *(["--keep-waits"] if self.encrypted or getattr(options, "keep_unmarked", False) else [])]
