# SPDX-License-Identifier: GPL-2.0-or-later
"""The testbed's forwarder in C (testbed/programs/forwarder.c), as glibc's program."""

import pathlib

from resolverkit import Unsupported

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"


def command(setting, folder="programs"):
    """The foreground command line."""
    if setting.upstream_proto != "udp":
        raise Unsupported("the forwarder speaks UDP only")
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    return [str(BUILD / folder / "forwarder"), setting.upstream, *listen]
