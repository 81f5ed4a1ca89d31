# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs out of packages that must not be installed: unpacked into build/cache, once."""

import fcntl
import os
import pathlib
import shutil
import subprocess
import tempfile

from daemons import TestbedError

CACHE = pathlib.Path(__file__).resolve().parent.parent.parent / "build" / "cache"


def package(*names):
    """The folder into which these packages are unpacked together; its name is the first's."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / names[0]
    with open(CACHE / f"{names[0]}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)        # runs may go side by side
        if not target.is_dir():
            _unpack(names, target)
    return target


def _unpack(names, target):
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        _download(names, folder)
        root = os.path.join(folder, "root")
        for archive in pathlib.Path(folder).glob("*.deb"):
            _command(["dpkg-deb", "-x", str(archive), root])
        shutil.move(root, target)


def _download(names, folder):
    """As apt's lists are; where they are missing or old, after an update of the lists."""
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *names]
    try:
        _command(fetch, folder)
    except TestbedError:
        _command(["apt-get", "-q", "update"])
        _command(fetch, folder)


def _command(argv, folder=None):
    try:
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise TestbedError(f"{argv[0]}: {error}") from None
    if done.returncode:
        raise TestbedError(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")
