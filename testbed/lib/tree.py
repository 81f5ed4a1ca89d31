# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of zones that the testbed's recursing resolvers walk, from a root of its own.

    .                      a.rootns
    ├─ lab.                a.nic.lab          shared by all, the top-level domain
    │  ├─ ready.lab.       ns.ready.lab       what the probe asks
    │  ├─ hub.lab.         ns.hub.lab         X.hub.lab is a CNAME to X.lab: into a client's zone
    │  ├─ p7.lab.          ns.p7.lab          shared by the clients that ask at one moment
    │  │  ├─ z-m137-42     ns1, ns2.z-m137-42.p7.lab   in the zone, with glue
    │  │  ├─ u-m137-42     likewise; not signed where the tree is (signedtree.py)
    │  │  ├─ g-m137-42     those of z-m137-42.p7.lab   the same client's other zone, no glue
    │  │  ├─ f-m137-42     s2, s3.host.farm            every client's, no glue
    │  │  └─ h-m137-42      h-, i-m137-42.host.farm    one client's names in a shared zone, no glue
    │  ├─ z-m137-3.lab.    as above, beneath the top-level domain itself
    │  └─ c-m137-0, d-m137-0.lab.    as h and as f, but with a long TTL: the name servers stay
    │                      known by name while their addresses expire
    └─ farm.               a.nic.farm         a second top-level domain
       ├─ host.farm.       ns.host.farm       name servers of other zones
       └─ out.farm.        ns.out.farm        targets of CNAMEs

A client asks a *whole* name, m137-000042.rnd50.z-m137-42.p7.lab: its first label has an owner
(names.py). What lies between is empty. Every zone of the tree exists as soon as somebody asks for
it, so that each run has delegations that nobody has seen.

Pure: names in, facts out. Names are dotted bytes in lower case, without the last dot.
"""

import dataclasses
import re

import names
import plan

TLDS = (b"lab", b"farm")
ROOT_SERVER = b"a.rootns"
READY_ZONE = "ready.lab"
TTL = 1                     # of delegations and addresses: they are asked for again and again
LONG_TTL = 600

_SHARED = {b"lab": re.compile(rb"p\d+$|hub$|ready$"), b"farm": re.compile(rb"host$|out$")}
_PARENT = re.compile(rb"p\d+$")
_CLIENT_ZONE = re.compile(rb"([zugfhcd])-((?:m\d+|any\d+to\d+)-(\d+))$")
_FARM_SERVER = re.compile(rb"s(\d)\.host\.farm$")
_FOREIGN_SERVER = re.compile(rb"([hi])-(?:m\d+|any\d+to\d+)-\d+\.host\.farm$")
_FARMED = 4                 # s0 … s3.host.farm

# Hosts of the upstream net, by what they serve.
ROOT_HOST, LAB_HOST, FARM_HOST, PARENT_HOST, SHARED_HOST, *CLIENT_HOSTS = plan.AUTHORITY_HOSTS

KINDS = {b"tld": b"z", b"glue": b"z", b"sibling": b"g", b"shared": b"f", b"foreign": b"h",
         b"into": b"z", b"unsigned": b"u", b"cached": b"c", b"hosted": b"d"}
ALL_KINDS = "tld:4,glue:4,sibling:2,shared:2,foreign:2,into:1"
_ASKED_TOGETHER = 16        # consecutive queries beneath one p<N>.lab
_ASKED_OF_TLD_ZONE = 4      # queries of one client in one zone beneath the top-level domain


@dataclasses.dataclass(frozen=True)
class Zone:
    """One zone: its name, its name servers, and the hosts that answer for it."""

    name: bytes
    nameservers: tuple
    hosts: tuple
    glue: bool = True
    ttl: int = TTL


def zones(name):
    """The zones on the way from the root to a name, the root first."""
    labels = name.split(b".") if name else []
    found = [Zone(b"", (ROOT_SERVER,), (ROOT_HOST,))]
    if not labels or labels[-1] not in TLDS:
        return found
    tld = labels.pop()
    found.append(Zone(tld, (b"a.nic." + tld,), (LAB_HOST if tld == b"lab" else FARM_HOST,)))
    if labels and _SHARED[tld].match(labels[-1]):
        label = labels.pop()
        shared = label + b"." + tld
        host = PARENT_HOST if _PARENT.match(label) else SHARED_HOST
        found.append(Zone(shared, (b"ns." + shared,), (host,)))
        if not _PARENT.match(label):
            return found
    if tld == b"lab" and labels and _CLIENT_ZONE.match(labels[-1]):
        found.append(_client_zone(labels[-1], found[-1].name))
    return found


def _client_zone(label, parent):
    kind, owner, number = _CLIENT_ZONE.match(label).groups()
    zone, hosts = label + b"." + parent, tuple(CLIENT_HOSTS)
    if kind in (b"f", b"d"):
        servers = [b"s%d.host.farm" % ((int(number) + step) % _FARMED) for step in (0, 1)]
        return Zone(zone, tuple(servers), hosts, False, TTL if kind == b"f" else LONG_TTL)
    if kind in (b"h", b"c"):
        servers = [letter + b"-" + owner + b".host.farm" for letter in (b"h", b"i")]
        return Zone(zone, tuple(servers), hosts, False, TTL if kind == b"h" else LONG_TTL)
    home = (b"u-" if kind == b"u" else b"z-") + owner + b"." + parent
    return Zone(zone, (b"ns1." + home, b"ns2." + home), hosts, glue=kind in (b"z", b"u"))


def host_of(name):
    """The host of the upstream net that a name server's name means, or None."""
    if name == ROOT_SERVER:
        return ROOT_HOST
    if _FARM_SERVER.match(name):
        return CLIENT_HOSTS[int(_FARM_SERVER.match(name).group(1)) % len(CLIENT_HOSTS)]
    if _FOREIGN_SERVER.match(name):
        return CLIENT_HOSTS[b"hi".index(_FOREIGN_SERVER.match(name).group(1))]
    zone = zones(name)[-1]
    if name in zone.nameservers:
        return zone.hosts[zone.nameservers.index(name)]
    return None


