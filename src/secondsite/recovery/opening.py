"""Open a procedure's journal: a new one, one that is taken up, or one that nobody will take up again."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from secondsite import __version__
from secondsite.clock import Clock
from secondsite.errors import FinalError, UsageError
from secondsite.events import Emit, Note
from secondsite.recovery.history import Entry, next_number
from secondsite.recovery.journal import Journal, Kind, Unwritable, unwritable
from secondsite.recovery.promoted import promised


def refuse_elsewhere(procedure: str, to: str, site: str) -> None:
    """A procedure runs at the site that takes over. Raises UsageError (``wrong-host``) on another one."""
    if to != site:
        raise UsageError(
            f"this host is {site}; a {procedure} to {to} runs at {to}",
            slug="wrong-host",
            hint=f"run it on {to}, or from a machine that reaches it by SSH",
        )


def other_unfinished(old: Entry, site: str) -> FinalError:
    """What is said where another procedure must be finished first."""
    return FinalError(
        f"{old.id} is unfinished here",
        slug="other-procedure-unfinished",
        hint=f"secondsite {old.opened['procedure']} --resume --to {site}",
    )


def begin(directory: Path, procedure: str, arguments: Mapping[str, Any], steps: Iterable[str], clock: Clock) -> Journal:
    """A new journal with its first record. Raises FinalError (``journal-unwritable``): nothing has begun."""
    procedure_id = f"{clock.now():%Y%m%dT%H%M%SZ}-{procedure}-{secrets.token_hex(2)}"
    opened: dict[str, Any] = {
        "procedure": procedure,
        "arguments": arguments,
        "steps": list(steps),
        "version": __version__,
    }
    opened["number"] = next_number(directory)  # what began later has a higher one, whatever the clock says
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
