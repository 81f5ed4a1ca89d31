# SPDX-License-Identifier: GPL-2.0-or-later
"""dnsmasq that sends everybody's queries from one socket: query-port, as for strict firewalls."""

import resolverkit


def command(setting):
    """The same set-up as plain dnsmasq and one line more."""
    return resolverkit.load("dnsmasq").command(setting, "query-port=5300")