def is_whole(name):
    """Whether a client may have asked for this name, or a CNAME may lead to it."""
    zone = zones(name)[-1].name
    if zone == READY_ZONE.encode():
        return name != zone and host_of(name) is None
    return names.is_asked(names.first_label(name))


def is_empty(name):
    """Whether the name exists without anything of its own, so that there is no NXDOMAIN."""
    zone = zones(name)[-1]
    return (name in (zone.name, b"rootns", b"nic.lab", b"nic.farm") or zone.name == b"hub.lab"
            or bool(_CLIENT_ZONE.match(names.first_label(zone.name))))


def is_unsigned(name):
    """Whether a zone on the way to the name is unsigned in a signed tree."""
    return any(_CLIENT_ZONE.match(names.first_label(zone.name)) and zone.name.startswith(b"u-")
               for zone in zones(name))


def alias(name):
    """The CNAME's target at a whole name, or None."""
    wanted = names.directives(name)
    if name.endswith(b".hub.lab"):
        return name[:-len(b"hub.lab")] + b"lab"
    if b"cnin" in wanted:
        return names.without_directive(name, b"cnin")
    if b"cnch" in wanted:
        left = wanted[b"cnch"]
        return names.next_in_chain(name, names.CHAIN_LENGTH if left is None else left)
    if b"cnout" in wanted and not name.endswith(b".out.farm"):
        return names.first_label(name) + b".out.farm"
    return None


def closure(name):
    """All the names that a resolver may look for because a client asks for this one."""
    found, todo = set(), [name]
    while todo:
        one = todo.pop()
        if one in found:
            continue
        found.add(one)
        todo += [server for zone in zones(one)[1:] for server in zone.nameservers]
        target = alias(one) if is_whole(one) else None
        if target is not None:
            todo.append(target)
    return found


def place(kind, owner, serial, clients):
    """The zone beneath which the owner's query of that serial number lies."""
    if kind == b"tld":
        return b"z-%s-%d.lab" % (owner, serial // (clients * _ASKED_OF_TLD_ZONE))
    if kind in (b"cached", b"hosted"):
        return b"%s-%s-0.lab" % (KINDS[kind], owner)
    parent = b"p%d.lab" % (serial // _ASKED_TOGETHER)
    zone = b"%s-%s-%d." % (KINDS[kind], owner, serial)
    return zone + (parent[:-len(b"lab")] + b"hub.lab" if kind == b"into" else parent)


def parse_kinds(text):
    """'tld:4,glue:4' as (kinds, weights)."""
    pairs = [part.partition(":") for part in text.split(",")]
    kinds = [kind.encode() for kind, _, _ in pairs]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"no such kind of zone: {unknown[0].decode()}")
    return kinds, [int(weight or 1) for _, _, weight in pairs]


def is_background(name):
    """Whether nobody's question ever leads to this name: the root's own business."""
    return name in (b"", b"rootns") or name.endswith(b".rootns") or name.startswith(b"_ta-")


def hints(family):
    """The root hints, as a zone file."""
    address = plan.UPSTREAM_FORMAT[family].format(ROOT_HOST)
    server = ROOT_SERVER.decode() + "."
    return (f". 3600000 IN NS {server}\n"
            f"{server} 3600000 IN {'A' if family == 4 else 'AAAA'} {address}\n")
