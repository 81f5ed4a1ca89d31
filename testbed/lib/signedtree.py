# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of zones (tree.py) as signed zone files, and the `named` that serves them.

dnssec-signzone signs each zone, the deepest first, for a zone's DS goes into the zone above it. All
zones have the same key (ECDSA P-256), each under its own name: made once, that is fast. Denials are
those of NSEC; what the clients do not ask for does not exist. Zones of the kind `unsigned` have no
signatures and no DS, so that a resolver must ask whether they have one.

`named` stands behind bin/authority.py, on another port of the same addresses, and has at each what
that host serves and nothing else: the root's host answers with referrals.
"""

import collections
import concurrent.futures
import ipaddress
import os
import pathlib

import names
import plan
import tree
from daemons import command

BACKEND_FORMAT = plan.UPSTREAM_FORMAT[4]
BACKEND_PORT = 5300         # on the addresses of the hosts themselves
ANSWER_TTL = 60
ANCHOR = "root.anchor"          # the root's DNSKEY, as a record
CONFIG = "named.conf"
_SIGNER, _KEYGEN = "/usr/bin/dnssec-signzone", "/usr/bin/dnssec-keygen"
_ALGORITHM = "ECDSAP256SHA256"

_OPTIONS = """\
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile none;
    listen-on port {port} {{ {addresses} }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    tcp-clients 200;
}};
controls {{ }};
logging {{ channel stderr {{ stderr; severity notice; }}; category default {{ stderr; }}; }};
"""


def _absolute(name):
    return name.decode() + "."


def _record(name, ttl, rtype, data):
    return f"{_absolute(name)} {ttl} IN {rtype} {data}\n"


def contents(asked, family):
    """(zones by name, their records by name of the zone) for the names that clients ask."""
    zones, records = {}, collections.defaultdict(list)
    found = {tree.ROOT_SERVER}.union(*(
        tree.closure(name) for name in (*asked, b"*." + tree.READY_ZONE.encode())))
    for name in sorted(found):
        way = tree.zones(name)
        zones.update((zone.name, zone) for zone in way)
        records[way[-1].name] += _at(name, family)
    for zone in zones.values():
        servers = [_record(zone.name, zone.ttl, "NS", _absolute(server))
                   for server in zone.nameservers]
        records[zone.name] += servers
        if zone.name:
            glue = [_address(server, family) for server in zone.nameservers] if zone.glue else []
            records[tree.zones(zone.name)[-2].name] += servers + glue
    return zones, records


def _address(server, family):
    address = plan.UPSTREAM_FORMAT[family].format(tree.host_of(server))
    return _record(server, tree.TTL, "A" if family == 4 else "AAAA", address)


def _at(name, family):
    """The records of one name, in its own zone."""
    if tree.host_of(name) is not None:
        return [_address(name, family)]
    if not tree.is_whole(name) or b"nx" in names.directives(name):
        return []
    target = tree.alias(name)
    if target is not None:
        return [_record(name, ANSWER_TTL, "CNAME", _absolute(target))]
    return [_record(name, ANSWER_TTL, rtype, ipaddress.ip_address(address(name)))
            for rtype, address in (("A", names.address_v4), ("AAAA", names.address_v6))]


class Signer:
    """Writes and signs the zones' files in one folder."""

    def __init__(self, folder):
        self._folder = folder
        base = command(_KEYGEN, "-q", "-K", str(folder), "-a", _ALGORITHM, "-f", "KSK", ".").strip()
        self._suffix = base[len("K."):]
        self._private = (folder / f"{base}.private").read_text(encoding="ascii")
        public = (folder / f"{base}.key").read_text(encoding="ascii")
        self._key = " ".join(public.splitlines()[-1].split()[3:])
        (folder / ANCHOR).write_text(f". IN DNSKEY {self._key}\n", encoding="ascii")

    def sign(self, zone, records):
        """One zone; the dsset files of those beneath it are there already."""
        origin = _absolute(zone)
        signs = not tree.is_unsigned(zone)
        path, key = self._folder / f"zone-{origin}", self._folder / f"K{origin}{self._suffix}"
        if zone and signs:
            for end, text in (("key", f"{origin} IN DNSKEY {self._key}\n"),
                              ("private", self._private)):
                pathlib.Path(f"{key}.{end}").write_text(text, encoding="ascii")
        soa = f"{_absolute(b'ns.invalid')} {_absolute(b'hostmaster.invalid')} 1 3600 600 86400 1"
        text = f"$TTL {tree.TTL}\n" + _record(zone, tree.TTL, "SOA", soa) + "".join(records)
        if not signs:
            pathlib.Path(f"{path}signed").write_text(text, encoding="ascii")
            return
        path.write_text(text + _record(zone, tree.TTL, "DNSKEY", self._key), encoding="ascii")
        command(_SIGNER, "-q", "-z", "-P", "-g", "-n", "1", "-d", str(self._folder), "-o", origin,
                "-f", f"{path}signed", str(path), str(key))


def build(folder, asked, family):
    """Sign all that the clients' questions lead to, and write what `named` needs."""
    folder.mkdir(mode=0o755)
    zones, records = contents(asked, family)
    signer = Signer(folder)
    levels = collections.defaultdict(list)
    for zone in zones:
        levels[len(tree.zones(zone))].append(zone)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _, level in sorted(levels.items(), reverse=True):
            list(pool.map(lambda zone: signer.sign(zone, records[zone]), level))
    (folder / CONFIG).write_text(_configuration(folder, zones), encoding="ascii")


def _configuration(folder, zones):
    served = collections.defaultdict(list)
    for zone in zones.values():
        served[zone.hosts].append(_absolute(zone.name))
    text = _OPTIONS.format(folder=folder, port=BACKEND_PORT, addresses=" ".join(
        BACKEND_FORMAT.format(host) + ";" for host in plan.AUTHORITY_HOSTS))
    for hosts, origins in sorted(served.items()):
        addresses = " ".join(BACKEND_FORMAT.format(host) + ";" for host in hosts)
        text += (f'view "{hosts[0]}" {{\n    match-destinations {{ {addresses} }};\n' + "".join(
            f'    zone "{one}" {{ type primary; file "zone-{one}signed"; }};\n' for one in origins)
            + "};\n")
    return text


def serve(folder):
    """The command line of the `named` that has these zones."""
    return ["/usr/sbin/named", "-f", "-n", "1", "-c", str(folder / CONFIG)]
