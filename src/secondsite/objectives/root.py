"""Which findings only follow from another one: told beside it, they would hide the one thing to do."""

from __future__ import annotations

from collections.abc import Mapping

FORMER_PRIMARY = "former-primary"
ROOTS: Mapping[str, frozenset[str]] = {
    # It has another history, is shut out and pulls nothing until it is taken back, which mends all of this at once. Its
    # agent has no work before that: it comes a while after the database when the host boots, and an apply starts it.
    FORMER_PRIMARY: frozenset({
        "reachable", "agent", "guard", "quarantine", "streaming", "replay-paused", "timeline", "slot", "slot-lost",
        "slot-room", "commit-mode", "files", "files-blocked", "rpo", "handshake",
    }),
}  # fmt: skip


def root_of(check: str, found: frozenset[str]) -> str | None:
    """The check among ``found`` that ``check`` only follows from; None where it stands for itself."""
    return next((root for root, checks in ROOTS.items() if root in found and check in checks), None)
