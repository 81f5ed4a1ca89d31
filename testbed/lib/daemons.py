# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts programs, waits for them with a bound, and ends them by their own process ids."""

import os
import pathlib
import signal
import subprocess
import time

POLL_SECONDS = 0.02
START_SECONDS = 20
STOP_SECONDS = 8


class TestbedError(Exception):
    """The run could not be made; nothing was proven either way."""


def wait_until(condition, seconds, what):
    """Poll until condition() is true; its value is returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TestbedError(f"waited {seconds} s for {what}")
        time.sleep(POLL_SECONDS)


def command(*argv, text=None):
    """Run a short command; its standard output is returned, a failure is an error."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Daemon:
    """A program that runs in a session of its own until it is stopped.

    Its output goes to files in the folder; it inherits no descriptor but these.
    """

    def __init__(self, name, argv, folder):
        self.name = name
        self.argv = [str(part) for part in argv]
        folder = pathlib.Path(folder)
        self.out_path, self.err_path = folder / f"{name}.out", folder / f"{name}.err"
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder,
                close_fds=True, start_new_session=True)

    @property
    def pid(self):
        """The program's process id; `ip netns exec` and `env` replace themselves."""
        return self._process.pid

    def running(self):
        """Whether it has not ended. Leaves the status unread, so that the id stays ours."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def status(self):
        """The exit status of one that has ended, whose session lives on."""
        return self._process.wait()

    def check(self):
        """An error where it ended by itself."""
        if not self.running():
            raise TestbedError(f"{self.name} ended with status {self.stop()}:\n"
                               f"{self.stderr()[-3000:]}")
        return True

    def stderr(self):
        """What it said so far."""
        return self.err_path.read_text(encoding="utf-8", errors="replace")

    def await_file(self, path):
        """Wait for the file by which the program announces that it is ready."""
        wait_until(lambda: self.check() and os.path.exists(path), START_SECONDS,
                   f"{self.name} to be ready")

    def finish(self, seconds):
        """Wait for a program that ends by itself; another status than 0 is an error."""
        wait_until(lambda: not self.running(), seconds, f"{self.name} to finish")
        status = self.stop()
        if status:
            raise TestbedError(f"{self.name} ended with status {status}:\n{self.stderr()[-3000:]}")

    def stop(self):
        """SIGTERM, a bounded wait, SIGKILL to what is left of its session; returns the status."""
        if self._process.returncode is not None:
            return self._process.returncode
        if self.running():
            self._process.send_signal(signal.SIGTERM)
            try:
                wait_until(lambda: not self.running(), STOP_SECONDS, f"{self.name} to end")
            except TestbedError:
                pass
        os.killpg(self.pid, signal.SIGKILL)     # it, or children that it left behind
        return self._process.wait()
