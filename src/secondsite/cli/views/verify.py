"""A verification for a person: what is not equal first, with the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_MARKS = {"equal": "✓", "different": "✗", "busy": "~", "unknown": "?"}
_ORDER = ("different", "unknown", "busy", "equal")
_SAID = {
    "equal": "the copy at {standby} is what {primary} has, as far as was looked",
    "different": "the copy at {standby} is NOT what it should be",
    "busy": "nothing is known to be wrong, and nothing could be compared",
    "unknown": "not everything could be looked at",
}


def printed(document: Mapping[str, Any]) -> None:
    """On standard output."""
    print("\n".join(lines(document)))


def lines(document: Mapping[str, Any]) -> list[str]:
    """Pure: the text of ``printed``."""
    out = [_headline(document), ""]
    for check in sorted(document["checks"], key=lambda one: (_ORDER.index(one["outcome"]), one["kind"] == "heartbeat")):
        past = check["kind"] == "heartbeat" and check["evidence"].get("gaps")
        out.append(
            f"  {'!' if past else _MARKS[check['outcome']]} {check['outcome']:<10} {check['check']}: {check['message']}"
        )
        if check["hint"] and check["outcome"] != "equal":
            out.append(f"      next: {check['hint']}")
    counted = Counter(check["outcome"] for check in document["checks"])
    told = ", ".join(f"{counted[name]} {name}" for name in _ORDER if counted[name])
    how = "every row" if document["full"] else f"a sample, seed {document['seed']}"
    out += ["", f"  {told or 'nothing to look at'} ({how}; {document['seconds']:.0f} s)"]
    return out


def _headline(document: Mapping[str, Any]) -> str:
    """A heartbeat with gaps says something about the past, and nothing about the copy."""
    different = {check["kind"] for check in document["checks"] if check["outcome"] == "different"}
    if different == {"heartbeat"}:
        return f"nothing that was compared at {document['standby']} is wrong, but the heartbeat has not always gone on"
    return _SAID[document["outcome"]].format(**document)
