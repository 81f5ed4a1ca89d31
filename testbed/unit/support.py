# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the testbed's modules importable and builds packets by hand."""

import importlib
import importlib.util
import ipaddress
import pathlib
import struct
import sys

TESTBED = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTBED / "lib"))

CLIENT, SERVER, SOURCE_PORT = "192.168.222.1", "192.168.222.2", 4242


def library(name):
    """A module of testbed/lib."""
    return importlib.import_module(name)


def program(name):
    """A program of testbed/bin as a module."""
    spec = importlib.util.spec_from_file_location(name, TESTBED / "bin" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ip_packet(protocol, payload, source=CLIENT, target=SERVER):
    """An IPv4 or IPv6 packet; checksums are nobody's concern here."""
    source, target = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if source.version == 4:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    else:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return header + source.packed + target.packed + payload


def udp(payload, **addresses):
    """A UDP datagram to port 53."""
    return ip_packet(17, struct.pack("!4H", SOURCE_PORT, 53, 8 + len(payload), 0) + payload,
                     **addresses)


def tcp(sequence, payload=b"", flags=0x10, port=SOURCE_PORT, **addresses):
    """A TCP segment to port 53."""
    header = struct.pack("!HHIIBBHHH", port, 53, sequence & 0xFFFFFFFF, 0, 0x50, flags, 1024, 0, 0)
    return ip_packet(6, header + payload, **addresses)
