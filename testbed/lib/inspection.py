# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says about the resolver's processes and the flows that it tracks."""

import pathlib

import plan

_WANTED = ("Name", "Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def process_tree(pid):
    """The process and all its descendants."""
    found = [pid]
    for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                found += process_tree(int(child))
        except OSError:
            continue
    return found


def state(pid):
    """The process's state as a letter, None where there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()[0]


def maps(pid, library):
    """Whether the process has the library mapped. In a chroot, the path there may have a folder before it."""
    try:
        text = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(line.endswith(library) for line in text.splitlines())


def status(path):
    """Uid, capabilities and name of one /proc/PID[/task/TID] folder."""
    lines = (path / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {key: value.strip() for key, value in pairs if key in _WANTED}


def statuses(pid):
    """One entry for the process and one for each of its threads."""
    folder = pathlib.Path(f"/proc/{pid}")
    entries = [{"pid": pid, **status(folder)}]
    for task in sorted((folder / "task").iterdir(), key=lambda path: int(path.name)):
        entries.append({"pid": pid, "tid": int(task.name), **status(task)})
    return entries


def flows(network):
    """The resolver's conntrack entries of port 53."""
    lines = []
    for family in ("ipv4", "ipv6"):
        text = network.run(network.resolver, "conntrack", "-L", "-f", family, "-o", "extended")
        lines += [line for line in text.splitlines() if f"dport={plan.PORT} " in line]
    return lines
