"""Write files so that a reader, or a power cut, sees the old one or the new one and nothing between."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from secondsite.spec import paths


def atomically(
    path: Path, content: bytes, *, mode: int = 0o644, owner: str | int = "root", group: str | int | None = None
) -> None:
    """Replace ``path`` by ``content``; missing parents are made, readable by all. Raises OSError, KeyError (owner)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".secondsite", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), *ids(owner, group))
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in ``path`` last."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def ids(owner: str | int, group: str | int | None) -> tuple[int, int]:
    """Numbers of a user and a group; the user's own group where none is named. Raises KeyError."""
    entry = pwd.getpwuid(owner) if isinstance(owner, int) and group is None else None
    if entry is None and isinstance(owner, str):
        entry = pwd.getpwnam(owner)
    user = owner if isinstance(owner, int) else entry.pw_uid if entry else -1
    if group is None:
        return user, entry.pw_gid if entry else -1
    return user, grp.getgrnam(group).gr_gid if isinstance(group, str) else group


def aside(path: Path, *, store: Path = paths.ASIDE) -> Path:
    """Move ``path`` (file or folder) out of the way, never deleting it; where it is now. Raises OSError."""
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = store / f"{stamp}{str(path).replace('/', '__')}"
    shutil.move(path, target)
    sync_directory(store)
    return target
