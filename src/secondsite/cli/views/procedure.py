"""A procedure's document for a person: what happened, what it cost, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from secondsite.cli.render import see
from secondsite.recovery.left_open import left_open

_MARKS = {"done": "✓", "already": "✓", "failed": "✗", "skipped": "·", "undone": "↶"}
_OUTCOMES = {
    "completed": "done",
    "rolled_back": "not done, and everything is as it was",
    "failed": "failed, and could not be taken back completely",
    "blocked": "stopped half-way: past the point of no return, not yet complete",
}


def show(document: Mapping[str, Any]) -> None:
    """Print the end of a procedure to standard output."""
    print("\n".join(lines(document)))


def lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the text of ``show``."""
    out = [f"{document['procedure']} {document['id']}: {_OUTCOMES[document['outcome']]}", ""]
    for step in document["steps"]:
        missing = left_open(step)
        open_question = step["details"].get("fence") == "unconfirmed" or missing
        mark = "!" if open_question else _MARKS.get(step["outcome"], "?")
        # A step that was never begun took no time: 0.000 s would read as one that was quick.
        took = "skipped" if step["outcome"] == "skipped" else f"{step['seconds']:.3f} s"
        out.append(f"  {mark} {step['title']:<44} {step['site']:<10} {took:>10}")
        if document.get("faults") and step["name"] == "assess":
            out += fault_lines(document["faults"])
        elif step["message"]:
            out.append(f"      {step['message']}")
            out += [f"      next: {step['hint']}"] if step["hint"] else []
        elif missing:
            out.append(f"      {missing}")
    out.append("")
    if document.get("outage_seconds") is not None:
        objective = document["rto"]["objective_seconds"]
        out.append(f"  without service {document['outage_seconds']:.2f} s  (objective {objective:g} s)")
    elif document["rto"]["measured_seconds"] is not None:
        out += recovery(document["rto"])
    out += loss(document["rpo"], confirmed=document.get("fence") != "unconfirmed")
    if document.get("lost") is not None:
        from secondsite.cli import given_up

        out += given_up.lines(document["lost"])
    if document.get("fence") == "unconfirmed" and document["outcome"] in ("completed", "blocked"):
        out.append("  the old primary was NOT confirmed to be stopped; if it runs, the guard stops it when it is back")
    if document["outcome"] in ("blocked", "failed"):
        to = document.get("arguments", {}).get("to")
        go_on = f"secondsite {document['procedure']} --resume" + (f" --to {to}" if to else "")
        out += ["", f"  next: mend the cause, then: {go_on}"]
    out.append(f"  journal         {document['journal']}")
    if document["procedure"] == "failover" and document["outcome"] == "completed":
        out.append("  report          secondsite report failover")
    out += [f"  {see(error['error'])}" for error in document["errors"]]
    return out


def recovery(rto: Mapping[str, Any]) -> list[str]:
    """Pure: how long users were without service as far as it is known, and the part since the command."""
    seconds, objective, outage = rto["measured_seconds"], rto["objective_seconds"], rto.get("outage_seconds")
    if outage is None:
        return [f"  recovery time   {seconds:.2f} s from the command on  (objective {objective:g} s)"]
    verdict = "met" if rto["outage_met"] else "MISSED"
    return [
        f"  without service {outage:.1f} s since the old primary was last heard (objective {objective:g} s: {verdict})",
        f"  recovery time   {seconds:.2f} s of it, from the command on",
    ]


def loss(rpo: Mapping[str, Any], *, confirmed: bool = True) -> list[str]:
    """Pure: what is lost, as far as it is known, in words. confirmed: the old primary is known to have stopped; else
    what it may have accepted out of sight comes first."""
    proof = rpo.get("proof")
    if proof:
        return [
            f"  work lost       none: both databases ended at {proof['checkpoint']} on timeline {proof['timeline']}"
        ]
    estimated, most, known = rpo.get("estimated_seconds"), rpo.get("at_most_seconds"), rpo.get("known_bytes")
    if estimated is None:
        return [f"  work lost       unknown: nothing says how far {rpo.get('worst') or 'the database'} has come"]
    if not estimated and rpo.get("worst") is None:
        return ["  work lost       none"]
    objective = f"(objective {rpo['objective_seconds']:g} s)"
    missing = "" if known is None else f", {known:,} bytes of WAL known to be missing"
    longer = most is not None and most > estimated + 1
    if longer and not confirmed:
        out = [
            f"  work lost       at most {most:.1f} s {objective}: nobody has confirmed when the old primary stopped;",
            f"                  at most {estimated:.1f} s in {rpo['worst']}{missing},",
            "                  if it died when it fell silent",
        ]
    else:
        out = [f"  work lost       at most {estimated:.1f} s in {rpo['worst']} {objective}{missing}"]
    if longer and confirmed:
        out[0] += ","
        out.append("                  if the old primary died when it fell silent;")
        out.append(f"                  at most {most:.1f} s, if it worked on out of sight")
    if rpo.get("synchronous"):
        out.append("                  of the database nothing that was acknowledged: commits waited for this site,")
        out.append("                  unless a person let them go on at the old primary after it was last heard")
    return out


def show_switchover(document: Mapping[str, Any]) -> None:
    """Print what a switchover would do."""
    print("\n".join(switchover_lines(document)))


def switchover_lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the text of ``show_switchover``."""
    refused = document.get("would_be_refused")
    if refused:
        out = [f"switchover to {document['to']} would be refused:"]
        alone = [f"      {refused['message']}", f"      next: {refused['hint']}"]
        return out + (fault_lines(document["faults"]) or alone)
    outage = document["outage"]
    seconds, earlier = outage["expected_seconds"], outage["earlier"]
    told = "unknown: none was measured yet" if seconds is None else f"about {seconds:.2f} s, from {earlier} earlier"
    return [
        f"switchover: {document['to']} takes over from {document['from']}, which becomes its standby",
        f"  without service {told}",
        "  work lost       none, or it is taken back",
        "",
        *step_lines(document),
    ]


def fault_lines(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pure: everything that stands against it, each with what to do."""
    out = []
    for fault in faults:
        out += [f"      {fault['site']}: {fault['message']}", f"        next: {fault['hint']}"]
    return out


def step_lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the steps in their order."""
    out = ["  steps"]
    for step in document["steps"]:
        turn = "   <- point of no return" if step["point_of_no_return"] else ""
        out.append(f"    {step['title']:<44} {step['site']}{turn}")
    return out


def show_preview(document: Mapping[str, Any]) -> None:
    """Print what a failover would do."""
    print("\n".join(preview_lines(document)))


def preview_lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the text of ``show_preview``."""
    refused = document.get("would_be_refused")
    if refused:
        return [f"failover to {document['to']} would be refused: {refused['message']}", f"  next: {refused['hint']}"]
    out = [
        f"failover: {document['to']} takes over from {document['from']} ({_heard(document)})",
        f"  standby         {document['database']['role']}, {document['database']['streaming']}",
        *loss(document["rpo"]),
        "",
    ]
    return out + step_lines(document)


def _heard(document: Mapping[str, Any]) -> str:
    """What is known of the old primary at this moment."""
    silent = document.get("peer_silent_seconds")
    if silent is not None:
        return f"not heard for {silent:g} s"
    if document.get("peer_answers") is None:
        return "state unknown"
    return "it answers, and is stopped first" if document["peer_answers"] else "it does not answer"
