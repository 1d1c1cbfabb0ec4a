"""The list of everything in a version, with all attributes: gzipped lines, by path, and one hash over them."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from secondsite.files.versions.entry import Entry, Groups, parsed, read
from secondsite.files.versions.walk import Seen, walk

NAME = "manifest.gz"
LEVEL = 1  # the names are most of it, and they pack well at once


class Summary:
    """What a tree comes to: entries, bytes, and the hash that another tree of the same content and attributes has."""

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0
        self._hash = hashlib.sha256()

    def add(self, entry: Entry, line: bytes) -> None:
        self.entries += 1
        self.bytes += entry.size if entry.group is None else 0
        self._hash.update(line + b"\n")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def entries(root: int, counted: Callable[[int], None] = lambda _: None) -> Iterator[tuple[Entry, Seen | None]]:
    """Every entry of the open folder ``root`` in the order of a manifest, itself first (with no place in a folder).

    A folder is told once, before what it holds. counted: told how many there were, now and then. Raises OSError.
    """
    groups, count = Groups(), 0
    itself = read("", ".", root, os.fstat(root))
    assert itself is not None
    yield itself, None
    for seen in walk(root):
        if seen.leaving:
            continue
        count += 1
        if count % 1000 == 0:
            counted(count)
        try:
            entry = read(seen.path, seen.name, seen.folder, seen.stat)
        except FileNotFoundError:
            continue
        if entry is not None:
            yield groups.told(entry, seen.stat), seen


def summary(root: int, counted: Callable[[int], None] = lambda _: None) -> Summary:
    """What the tree comes to now."""
    found = Summary()
    for entry, _ in entries(root, counted):
        found.add(entry, entry.line())
    return found


class Writer:
    """Writes a manifest while a version is made."""

    def __init__(self, path: Path) -> None:
        self.summary = Summary()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._raw: IO[bytes] = os.fdopen(handle, "wb")
        self._file = gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=self._raw, mtime=0)

    def add(self, entry: Entry) -> None:
        line = entry.line()
        self.summary.add(entry, line)
        self._file.write(line + b"\n")

    def close(self) -> None:
        """Durable afterwards. Twice is once."""
        if self._raw.closed:
            return
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()


def lines(path: Path) -> Iterator[bytes]:
    """The raw lines. Raises OSError, EOFError, zlib.error where the file is not whole."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield line.rstrip(b"\n")


def below(path: Path, wanted: str, *, ancestors: bool = False) -> Iterator[Entry]:
    """The entries at and below ``wanted`` ("" is everything); ancestors: those of the folders above it, too.

    Only their lines are parsed.
    """
    if not wanted:
        yield from (parsed(line) for line in lines(path))
        return
    start = _start(wanted)
    inner = start[:-1] + b"/"  # without the closing quote
    above = tuple(_start(one) + b"," for one in above_of(wanted)) if ancestors else ()
    found = False
    for line in lines(path):
        if line.startswith((start + b",", inner)):
            found = True
            yield parsed(line)
        elif not found and line.startswith(above):
            yield parsed(line)
        elif found and not line.startswith(start[:-1]):
            return  # in the order of a walk everything below a folder follows it


def above_of(path: str) -> list[str]:
    """Pure: the folders above a path, the set's own ("") first."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts))]


def order_of(path: str) -> list[bytes]:
    """Pure: by this, the paths of a manifest are sorted."""
    return os.fsencode(path).split(b"/") if path else []


def _start(path: str) -> bytes:
    return b'{"p":' + json.dumps(path).encode()
