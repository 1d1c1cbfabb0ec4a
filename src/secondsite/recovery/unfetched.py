"""The last pull of a failover counts as done whatever it fetched: what it did not fetch is told with its step."""

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


def _why(pull: object) -> str | None:
    if isinstance(pull, str):
        return pull
    if not isinstance(pull, Mapping) or pull.get("complete"):
        return None
    return str(pull.get("reason") or "not everything was fetched")
