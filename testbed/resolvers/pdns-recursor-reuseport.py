# SPDX-License-Identifier: GPL-2.0-or-later
"""PowerDNS Recursor whose two workers receive for themselves, from sockets that share the port."""

import resolverkit

REFRESH = resolverkit.load("pdns-recursor").REFRESH


def command(setting):
    """The same set-up as plain pdns-recursor and two lines more."""
    return resolverkit.load("pdns-recursor").command(
        setting, "pdns-distributes-queries=no", "reuseport=yes")


reload = resolverkit.load("pdns-recursor").reload
