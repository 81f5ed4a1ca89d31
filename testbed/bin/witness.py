#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches an NFLOG group and judges the mark of every DNS question that passes.

Runs in the resolver's namespace, behind the firewall rules of mangle OUTPUT: it says what the
kernel did, not what anybody claims. Writes a JSON verdict at SIGTERM, with "complete": false
where a packet may have been missed. The counters are explained in lib/judge.py; syn_missing
counts connections whose SYN was unmarked though its first question has an owner.
"""

import argparse
import pathlib
import select
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import judge
import nflog
import plan
import programs


def main():
    """Watch until told to stop, drain, write the verdict."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", type=int, default=plan.NFLOG_GROUP)
    parser.add_argument("--threshold", type=int, default=plan.NFLOG_THRESHOLD,
                        help="packets which the kernel gathers before it wakes this program")
    parser.add_argument("--mask", type=lambda text: int(text, 0), default=0xFFFFFFFF,
                        help="the bits of the mark that count")
    parser.add_argument("--other-mask", type=lambda text: int(text, 0), default=0,
                        help="the bits of another user of the mark")
    parser.add_argument("--other-bits", type=lambda text: int(text, 0), default=0,
                        help="what these must be on each packet")
    parser.add_argument("--receive-buffer", type=int, default=nflog.RECEIVE_BUFFER, metavar="BYTES",
                        help="of the netlink socket; a small one shows that losses are noticed")
    parser.add_argument("--keep-others", action="store_true",
                        help="list each question whose name spells no mark, with its time")
    parser.add_argument("--keep-questions", action="store_true",
                        help="list every question with its ID and the marks of its segments")
    parser.add_argument("--keep-owned", action="store_true",
                        help="list each question whose name spells a mark, with its time")
    parser.add_argument("--keep-unmarked", action="store_true",
                        help="list the unmarked questions whose name spells a mark, with their times")
    parser.add_argument("--keep-encrypted", action="store_true",
                        help="list the segments of DNS over TLS with their marks and times")
    parser.add_argument("--ready-file", metavar="FILE", help="written when the group is bound")
    parser.add_argument("--json", metavar="FILE", help="verdict (default: stdout)")
    options = parser.parse_args()
    stop = programs.StopFlag()
    bench = judge.Judge(options.mask, options.keep_others, (options.other_mask, options.other_bits),
                        options.keep_questions, options.keep_owned, options.keep_unmarked)
    decoder = nflog.Decoder(bench.packet)
    group = nflog.Group(options.group, decoder, options.threshold, options.receive_buffer)
    bench.clock = lambda: group.moment
    programs.announce_ready(options.ready_file)
    while not stop:
        select.select([group, stop.read_end], [], [])
        while not stop and group.receive() is not None:
            pass
    group.drain()
    programs.write_json(options.json, {
        "complete": not (group.overruns or decoder.gaps), "packets": decoder.packets,
        "overruns": group.overruns, "gaps": decoder.gaps, **bench.result(),
        **({"others": bench.others} if options.keep_others else {}),
        **({"questions": bench.questions} if options.keep_questions else {}),
        **({"owned": bench.owned} if options.keep_owned else {}),
        **({"unmarked_at": bench.unmarked} if options.keep_unmarked else {}),
        **({"encrypted": bench.encrypted.connections} if options.keep_encrypted else {})})


if __name__ == "__main__":
    main()
