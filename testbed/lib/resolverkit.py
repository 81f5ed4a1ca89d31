# SPDX-License-Identifier: GPL-2.0-or-later
"""What a file in testbed/resolvers gets, and how it is found.

Each resolver file NAME.py has one function:

    def command(setting):
        \"\"\"Write the configuration into setting.folder; return the foreground command line.\"\"\"

A module with RECURSING = True asks the tree of zones from its root (setting.hints()) instead of
forwarding to setting.upstream.

A resolver that loads its configuration anew by other means than SIGHUP has

    def reload(setting, pid):
        \"\"\"The command line that makes it do so; None where nothing does.\"\"\"

A unit starts many as their user already; with setting.limits they need not drop to it.
One that refreshes cached answers by itself says how: REFRESH names the kinds of lib/refresh.py that
it has, and its command() heeds setting.refresh.

It raises Unsupported where the resolver cannot do what the setting asks for.
"""

import dataclasses
import importlib.util
import pathlib
import shutil

import plan
import tlsserver
import tree

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "resolvers"


CERTIFICATE = "upstream.pem"    # the upstream's own, in the setting's folder


class Unsupported(Exception):
    """This resolver has no such mode."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a resolver shall be configured for."""

    folder: pathlib.Path        # its own; the dropped user may pass through
    upstream: str               # address of the scripted upstream, port 53
    upstream_proto: str         # 'udp', 'tcp' or 'tls' (port 853)
    specific: bool              # listen on the two client-side addresses, else on the wildcard
    minimise: bool = True       # QNAME minimisation, where it recurses
    daemon: bool = False        # go to the background by itself
    client_tls: bool = False    # serve clients over TLS as well, on port 853
    refresh: str = ""           # refresh cached answers: a kind of lib/refresh.py
    fast_open: bool = False     # TCP Fast Open to the upstream, where that has to be asked for
    anchor: str = ""            # file with the root's DNSKEY: validate; "": do not
    socket_mark: int = 0        # of its own upstream sockets, 0: none
    threads: int = 2            # that serve clients, where it has threads
    cache_mib: int = 0          # of memory for cached answers, for unbound and bind; 0: as they like
    limits: tuple = ()          # a unit's, that confine.py sets; the command begins with it, unless
                                # the module has PLACES_LIMITS = True and puts it where it must be

    @property
    def listen(self):
        """The specific addresses to listen on."""
        return [plan.resolver_address(4), plan.resolver_address(6)]

    def write(self, name, text):
        """Write a configuration file that any user may read; returns its path as text."""
        path = self.folder / name
        path.write_text(text, encoding="ascii")
        path.chmod(0o644)
        return str(path)

    @property
    def certificate(self):
        """What the upstream shows of itself over TLS, by the name 'upstream' and its addresses."""
        return str(self.folder / CERTIFICATE)

    def server_certificate(self, user):
        """What the resolver shows to clients over TLS: (certificate, key), readable for the user."""
        path, key = (str(self.folder / f"server.{end}") for end in ("pem", "key"))
        tlsserver.make_certificate(path, key, self.listen)
        shutil.chown(key, user)
        return path, key

    def hints(self):
        """Write the root hints of lib/tree.py for a resolver that recurses; returns the path."""
        return self.write("root.hints", tree.hints(6 if ":" in self.upstream else 4))

    def state(self, user):
        """A folder that belongs to the dropped user; returns its path as text."""
        path = self.folder / "state"
        path.mkdir(mode=0o755, exist_ok=True)
        shutil.chown(path, user)
        return str(path)


def no_daemon(setting):
    """Of a resolver without a background mode."""
    if setting.daemon:
        raise Unsupported("it has no background mode of its own")


def no_reload(_setting, _pid):
    """Of a resolver that SIGHUP ends, and that has no other way to load anew."""
    return None


def check_refresh(module, kind):
    """An exception where the resolver has no such refresh."""
    if kind and kind not in getattr(module, "REFRESH", ()):
        raise Unsupported(getattr(module, "NO_REFRESH", {}).get(
            kind, "it has no such refresh of cached answers"))


def available():
    """The names of all resolvers."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def is_recursing(name):
    """Whether this resolver walks the tree of zones from its root."""
    return getattr(load(name), "RECURSING", False)


def load(name):
    """The module of one resolver."""
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"resolver_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
