# SPDX-License-Identifier: GPL-2.0-or-later
"""Puts measured tables where the README has a place for them, between <!-- KIND: NAME --> and <!-- end -->."""

import re


class NoPlace(Exception):
    """The README has not exactly one place of that name."""


def put(readme, place, text):
    """The README's text with `text` in the place, for instance 'bench: load'."""
    readme, found = re.subn(rf"(?s)(<!-- {re.escape(place)} -->\n).*?(<!-- end -->)",
                            lambda at: at[1] + text + at[2], readme)
    if found != 1:
        raise NoPlace(f"README.md has {found} places '<!-- {place} -->', not one")
    return readme
