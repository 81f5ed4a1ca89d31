#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a command that paints a terminal (connmark-stat --watch) on one of its own, and says what it did.

The command is started twice: once it is stopped by the key q, once by SIGINT.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

ENTER, LEAVE, HOME = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[H"
PATIENCE = 10


def resize(terminal, rows, columns):
    """The kernel tells whoever is in the foreground."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Screen:
    """The command, and all that it has written."""

    def __init__(self, command, rows, columns):
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            time.sleep(0.2)             # until the terminal has its size
            os.execvp(command[0], command)
        resize(self.terminal, rows, columns)
        self.before = termios.tcgetattr(self.terminal)
        self.data = b""

    def read(self):
        """What comes within a moment; False at the end."""
        if select.select([self.terminal], [], [], 0.1)[0]:
            try:
                data = os.read(self.terminal, 65536)
            except OSError:
                return False
            self.data += data
            return bool(data)
        return True

    def frames(self):
        """Whole pictures, as lines without the terminal's codes."""
        pieces = self.data.split(HOME)[1:-1]
        plain = [re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", piece).decode("ascii") for piece in pieces]
        return [[line.rstrip("\r") for line in text.split("\n")] for text in plain]

    def await_frame(self, fits):
        """The first picture from now on that fits; None where none comes."""
        start, end = len(self.frames()), time.monotonic() + PATIENCE
        while time.monotonic() < end and self.read():
            for frame in self.frames()[start:]:
                if fits(frame):
                    return frame
        return None

    def stop(self, how):
        """How it ended, and how it left the terminal."""
        how()
        end = time.monotonic() + PATIENCE
        status = None
        while time.monotonic() < end and status is None:
            self.read()
            done, code = os.waitpid(self.pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if done else None
        while self.read() and LEAVE not in self.data:
            if time.monotonic() > end:
                break
        tidy = (self.data.count(ENTER) == self.data.count(LEAVE) == 1
                and self.data.rstrip().endswith(LEAVE)
                and termios.tcgetattr(self.terminal)[3] == self.before[3])
        os.close(self.terminal)
        return f"exit status {status}, screen and terminal {'as before' if tidy else 'NOT as before'}"


def main():
    """Two runs."""
    if sys.argv[1:] in ([], ["--help"]):
        print(__doc__)
        sys.exit(0 if sys.argv[1:] else 64)
    screen = Screen(sys.argv[1:], 40, 150)
    frame = screen.await_frame(lambda lines: "PER SECOND" in "\n".join(lines)) or []
    text = " ".join(" ".join(frame).split())
    total = re.search(r"\ball (\d+)", text)
    print(f"first: {text.split()[0] if text else None}, {'PER SECOND' if 'PER SECOND' in text else ''}, "
          f"all {total.group(1) if total else None}")
    resize(screen.terminal, 5, 30)
    frame = screen.await_frame(lambda lines: len(lines) <= 5) or []
    print(f"small: {len(frame)} lines of at most {max((len(line) for line in frame), default=0)} columns, "
          f"{'more lines than' if any('more lines than' in line for line in frame) else ''}")
    print("q:", screen.stop(lambda: os.write(screen.terminal, b"q")))
    screen = Screen(sys.argv[1:], 40, 150)
    screen.await_frame(lambda lines: True)
    print("SIGINT:", screen.stop(lambda: os.kill(screen.pid, signal.SIGINT)))


if __name__ == "__main__":
    main()
