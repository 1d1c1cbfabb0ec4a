"""What a procedure's journal says of it, for a command that was interrupted and printed nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from campaign.checks import Procedure

Console = Callable[[str, list[str]], str]


def completed(procedures: Sequence[Procedure], console: Console) -> tuple[Procedure, ...]:
    """The same, with what the newest journal at that site says where a command told nothing of its steps."""
    return tuple(
        one if "steps" in one.document or one.site == "world" else replace(one, document=_newest(one, console))
        for one in procedures
    )


def _newest(one: Procedure, console: Console) -> Mapping[str, Any]:
    try:
        listed = json.loads(console(one.site, ["secondsite", "journal", "--json"]))["journals"]
        name = next(entry["id"] for entry in listed if entry["procedure"] == one.name)
        shown = json.loads(console(one.site, ["secondsite", "journal", name, "--json"]))
    except (ValueError, KeyError, StopIteration):
        return one.document  # it never began
    return {**document(shown["records"]), "told": dict(one.document)}


def document(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pure: {outcome, fence, rpo, steps}, as the procedure itself would have told. outcome: None while it is open."""
    results = {record["body"]["step"]: record["body"] for record in records if record["kind"] == "result"}
    details = {name: body.get("details") or {} for name, body in results.items()}
    closed = [record["body"]["outcome"] for record in records if record["kind"] == "closed"]
    return {
        "outcome": closed[-1] if closed else None,
        "fence": details.get("fence", {}).get("fence"),
        "rpo": details.get("assess", {}).get("rpo"),
        "steps": [{"name": name, "details": told} for name, told in details.items()],
    }
