"""Tar files whose bytes depend on nothing but what is in them."""

from __future__ import annotations

import compileall
import gzip
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from py_compile import PycInvalidationMode

LEVEL = 6

Files = Sequence[tuple[str, Path]]


def identity(files: Files, *salt: str) -> str:
    """12 hexadecimal digits of what the files and their names are."""
    state = hashlib.blake2b(digest_size=6)
    for text in salt:
        state.update(text.encode() + b"\0")
    for name, path in files:
        content = path.read_bytes()
        state.update(f"{name}\0{len(content)}\0".encode())
        state.update(content)
    return state.hexdigest()


def build(files: Files, target: Path, *, home: str, executable: Iterable[str] = (), compiled: bool = True) -> None:
    """Pack ``files`` into ``target`` (.tar.gz), which appears only when complete. home: where they will stand.

    compiled: with byte code that Python does not check against its source (unchecked-hash, PEP 552).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    runnable = set(executable)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as folder:
        stage = Path(folder) / "stage"
        for name, path in files:
            place = stage / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        if compiled:
            compileall.compile_dir(
                stage, quiet=2, force=True, workers=0, stripdir=str(stage), prependdir=home,
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )  # fmt: skip
        packed = Path(folder) / "packed"
        _pack(stage, packed, runnable)
        packed.replace(target)


def _pack(stage: Path, target: Path, executable: set[str]) -> None:
    with (
        target.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=LEVEL, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(stage.rglob("*")):
            name = str(path.relative_to(stage))
            entry = tar.gettarinfo(path, arcname=name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = 0
            entry.mode = 0o755 if entry.isdir() or name in executable else 0o644
            if entry.isfile():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
