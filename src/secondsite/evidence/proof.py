"""What an evidence file holds, and what can be proven of it."""

from __future__ import annotations

from pathlib import Path

from secondsite.recovery.journal import read

PURPOSES = {
    "journal.jsonl": "journal of the procedure",
    "customer.jsonl": "every attempt of the customer",
}


def told(path: Path) -> str:
    """In words, for the manifest. Raises OSError."""
    purpose = PURPOSES.get(path.name, "")
    if path.suffix != ".jsonl":
        return purpose
    return ", ".join(part for part in (purpose, _records(path)) if part)


def _records(path: Path) -> str:
    if path.name != "journal.jsonl":
        lines = path.read_bytes().count(b"\n")
        return f"{lines} lines"
    recovered = read(path)
    return f"{len(recovered.records)} records, hash chain {'broken behind them' if recovered.torn else 'intact'}"
