"""A step that tries counts as done whatever came of it: what it did not fetch or confirm is told with its step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMED = 5  # in a line; a report has all


def unfetched(step: Mapping[str, Any]) -> str | None:
    """Pure: what a step of a procedure's document has left unfetched, set by set, and why; None where nothing."""
    sets = (step.get("details") or {}).get("sets")
    if not isinstance(sets, Mapping):  # a step that fetches nothing names the sets that it has touched
        return None
    pulls = {name: one for name, one in sets.items() if "final_pull" in one}
    told = [
        f"{name}: {why}{_named(one)}" for name, one in pulls.items() if (why := _why(one["final_pull"])) is not None
    ]
    return "; ".join(told) or None


def told_not_here(procedure: Mapping[str, Any]) -> tuple[int | None, list[str]]:
    """Pure: how many paths the source had told as changed, and that a failover has not fetched, with the names that got
    through ("SET: PATH", printable). The number is None where no source has told anything of what was not fetched."""
    count: int | None = None
    names: list[str] = []
    for step in procedure.get("steps", ()):
        sets = (step.get("details") or {}).get("sets")
        for name, one in sets.items() if isinstance(sets, Mapping) else ():
            told = one.get("told_not_here") if isinstance(one, Mapping) else None
            if told and told.get("count") is not None:
                count = (count or 0) + int(told["count"])
                names += [f"{name}: {printable(each)}" for each in told.get("names", ())]
    return count, names


def printable(name: str) -> str:
    """Pure: a file's name on one line. Bytes that are no text, and what would move a cursor, are escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _named(one: Mapping[str, Any]) -> str:
    """What the source's last word says of it."""
    held, told = one.get("held_back"), one.get("told_not_here") or {}
    if not held:
        return _waiting(told)
    return f"{_waiting(told)}; {held} deletions or changes waited for a person: what was before them is here again"


def _waiting(told: Mapping[str, Any]) -> str:
    count, names = told.get("count"), [printable(each) for each in told.get("names", ())]
    if count is None:
        return ""
    if not count:
        return "; by its last word nothing was waiting there"
    some = ", ".join(names[:NAMED])
    more = f" and {count - min(len(names), NAMED)} more" if names and count > min(len(names), NAMED) else ""
    return f"; {count} changed paths were told and are not known to be here" + (f": {some}{more}" if some else "")


def shown(outcome: str, details: Mapping[str, Any]) -> str:
    """Pure: the word for how a step ended, for a person: "done" only where it has done what its title says. The outcome
    itself stays ``done``: the procedure may go on."""
    if outcome != "done":
        return outcome
    if details.get("fence") == "unconfirmed":
        return "not confirmed"
    if unfetched({"details": details}) is None:
        return outcome
    pulls = [one["final_pull"] for one in details["sets"].values() if "final_pull" in one]
    return "nothing fetched" if all(isinstance(pull, str) for pull in pulls) else "not all fetched"


def _why(pull: object) -> str | None:
    if isinstance(pull, str):
        return pull
    if not isinstance(pull, Mapping) or pull.get("complete"):
        return None
    return str(pull.get("reason") or "not everything was fetched")
