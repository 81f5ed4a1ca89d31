#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts a program under the limits of a systemd unit, without systemd.

    confine.py UNIT-FILE [DROP-IN...] -- PROGRAM [ARGUMENT...]

Of the [Service] sections it takes, merged as systemd.exec(5) says: User=, DynamicUser=,
CapabilityBoundingSet=, AmbientCapabilities=, NoNewPrivileges=, RestrictAddressFamilies= (as a
seccomp filter on socket(2), like systemd's) and Environment=. Everything else is left out. The
program takes this one's place.
"""

import ctypes
import os
import platform
import pwd
import socket
import struct
import sys

DYNAMIC_USER = 61184            # the first of systemd's range for DynamicUser=

CAPABILITIES = ("CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
                "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
                "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
                "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
                "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE").split()
SETS = ("CapabilityBoundingSet", "AmbientCapabilities", "RestrictAddressFamilies")

# linux/prctl.h, linux/seccomp.h, linux/filter.h, linux/audit.h
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 24, 47, 2
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_KEEPCAPS = 38, 22, 2, 8
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 97         # EAFNOSUPPORT
SOCKET_CALL = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    """The C library's -1 as an exception."""
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def settings(files):
    """Every assignment in the [Service] sections, in order."""
    for path in files:
        section = None
        with open(path, encoding="utf-8") as file:
            for line in file:
                line = line.strip()
                if line.startswith("["):
                    section = line
                elif section == "[Service]" and "=" in line and line[0] not in "#;":
                    yield [part.strip() for part in line.split("=", 1)]


def read(files):
    """The unit: (single values, sets: None where not given, environment)."""
    values, environment = {}, {}
    sets = {name: None for name in SETS}
    for name, value in settings(files):
        if name in sets:
            merge(sets, name, value)
        elif name == "Environment":
            environment.update(pair.strip('"').split("=", 1) for pair in value.split())
        else:
            values[name] = value
    return values, sets, environment


def merge(sets, name, value):
    """One more line of a list: added, or with '~' taken away; an empty one begins anew."""
    if not value:
        sets[name] = set()
        return
    inverted = value.startswith("~")
    words = set(value.lstrip("~").split())
    if sets[name] is None:
        sets[name] = {f"CAP_{one}" for one in CAPABILITIES} if inverted else set()
    sets[name] = sets[name] - words if inverted else sets[name] | words


def bound(allowed):
    """Drop all other capabilities from the bounding set."""
    for number, name in enumerate(CAPABILITIES):
        if f"CAP_{name}" not in allowed:
            check(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"dropping CAP_{name}")


def become(values, ambient):
    """The unit's user, with its ambient capabilities."""
    if "User" in values:
        entry = pwd.getpwnam(values["User"])
        user, group, groups = entry.pw_uid, entry.pw_gid, os.getgrouplist(values["User"], entry.pw_gid)
    elif values.get("DynamicUser") in ("yes", "true", "1", "on"):
        user, group, groups = DYNAMIC_USER, DYNAMIC_USER, []
    else:
        return
    check(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "keeping capabilities")
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    numbers = [CAPABILITIES.index(name[4:]) for name in ambient]
    mask = sum(1 << number for number in numbers)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", 0x20080522, 0)
    check(libc.capset(header, struct.pack("=6I", low, low, low, high, high, high)), "capset")
    for number in numbers:
        check(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), "ambient capability")


def restrict_families(names):
    """socket(2) of any other family fails with EAFNOSUPPORT."""
    architecture, number = SOCKET_CALL[platform.machine()]
    families = [int(getattr(socket, name)) for name in sorted(names)]
    program = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, ALLOW),
               (LOAD, 0, 0, 0), (EQUAL, 1, 0, number), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 16)]
    program += [(EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    program += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    whole = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(program), ctypes.addressof(code)))
    check(libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, whole, 0, 0), "seccomp")


def main():
    """Privileged steps first; the filter while CAP_SYS_ADMIN or no_new_privs still allows it."""
    if sys.argv[1:] in ([], ["--help"]):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] else 64)
    split = sys.argv.index("--")
    values, sets, environment = read(sys.argv[1:split])
    if sets["CapabilityBoundingSet"] is not None:
        bound(sets["CapabilityBoundingSet"])
    become(values, sets["AmbientCapabilities"] or set())
    if sets["RestrictAddressFamilies"] is not None:
        # an ordinary user's filter needs it; systemd sets it for the same reason
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        restrict_families(sets["RestrictAddressFamilies"])
    argv = sys.argv[split + 1:]
    os.execvpe(argv[0], argv, {**os.environ, **environment})


if __name__ == "__main__":
    main()
