"""Whom a standby follows: our conf.d file says the peer; postgresql.auto.conf may cut it off, and is emptied here.

Cutting is ``ALTER SYSTEM SET primary_conninfo = ''`` (manual 20.1.2): it holds over restarts and beats conf.d. A copy
of a primary (base backup, rewind) brings the primary's postgresql.auto.conf along, the cut included, so every copy
passes through ``forget_overrides`` before it starts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import psycopg

from secondsite.converge.write import atomically, sync_directory
from secondsite.database.cluster import OWNER
from secondsite.database.node import owner

OURS = ("primary_conninfo", "primary_slot_name", "synchronous_standby_names", "promote_trigger_file")
AUTO = "postgresql.auto.conf"
SIGNAL = "standby.signal"
_OURS = re.compile(rf"\s*({'|'.join(OURS)}|recovery_target\w*)\s*(=|\s)", re.IGNORECASE)


def without_overrides(text: str) -> str:
    """postgresql.auto.conf without the lines that decide whom to follow; everything else stays."""
    return "".join(row for row in text.splitlines(keepends=True) if not _OURS.match(row))


def forget_overrides(data: Path) -> bool:
    """Take them out of a *stopped* cluster's folder; whether there were any. Raises OSError."""
    path = data / AUTO
    text = path.read_text(errors="surrogateescape") if path.exists() else ""
    kept = without_overrides(text)
    if kept == text:
        return False
    atomically(path, kept.encode("utf-8", "surrogateescape"), mode=0o600, owner=owner() or OWNER)
    return True


def cut_off(data: Path) -> None:
    """Have a *stopped* cluster follow nobody when it starts as a standby. Raises OSError."""
    path = data / AUTO
    text = path.read_text(errors="surrogateescape") if path.exists() else ""
    cut = without_overrides(text) + "primary_conninfo = ''\n"
    atomically(path, cut.encode("utf-8", "surrogateescape"), mode=0o600, owner=owner() or OWNER)


def reset(connection: psycopg.Connection[Any]) -> None:
    """The same on a running server; takes effect with its next reload."""
    connection.execute("ALTER SYSTEM RESET primary_conninfo")
    connection.execute("ALTER SYSTEM RESET primary_slot_name")


def is_cut(data: Path) -> bool:
    """Whether postgresql.auto.conf says otherwise about the primary than our file does."""
    path = data / AUTO
    text = path.read_text(errors="surrogateescape") if path.exists() else ""
    return any(re.match(r"\s*primary_(conninfo|slot_name)\s*(=|\s)", row) for row in text.splitlines())


def signal(data: Path) -> None:
    """Make the folder a standby's: from its next start on it is in recovery until promoted. Raises OSError."""
    path = data / SIGNAL
    if path.exists():
        return
    atomically(path, b"", mode=0o600, owner=owner() or OWNER)


def move(source: Path, target: Path) -> None:
    """Rename a data folder within its file system, durably. Raises FileExistsError rather than replace anything."""
    if target.exists():
        raise FileExistsError(f"{target} exists")
    source.rename(target)
    sync_directory(target.parent)
