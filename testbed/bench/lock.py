# SPDX-License-Identifier: GPL-2.0-or-later
"""A lock for machines on which others work too."""

import contextlib
import fcntl


@contextlib.contextmanager
def locked(path):
    """Nobody else who locks that file measures meanwhile; path: None for no lock."""
    if not path:
        yield
        return
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
