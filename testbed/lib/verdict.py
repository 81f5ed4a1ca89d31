# SPDX-License-Identifier: GPL-2.0-or-later
"""What a record means: its line for humans, and whether it is what was expected."""

import signal

EXPECTATIONS = ("right", "bare-unmarked")


def failures(record):
    """Queries of clients that got no good answer."""
    return record["clients"]["lost"] + record["clients"]["failed"]


def technical(record):
    """Reasons why the record proves nothing."""
    reasons = []
    if not record["complete"]:
        witness = record["witness"]
        reasons.append(f"the witness saw {witness['packets']} of {record['logged']} packets "
                       f"(overruns {witness['overruns']}, gaps {witness['gaps']})")
    if not record["witness"]["packets"]:
        reasons.append("no packet was seen")
    if record["witness"]["unreadable"]:
        reasons.append(f"{record['witness']['unreadable']} packets could not be read")
    if record["clients"].get("unauthenticated"):
        reasons.append(f"{record['clients']['unauthenticated']} answers were not validated")
    if record["clients"]["interrupted"]:
        reasons.append("the clients were interrupted")
    return reasons


def unmet_right(record, bare):
    """Reasons why not every question carried its own client's mark."""
    witness, clients = record["witness"], record["clients"]
    reasons = [f"{witness[name]} {text}" for name, text in (
        ("wrong", "questions with another client's mark"), ("unmarked", "unmarked questions"),
        ("syn_wrong", "connections opened with another client's mark"),
        ("ancestor_wrong", "shared ancestors with the mark of one who did not wait"),
        ("ancestor_past", "shared ancestors with the mark of one who waited no longer"),
        ("ancestor_unmarked", "unmarked questions for shared ancestors"),
        ("background_marked", "marked questions that no client caused"),
        ("other_bits_changed", "packets with another user's bits changed")) if witness.get(name)]
    if witness["wrong_shared"]:
        reasons.append(f"{witness['wrong_shared']} of the wrong ones shared a TCP segment with a "
                       f"question for which its mark is right")
    given_up = failures(record) if bare else 0      # no more than bare: see below
    if witness["right"] < clients["distinct"] - given_up:
        reasons.append(f"{witness['right']} right questions for {clients['distinct']} queries")
    if clients["wrong"]:
        reasons.append(f"{clients['wrong']} answers with a foreign address")
    if record["mode"] == "shimmed" and not record["mapped"]:
        reasons.append("the library is not mapped in the resolver")
    status, usual = record["resolver"]["exit_status"], (bare or record)["resolver"]["exit_status"]
    if status and status not in (-signal.SIGTERM, usual if bare else 0):
        reasons.append(f"the resolver ended with status {status}")
    if bare and failures(bare) * 2 > bare["clients"]["asked"]:
        reasons.append(f"the bare resolver failed {failures(bare)} queries: nothing to compare with")
    if bare and failures(record) > failures(bare):
        reasons.append(f"{failures(record)} queries lost or failed, bare {failures(bare)}")
    return reasons


def unmet_life(record, bare):
    """Reasons why the resolver did not live on as it should."""
    life, reasons = record["life"], []
    if life.get("zombies"):
        reasons.append(f"{life['zombies']} zombies")
    if life:
        grown, usual = (one["life"]["descriptors2"] - one["life"]["descriptors1"]
                        for one in (record, bare or record))
        if grown > max(0, usual if bare else 0):
            reasons.append(f"{grown} descriptors more after as many queries again")
    return reasons


def unmet_arrival(record):
    """Reasons why not everything arrived where it should."""
    where, reasons = record.get("arrivals", {}), []
    for protocol in ("udp", "tcp"):
        for name, text in (("astray", "at another's upstream"),
                           ("foreign_source", "from another uplink's address")):
            if where.get(f"{protocol}_{name}"):
                reasons.append(f"{where[f'{protocol}_{name}']} {protocol} questions {text}")
    flows = record.get("marked_flows")
    if flows and flows["entries_changed"]:
        reasons.append(f"{flows['entries_changed']} conntrack entries had several marks")
    if flows and flows["ports_shared"] + where["udp_ports_shared"]:
        reasons.append("a source port served several marks")
    return reasons


def unmet_account(record):
    """Where the library's own counters and its trace say something else than the witness."""
    account = record.get("account")
    if account and not account["seen"]:
        return ["the witness saw no question to compare the counters with"]
    return account["differs"] if account else []


def unmet_fast_open(record):
    """A cell of TCP Fast Open in which there was none proves nothing."""
    return ["no connection was made by TCP Fast Open"] if record.get("fast_open") == 0 else []


def unmet_refresh(record):
    """Reasons why the cache did not answer the second time, and refresh what it had."""
    found = record.get("refreshes")
    if found and found["names"] * 2 < record["clients"]["distinct"]:
        return [f"only {found['names']} of {record['clients']['distinct']} names were refreshed"]
    return []


def unmet_unmarked(record):
    """Reasons why this is not what a bare resolver does."""
    witness, clients = record["witness"], record["clients"]
    reasons = [f"{witness[name]} {name} questions" for name in ("right", "wrong") if witness[name]]
    if witness["unmarked"] < clients["distinct"] - failures(record):
        reasons.append(f"{witness['unmarked']} unmarked questions "
                       f"for {clients['distinct']} queries")
    if record["mapped"]:
        reasons.append("a library is mapped in the resolver")
    return reasons


def unmet(record, expectation, bare=None):
    """Reasons why the record is not what was expected; a compared bare run is never right."""
    if expectation == "bare-unmarked" or (expectation and record is bare):
        return unmet_unmarked(record) + unmet_refresh(record) + unmet_fast_open(record)
    if expectation == "right":
        return (unmet_right(record, bare) + unmet_life(record, bare) + unmet_arrival(record)
                + unmet_account(record) + unmet_refresh(record) + unmet_fast_open(record))
    return unmet_account(record)


def line(record, name):
    """One line for humans."""
    witness, clients = record["witness"], record["clients"]
    text = (f"{name} {record['mode']} round {record['round']}: "
            f"right {witness['right']} wrong {witness['wrong']} unmarked {witness['unmarked']}"
            f" | other {witness['other_zero']} unmarked {witness['other_marked']} marked")
    if "ancestor_right" in witness:
        text += (" | ancestors " + " ".join(f"{part} {witness[f'ancestor_{part}']}" for part in (
            "right", "late", "past", "wrong", "unmarked")) +
            f" | background unmarked {witness['background_unmarked']} "
            f"marked {witness['background_marked']}")
    if "refreshes" in record:
        text += " | refreshes " + " ".join(f"{part} {count}"
                                           for part, count in record["refreshes"].items())
    if witness.get("validation"):
        text += " | " + ", ".join(f"{kind} {count}"
                                  for kind, count in sorted(witness["validation"].items()))
    if witness["syn_marked"] or witness["syn_unmarked"]:
        text += (f" | syn right {witness['syn_right']} wrong {witness['syn_wrong']} "
                 f"missing {witness['syn_missing']}")
    text += (f" | answered {clients['answered']} of {clients['asked']}, lost {clients['lost']}, "
             f"failed {clients['failed']}, {clients['seconds']} s")
    return text + f" | witness {'complete' if record['complete'] else 'INCOMPLETE'}"
