"""A step that tries counts as done whatever came of it: what it did not fetch or confirm is told with its step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unfetched(step: Mapping[str, Any]) -> str | None:
    """Pure: what a step of a procedure's document has left unfetched, set by set, and why; None where nothing."""
    sets = (step.get("details") or {}).get("sets")
    if not isinstance(sets, Mapping):  # a step that fetches nothing names the sets that it has touched
        return None
    pulls = {name: one["final_pull"] for name, one in sets.items() if "final_pull" in one}
    told = [f"{name}: {why}" for name, pull in pulls.items() if (why := _why(pull)) is not None]
    return "; ".join(told) or None


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
