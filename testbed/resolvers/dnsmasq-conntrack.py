# SPDX-License-Identifier: GPL-2.0-or-later
"""dnsmasq with its own --conntrack: the reference that the library is measured against."""

import resolverkit


def command(setting):
    """The same set-up as plain dnsmasq and one line more."""
    return resolverkit.load("dnsmasq").command(setting, "conntrack")
