# SPDX-License-Identifier: GPL-2.0-or-later
"""The testbed's own forwarder, which sets another client's mark each time."""

import resolverkit


def command(setting):
    """The foreground command line."""
    return resolverkit.load("control-right").command(setting, "wrong")
