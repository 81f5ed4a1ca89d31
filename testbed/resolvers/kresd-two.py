# SPDX-License-Identifier: GPL-2.0-or-later
"""Knot Resolver with two processes, as 5.x does it: instances that share the port and the cache.

Debian's unit makes them as kresd@1 and kresd@2; here a shell starts and stops both. Each has what
plain kresd has.
"""

import resolverkit

REFRESH = resolverkit.load("kresd").REFRESH
NO_REFRESH = resolverkit.load("kresd").NO_REFRESH

_BOTH = """\
"$@" & one=$!
"$@" & two=$!
trap 'kill $one $two' TERM
wait $one; status=$?
while kill -0 $one 2>/dev/null; do wait $one; status=$?; done
wait $two || status=$?
exit $status
"""


def command(setting):
    """The foreground command line."""
    return ["/bin/sh", "-c", _BOTH, "sh", *resolverkit.load("kresd").command(setting)]


reload = resolverkit.no_reload
