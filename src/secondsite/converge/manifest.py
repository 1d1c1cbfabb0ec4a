"""Which files on this host are ours: path and SHA-256 of what we wrote last.

A file that is not listed belongs to somebody else and is moved aside before ours takes its place.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from secondsite.converge.write import atomically
from secondsite.spec import paths

MANIFEST = paths.STATE / "manifest.json"


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def recorded(path: Path, *, manifest: Path | None = None) -> str | None:
    """What we last wrote to ``path``, as its digest; None where we never did."""
    return _load(manifest or MANIFEST).get(str(path))


def record(path: Path, content: bytes, *, manifest: Path | None = None) -> None:
    """Remember that ``path`` is ours from now on. Raises OSError."""
    where = manifest or MANIFEST
    known = _load(where)
    if known.get(str(path)) == digest(content):
        return
    known[str(path)] = digest(content)
    atomically(where, json.dumps(known, indent=1, sort_keys=True).encode(), mode=0o600)


def forget(path: Path, *, manifest: Path | None = None) -> None:
    """``path`` is no longer ours. Raises OSError."""
    where = manifest or MANIFEST
    known = _load(where)
    if known.pop(str(path), None) is not None:
        atomically(where, json.dumps(known, indent=1, sort_keys=True).encode(), mode=0o600)


def _load(manifest: Path) -> dict[str, str]:
    try:
        content = json.loads(manifest.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}
