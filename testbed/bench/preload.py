# SPDX-License-Identifier: GPL-2.0-or-later
"""Does the library know a setting?"""

import os
import subprocess


def environment_of(library, settings):
    """Only what is measured, so that two runs are alike. library: None for a bare run."""
    clean = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
    return {**clean, **settings, "LD_PRELOAD": str(library)} if library else clean


def refused(library, settings):
    """What the library says where it does not know a setting; '' where it does."""
    done = subprocess.run(["/bin/true"], env=environment_of(library, settings), text=True,
                          capture_output=True, check=True)
    return done.stderr.strip()


def complaints(said):
    """What a program and the library said on standard error, but for the library's word on its source of marks."""
    return "\n".join(line for line in said.splitlines() if line.strip() and "marks come from" not in line)
