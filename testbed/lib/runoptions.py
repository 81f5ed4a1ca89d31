# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of testbed/run, for other programs that make a cell."""

import importlib.machinery
import importlib.util
import pathlib
import sys

RUN = pathlib.Path(__file__).resolve().parent.parent / "run"


def parse(argv):
    """What testbed/run would make of this command line."""
    loader = importlib.machinery.SourceFileLoader("testbed_run", str(RUN))
    run = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(run)
    sys.argv[1:] = [str(part) for part in argv]
    return run.parse()
