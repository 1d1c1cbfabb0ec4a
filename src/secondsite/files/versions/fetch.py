"""At the primary: fetch what the standby offers of a version, and move aside what it replaces."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, RetryableError, UsageError
from secondsite.events import Emit, Progress
from secondsite.files import store as records
from secondsite.files.durable import sync_file_systems
from secondsite.files.rsync import command
from secondsite.files.rsync.output import Code, stats, why
from secondsite.files.rsync.runner import Ended, run
from secondsite.files.store import PULLED, locked
from secondsite.files.versions import offered
from secondsite.files.versions.look import relative
from secondsite.files.versions.place import ID, Folder
from secondsite.files.versions.rights import give_back, rights
from secondsite.files.zfs import beside
from secondsite.files.zfs.host import HERE, Host
from secondsite.spec import FileSet

LOCK_SECONDS = 30.0
TIMEOUT_SECONDS = 24 * 3600.0
_ITEM = re.compile(r"^([<>ch.*][fdLDS]\S{9}) (.*)$", re.MULTILINE)
SHOWN = 100


async def fetch(
    fileset: FileSet,
    source: str,
    port: int,
    *,
    offer: str,
    path: str,
    dry_run: bool,
    emit: Emit,
    store: Path,
    host: Host | None = None,
) -> dict[str, Any]:
    """Bring the files of ``offer`` into the set's folder here. source, port: the daemon of the site that offers them.
    host: where the set's dataset is, if it has one.

    What differs is replaced and lies in ``aside`` then, at its own path; what the version does not have stays.

    Answers {set, path, files, bytes, replaced, aside, without_rights, failed, sample, sample_replaced, dry_run}: sample
    names what comes, sample_replaced those of them that are here and differ. without_rights: files whose set-id bits
    are gone, for no version has any. Raises FinalError (``files-are-copy`` where this site is a standby,
    ``files-unreadable``), RetryableError (``files-busy``, ``files-unreachable``), OSError.
    """
    if not ID.fullmatch(offer):
        raise UsageError(f"{offer} is no offer", slug="no-such-argument")
    folder = Path(os.path.realpath(fileset.path))
    wanted = relative(Folder(fileset.name, fileset.path), path)
    async with locked(fileset.name, seconds=LOCK_SECONDS, store=store) as held:
        if records.load(fileset.name, store).role == PULLED:
            raise FinalError(
                f"{fileset.name} is a copy here, and the next pull would undo it",
                slug="files-are-copy",
                step="restore files",
                hint="secondsite status says which site is the primary",
            )
        aside = _aside(folder)
        made = await beside.room(host or HERE, str(folder), str(aside)) if _by_zfs(host) and not dry_run else None
        with tempfile.TemporaryDirectory(prefix="secondsite-") as room:
            argv = command.bring_back(
                f"{command.url(source, port, offered.module(fileset.name))}{offer}/",
                folder,
                backup=aside,
                only=_only(Path(room), wanted),
                implied=not (folder / wanted).parent.is_dir(),
                bandwidth=fileset.bandwidth,
                dry_run=dry_run,
            )

            def watch(done: int, total: int | None, rate: float, left: int) -> None:
                emit(Progress(f"restore {fileset.name}", done, total, rate_per_second=rate, seconds_left=left))

            had = {} if dry_run else await asyncio.to_thread(rights, folder, wanted)
            try:
                ended = await run(argv, seconds=TIMEOUT_SECONDS, held=held, watch=watch)
            finally:
                without = await asyncio.to_thread(give_back, had)
        replaced = await _replaced(aside, made, host or HERE, keep=not dry_run)
        _judge(fileset.name, ended, aside if replaced else None)
        if not dry_run:
            await sync_file_systems(folder)
    seen, items = stats(ended.stdout, ended.stderr), _ITEM.findall(ended.stdout)
    contents = [name for what, name in items if what.startswith(">f")]
    instead = [name for what, name in items if what.startswith(">f") and "+" not in what]
    if dry_run:
        replaced = len(instead)
    return {
        "set": fileset.name,
        "path": wanted,
        "files": len(contents) if dry_run else seen.transferred,
        "bytes": seen.bytes,
        "replaced": replaced,
        "aside": str(aside) if replaced and not dry_run else None,
        "without_rights": without,
        "failed": why(ended.text) if ended.code == Code.PARTIAL else None,
        "sample": [name for what, name in items if not what.startswith(".")][:SHOWN],
        "sample_replaced": instead[:SHOWN],
        "dry_run": dry_run,
    }


def _by_zfs(host: Host | None) -> bool:
    return host is not None or shutil.which("zfs") is not None


def _aside(folder: Path) -> Path:
    """A new folder beside the set for what is replaced: on its file system, so that it is only renamed; for root.
    Beside a dataset is another one, without its room: a dataset of the same pool is mounted there (``beside.room``).
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = folder.with_name(f"{folder.name}.replaced-{stamp}")
    aside.mkdir(mode=0o700)
    return aside


def _only(room: Path, wanted: str) -> Path | None:
    """The list of what is wanted, as rsync reads it; None where that is everything."""
    if not wanted:
        return None
    listed = room / "wanted"
    listed.write_bytes(b"./" + os.fsencode(wanted) + b"\0")
    return listed


async def _replaced(aside: Path, room: str | None, host: Host, *, keep: bool) -> int:
    """How many files were moved aside; an empty folder goes, with its dataset."""
    count = sum(len(files) for _, _, files in os.walk(aside))
    if room is not None and not count:
        await beside.give_back(host, room)
    if (not count or not keep) and aside.is_dir():
        for folder, _, _ in os.walk(aside, topdown=False):
            Path(folder).rmdir()
    return count


def _judge(name: str, ended: Ended, aside: Path | None) -> None:
    """Raises where nothing, or not all, could be fetched; what was replaced by then is named."""
    kept = f"; what was replaced until then is in {aside}" if aside else ""
    if ended.code is None or ended.code in (Code.PROTOCOL_START, Code.SOCKET):
        reason = "no answer in time" if ended.code is None else why(ended.text)
        raise RetryableError(
            f"the files of {name} cannot be fetched: {reason}{kept}",
            slug="files-unreachable",
            step="restore files",
            hint="where the other site does not know the offer's module yet: secondsite apply",
        )
    accepted: Sequence[int] = (Code.OK, Code.PARTIAL)
    if ended.code not in accepted:
        raise FinalError(
            f"not all files of {name} were fetched: {why(ended.text)}{kept}",
            slug="files-unreadable",
            step="restore files",
        )
