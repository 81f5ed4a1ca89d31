# SPDX-License-Identifier: GPL-2.0-or-later
"""The resolver as a service: in the foreground or gone to the background, told to load anew."""

import os
import pathlib
import signal

import inspection
from daemons import START_SECONDS, STOP_SECONDS, Daemon, TestbedError, wait_until

ALIKE = 25                  # looks in a row that found the same number: half a second
SETTLE_SECONDS = 5          # for sockets that only wait for a late answer


class Foreground(Daemon):
    """A resolver that stays our child."""

    def pids(self):
        """All its processes."""
        return inspection.process_tree(self.pid)


class Background:
    """A resolver that detached itself: its launcher has ended, somebody else is its parent."""

    def __init__(self, network, argv, folder):
        before = network.pids(network.resolver)
        self._launcher = Daemon("resolver", network.inside(network.resolver, argv), folder)
        self.argv = self._launcher.argv
        wait_until(lambda: not self._launcher.running(), START_SECONDS, "the launcher to end")
        self._status = self._launcher.status()
        left = wait_until(lambda: network.pids(network.resolver) - before, START_SECONDS,
                          "the resolver in the background")
        self.pid = min(left, key=_started)

    def pids(self):
        """All its processes."""
        return inspection.process_tree(self.pid)

    def running(self):
        """Whether it has not ended; whoever adopted it may not have asked for its status."""
        return inspection.state(self.pid) not in (None, "Z")

    def check(self):
        """An error where it ended by itself, or never detached as it should."""
        if self._status or not self.running():
            raise TestbedError(f"resolver: launcher's status {self._status}, running "
                               f"{self.running()}:\n{self.stderr()[-3000:]}")
        return True

    def stderr(self):
        """What it said before it closed its standard error."""
        return self._launcher.stderr()

    def stop(self):
        """SIGTERM and a bounded wait; 0 where it ended by that, which is all that can be known."""
        if not self.running():
            return 0
        os.kill(self.pid, signal.SIGTERM)
        try:
            wait_until(lambda: not self.running(), STOP_SECONDS, "resolver to end")
        except TestbedError:
            os.kill(self.pid, signal.SIGKILL)
            return -signal.SIGKILL
        return 0


def _started(pid):
    """When a process was started, in the kernel's ticks: the oldest is the parent of the others."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return int(text.rpartition(")")[2].split()[19]), pid


def descriptors(pids):
    """How many descriptors these processes have open together."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def settled_descriptors(service, wanted=None):
    """Their number once it is no more than wanted, or stays the same; or after SETTLE_SECONDS."""
    seen = []
    def settled():
        seen.append(descriptors(service.pids()))
        return seen[-1] <= wanted if wanted else len(set(seen[-ALIKE:])) == 1 and seen[ALIKE:]
    try:
        wait_until(settled, SETTLE_SECONDS, "descriptors")
    except TestbedError:
        pass
    return seen[-1]


def zombies(service):
    """Its children that have ended and that it does not ask about, after some time to do so."""
    def found():
        return [pid for pid in service.pids() if inspection.state(pid) == "Z"]
    try:
        wait_until(lambda: not found(), SETTLE_SECONDS, "children to be reaped")
    except TestbedError:
        pass
    return len(found())
