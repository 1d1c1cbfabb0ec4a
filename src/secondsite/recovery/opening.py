"""Open a procedure's journal: a new one, one that is taken up, or one that nobody will take up again."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondsite.clock import Clock
from secondsite.events import Emit, Note
from secondsite.recovery.history import Entry
from secondsite.recovery.journal import Journal, Kind, Unwritable, unwritable
from secondsite.recovery.promoted import promised


def begin(directory: Path, procedure_id: str, opened: Mapping[str, Any], clock: Clock) -> Journal:
    """A new journal with its first record. Raises FinalError (``journal-unwritable``): nothing has begun."""
    try:
        journal = Journal.create(directory, procedure_id, clock)
    except OSError as full:
        raise unwritable(directory / f"{procedure_id}.jsonl", full) from full
    try:
        journal.append(Kind.OPENED, opened)
    except OSError as full:
        journal.close()
        with contextlib.suppress(OSError):
            journal.path.unlink()
        raise unwritable(journal.path, full) from full
    return journal


def take_up(old: Entry, resumed: Mapping[str, Any], clock: Clock, emit: Emit, site: str) -> Journal:
    """The journal of a procedure that died or stopped. Before its point of no return it must be writable: FinalError
    (``journal-unwritable``). Behind it everything goes on without, and it is told."""
    emit(Note(f"taking up {old.id}, begun {old.records[0].at}", site))
    journal: Journal | None = None
    try:
        journal = Journal.reopen(old.path, clock)
        journal.append(Kind.RESUMED, resumed)
    except OSError as full:
        if promised(old) is None:
            if journal is not None:
                journal.close()
            raise unwritable(old.path, full) from full
        told = f"the journal {old.path} cannot be written, and everything goes on: {full.strerror or full}"
        emit(Note(told, site, "error"))
        journal = journal or Unwritable(old.path, clock, old.records, full)
    return journal


def supersede(old: Entry, why: str, clock: Clock, emit: Emit, site: str) -> None:
    """Close a journal that nobody may take up again: the world has gone on without it."""
    emit(Note(f"{old.id} is not taken up: {why}", site, "warning"))
    try:
        journal = Journal.reopen(old.path, clock)
        try:
            journal.append(Kind.SUPERSEDED, {"why": why})
        finally:
            journal.close()
    except OSError as full:
        emit(Note(f"the journal {old.path} cannot be written: {full.strerror or full}", site, "error"))
