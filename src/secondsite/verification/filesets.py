"""Compare the file sets byte by byte, and tell what is wrong from what has merely changed meanwhile."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path

from secondsite.database.verify.model import Outcome
from secondsite.errors import SecondsiteError
from secondsite.events import Emit, Progress
from secondsite.files.engine import engine_for, last_complete
from secondsite.files.rsync.verify import Verification
from secondsite.files.store import STORE
from secondsite.spec import FileSet, Spec
from secondsite.verification.check import Check, unknown

COMPARE_SECONDS = 6 * 3600.0
PULL_SECONDS = 60.0
POLL_SECONDS = 0.5
Stat = tuple[int, int] | None


async def check(spec: Spec, site: str, *, emit: Emit, store: Path = STORE) -> list[Check]:
    """One check a set."""
    found = []
    for place, fileset in enumerate(spec.files):
        emit(Progress("compare files", place, float(len(spec.files)), "sets", site))
        try:
            found.append(await _set(spec, site, fileset, store))
        except SecondsiteError as error:
            found.append(unknown(f"files {fileset.name}", "files", site, error))
    if spec.files:
        emit(Progress("compare files", len(spec.files), float(len(spec.files)), "sets", site))
    return found


async def _set(spec: Spec, site: str, fileset: FileSet, store: Path) -> Check:
    """A file that changes is fetched by the next pull. One that a complete pull leaves as it is, and that still is not
    what the source has, is wrong: its size and time look right and its content is not, or it should not be there."""
    source, port = str(spec.tunnel_address(spec.peer_of(site))), spec.tunnel.files_port
    engine, name = engine_for(fileset, store), f"files {fileset.name}"
    first = await engine.verify(source, port, timeout=COMPARE_SECONDS)
    if not first.differing:
        return Check(
            name, "files", site, Outcome.EQUAL, f"{first.files} files have the same content", evidence=_told(first)
        )
    before = {path: _stat(fileset, path) for path in first.sample}
    if not await _pulled(fileset, store):
        message = f"{first.differing} files differ, and no pull has been complete since"
        return Check(name, "files", site, Outcome.UNKNOWN, message, "secondsite status", evidence=_told(first))
    second = await engine.verify(source, port, timeout=COMPARE_SECONDS)
    return judged(name, site, first, second, before, {path: _stat(fileset, path) for path in second.sample})


def judged(
    name: str,
    site: str,
    first: Verification,
    second: Verification,
    before: Mapping[str, Stat],
    after: Mapping[str, Stat],
) -> Check:
    """Pure: what two comparisons with a complete pull between them say. before, after: the files here, by path."""
    evidence = _told(second)
    wrong = [path for path in second.sample if path in before and before[path] == after.get(path)]
    if wrong:
        message = f"{len(wrong)} files differ that a complete pull has left alone, the first: {wrong[0]}"
        hint = f"move {wrong[0]} away at {site}: the next pull fetches it; and look at the disk"
        return Check(name, "files", site, Outcome.DIFFERENT, message, hint, evidence=evidence | {"wrong": wrong})
    if second.differing:
        message = f"{second.differing} of {second.files} files change while they are compared"
        return Check(name, "files", site, Outcome.BUSY, message, "", evidence=evidence)
    return Check(name, "files", site, Outcome.EQUAL, f"{second.files} files have the same content", evidence=evidence)


async def _pulled(fileset: FileSet, store: Path) -> bool:
    """Whether a pull that began after now was complete in time; the source's clock may be a little off."""
    now, deadline, seen = time.time(), time.monotonic() + PULL_SECONDS + 2 * fileset.interval, set()
    while time.monotonic() < deadline:
        complete = last_complete(fileset, store)
        if complete is not None:
            seen.add(complete)
        if len(seen) >= 3:  # one may have begun before; the one after it has not
            return True
        await asyncio.sleep(POLL_SECONDS)
    return any(moment > now for moment in seen) and len(seen) >= 2


def _stat(fileset: FileSet, path: str) -> Stat:
    try:
        found = os.lstat(Path(fileset.path) / path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _told(found: Verification) -> dict[str, object]:
    return {
        "files": found.files,
        "differing": found.differing,
        "sample": list(found.sample),
        "seconds": round(found.seconds, 3),
    }
