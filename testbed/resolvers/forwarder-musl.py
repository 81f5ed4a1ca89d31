# SPDX-License-Identifier: GPL-2.0-or-later
"""The testbed's forwarder in C, as musl's program."""

import resolverkit


def command(setting):
    """The foreground command line."""
    return resolverkit.load("forwarder").command(setting, folder="musl/programs")
