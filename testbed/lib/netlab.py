# SPDX-License-Identifier: GPL-2.0-or-later
"""The network of one run: three namespaces with names of their own.

      NAME-cli                     NAME-res                       NAME-up
    +-----------+   clients net  +-------------+  upstream net  +-----------+
    |  clients  |----------------|  resolver   |----------------| upstream  |
    +-----------+ net0     cli0  +-------------+ up0       net0 +-----------+
      .137 … .176              .1              .1             .2
      .2 (the probe)

    clients net   192.168.111.0/24 and fd00:111::/64
    upstream net  192.168.222.0/24 and fd00:222::/64

With two uplinks there is NAME-up2 as well, behind up1 and the nets 192.168.223.0/24 and
fd00:223::/64. It has the first upstream's addresses, to which packets with an odd mark are routed
by it; it has no route back to another source address than the resolver's on its own net.

Client i has the last octet 137 + i, which is its mark as well. The client namespace has a route
through the resolver to the captured addresses 198.51.100.53 and fd00:99::53, which nobody has.
"""

import os
import secrets
import signal

import plan
from daemons import STOP_SECONDS, TestbedError, command, wait_until

CLIENT_LINK = "cli0"
UPSTREAM_LINKS = ("up0", "up1")
ANY_UPSTREAM_LINK = "up+"     # as iptables writes it
FAR_LINK = "net0"


class Network:
    """Builds the namespaces; close() removes them and whatever still runs in them."""

    def __init__(self, uplinks=1):
        name = f"cms-{os.getpid()}-{secrets.token_hex(3)}"
        self.clients, self.resolver, *self.upstreams = (
            f"{name}-{end}" for end in ("cli", "res", "up", "up2")[:2 + uplinks])
        self._made = []

    def build(self, marks):
        """Namespaces, links, addresses and routes for these clients."""
        for namespace in (self.clients, self.resolver, *self.upstreams):
            self._made.append(namespace)        # first, for a signal may come in between
            command("ip", "netns", "add", namespace)
            self.run(namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0",
                     "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.all.accept_dad=0",
                     "net.ipv6.conf.default.accept_dad=0", "net.ipv4.conf.all.rp_filter=0",
                     "net.ipv4.conf.default.rp_filter=0")
        self._link(self.clients, CLIENT_LINK)
        for upstream, link in zip(self.upstreams, UPSTREAM_LINKS):
            self._link(upstream, link)
        self._addresses(marks)
        if len(self.upstreams) > 1:
            self._second_uplink()
        for family, captured in plan.CAPTURED.items():
            self.run(self.clients, "ip", f"-{family}", "route", "add", captured, "via",
                     plan.resolver_address(family))

    def _link(self, far, name):
        command("ip", "link", "add", name, "netns", self.resolver, "type", "veth",
                "peer", "name", FAR_LINK, "netns", far)
        for namespace, link in ((self.resolver, name), (far, FAR_LINK)):
            self.run(namespace, "ip", "link", "set", "lo", "up")
            self.run(namespace, "ip", "link", "set", link, "up")

    def _addresses(self, marks):
        clients = plan.CLIENT_FORMAT
        self._assign(self.clients, FAR_LINK, clients, plan.CLIENT_PREFIX,
                     [plan.PROBE_HOST, *marks])
        self._assign(self.resolver, CLIENT_LINK, clients, plan.CLIENT_PREFIX,
                     [plan.RESOLVER_HOST])
        for upstream, link, formats in zip(self.upstreams, UPSTREAM_LINKS, plan.UPLINK_FORMATS):
            self._assign(self.resolver, link, formats, plan.UPSTREAM_PREFIX, [plan.RESOLVER_HOST])
            self._assign(upstream, FAR_LINK, formats, plan.UPSTREAM_PREFIX, [plan.UPSTREAM_HOST])
        self._assign(self.upstreams[0], FAR_LINK, plan.UPSTREAM_FORMAT, plan.UPSTREAM_PREFIX,
                     plan.AUTHORITY_HOSTS)

    def _second_uplink(self):
        """The first upstream's addresses there too, and the rule that sends odd marks to it."""
        hosts = [plan.UPSTREAM_HOST, *plan.AUTHORITY_HOSTS]
        self._assign(self.upstreams[1], FAR_LINK, plan.UPSTREAM_FORMAT, {4: 32, 6: 128}, hosts)
        for family in (4, 6):
            net = plan.UPSTREAM_FORMAT[family].format(0 if family == 4 else "")
            gateway, source = (plan.SECOND_FORMAT[family].format(host)
                               for host in (plan.UPSTREAM_HOST, plan.RESOLVER_HOST))
            table = str(plan.SECOND_TABLE)
            self.run(self.resolver, "ip", f"-{family}", "route", "add",
                     f"{net}/{plan.UPSTREAM_PREFIX[family]}", "via", gateway, "dev",
                     UPSTREAM_LINKS[1], "src", source, "table", table)
            self.run(self.resolver, "ip", f"-{family}", "rule", "add", "fwmark", "1/1", "lookup",
                     table)

    def _assign(self, namespace, link, formats, prefixes, hosts):
        lines = [f"address add {formats[family].format(host)}/{prefixes[family]} dev {link}"
                 + (" nodad" if family == 6 else "") for family in (4, 6) for host in hosts]
        self.run(namespace, "ip", "-batch", "-", text="\n".join(lines) + "\n")

    def run(self, namespace, *argv, text=None):
        """Run a short command inside one of the namespaces."""
        return command("ip", "netns", "exec", namespace, *argv, text=text)

    @staticmethod
    def pids(namespace):
        """The processes that run inside one of the namespaces."""
        return {int(pid) for pid in command("ip", "netns", "pids", namespace).split()}

    @staticmethod
    def inside(namespace, argv):
        """The command line that runs argv inside."""
        return ["ip", "netns", "exec", namespace, *argv]

    def close(self):
        """Remove the namespaces, which takes links and rules along."""
        while self._made:
            namespace = self._made.pop()
            if not os.path.exists(f"/run/netns/{namespace}"):
                continue
            _end_processes(namespace)
            command("ip", "netns", "delete", namespace)


def _end_processes(namespace):
    """What runs in a namespace of this run belongs to this run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in Network.pids(namespace):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        try:
            wait_until(lambda: not Network.pids(namespace), STOP_SECONDS, "processes to end")
            return
        except TestbedError:
            continue
