"""The guard's last word, as it left it on this host."""

from __future__ import annotations

import json
from pathlib import Path


def holding(path: Path) -> str | None:
    """Why the guard holds this host read-only; None where it does not, or has not spoken."""
    try:
        told = json.loads(path.read_text())
        ruling = told.get("verdict") or told.get("ruling")
        return str(told.get("reason", "no reason given")) if ruling in ("hold", "wait") else None
    except (OSError, ValueError, AttributeError):
        return None
