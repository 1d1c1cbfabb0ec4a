"""Could this host start what the file names to fence the other one? Asked in peace, and not only in the disaster."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from secondsite.objectives.snapshot import FenceCommand
from secondsite.spec import Spec

_LINE_BYTES = 256  # Linux reads no more of a script's first line (execve(2))


def look(spec: Spec, site: str) -> tuple[FenceCommand, ...]:
    """Every command with which ``site`` would fence the other one, and why it could not be run; runs none of them."""
    return tuple(FenceCommand(key, argv[0], why_not(argv[0])) for key, argv in named(spec, site))


def named(spec: Spec, site: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Pure: key and argument list of each, in the order in which a failover to ``site`` uses them."""
    peer = spec.peer_of(site)
    described = spec.sites[peer]
    for number, argv in enumerate(described.fence):
        yield f"sites.{peer}.fence[{number}]", argv
    power = described.power
    for key, argv in (("off", power.off), ("check", power.check), ("on", power.on)):
        if argv:
            yield f"sites.{peer}.power.{key}", argv


def why_not(program: str) -> str | None:
    """Why ``program`` cannot be started here, as execve(2) would find; None where nothing speaks against it."""
    if "/" not in program:
        return None if shutil.which(program) else "is not installed"
    path = Path(program)
    try:
        if not path.exists():
            return "is not there"
        if path.is_dir():
            return "is a folder"
        if not os.access(path, os.X_OK):
            return "is not executable"
        if not path.is_file():
            return "is no file"  # a pipe would be waited for
        return _why_no_interpreter(path)
    except OSError as unseen:
        return f"cannot be looked at ({unseen.strerror})"


def _why_no_interpreter(path: Path) -> str | None:
    """A script whose interpreter is missing fails as if it were not there itself."""
    with path.open("rb") as file:
        first = file.read(_LINE_BYTES).partition(b"\n")[0]
    words = [word.decode("utf-8", "backslashreplace") for word in first.removeprefix(b"#!").split()]
    if not first.startswith(b"#!") or not words:
        return None if b"\0" in first else "is text without a first line that names its interpreter (#!)"
    if "\0" in words[0] or not os.access(words[0], os.X_OK):
        return f"is a script for {words[0]}, which is not there"
    if Path(words[0]).name == "env" and len(words) == 2 and shutil.which(words[1]) is None:
        return f"is a script for {words[1]}, which is not installed"
    return None
