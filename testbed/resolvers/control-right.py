# SPDX-License-Identifier: GPL-2.0-or-later
"""The testbed's own forwarder, which sets the mark that each name spells."""

import pathlib

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "bin" / "forwarder.py"


def command(setting, mark="right"):
    """The foreground command line."""
    listen = setting.listen if setting.specific else ["0.0.0.0", "::"]
    return [str(PROGRAM), "--mark", mark, "--upstream", setting.upstream,
            "--upstream-proto", setting.upstream_proto,
            *(part for one in listen for part in ("--listen", one))]
