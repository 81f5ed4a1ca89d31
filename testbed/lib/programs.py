# SPDX-License-Identifier: GPL-2.0-or-later
"""What the testbed's little daemons have in common: ready files, results, a stop signal."""

import json
import os
import signal


class StopFlag:
    """Becomes true at SIGTERM or SIGINT and wakes a select() through its descriptor."""

    def __init__(self):
        self.stopped = False
        self.read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, _number, _frame):
        self.stopped = True

    def __bool__(self):
        return self.stopped


def write_atomically(path, text):
    """Whoever polls for the file never sees half of it."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(partial, path)


def announce_ready(path):
    """Tell whoever started us that everything is open."""
    if path:
        write_atomically(path, f"{os.getpid()}\n")


def write_json(path, value):
    """Write a result, to standard output where path is None or '-'."""
    text = json.dumps(value, indent=2) + "\n"
    if path in (None, "-"):
        print(text, end="", flush=True)
    else:
        write_atomically(path, text)
