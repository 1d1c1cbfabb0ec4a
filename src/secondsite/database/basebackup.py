"""Copy the primary's cluster into a side folder with pg_basebackup, as a job that outlives this process."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

from secondsite.clock import Clock
from secondsite.converge.write import atomically
from secondsite.database.cluster import OWNER
from secondsite.database.durable import SYNC
from secondsite.database.job import JobState
from secondsite.database.node import Node
from secondsite.database.source import Source
from secondsite.errors import FinalError
from secondsite.events import Emit, Progress

POLL_SECONDS = 0.5
_COPY = f'data=$0; mark=$1; shift; "$@" && {SYNC} && : > "$mark" && sync -f "$mark"'
_PROGRESS = re.compile(r"(\d+)/(\d+) kB \(\d+%\)")


def side_folder(node: Node) -> Path:
    """Where the copy grows: next to the data folder, on the same file system, wholly ours."""
    data = node.cluster.data.resolve()
    return data.with_name(f"{data.name}.secondsite-seed")


def mark(node: Node) -> Path:
    """Beside the side folder; the job makes it last, once everything is on disk."""
    folder = side_folder(node)
    return folder.with_name(f"{folder.name}.complete")


def is_complete(node: Node) -> bool:
    """A whole copy stands in the side folder, safe against a power cut."""
    return mark(node).exists() and (side_folder(node) / "backup_manifest").exists()


def remove_half(node: Node) -> None:
    """Remove what a failed copy left; only ever our own side folder."""
    folder = side_folder(node)
    mark(node).unlink(missing_ok=True)
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def log_file(node: Node) -> Path:
    return node.state / "seed.log"


async def start(node: Node, source: Source) -> None:
    """Begin copying. The password stands in the password file; none is on the command line."""
    node.state.mkdir(parents=True, exist_ok=True)
    atomically(node.state / "seed.json", json.dumps({"started_from": source.name}).encode(), mode=0o600)
    argv = [
        "/bin/sh",
        "-c",
        _COPY,
        str(side_folder(node)),
        str(mark(node)),
        node.cluster.program("pg_basebackup"),
        f"--pgdata={side_folder(node)}",
        f"--dbname={source.conninfo}",
        "--wal-method=stream",
        f"--slot={source.slot}",
        "--checkpoint=fast",
        "--no-password",
        "--progress",
        "--no-sync",
        "--label=secondsite seed",
    ]
    await node.seed_job.start(argv, user=OWNER, log=log_file(node), env={"LC_ALL": "C.UTF-8"})


async def wait(node: Node, site: str, emit: Emit, clock: Clock) -> None:
    """Follow the copy to its end. Raises FinalError (slug ``seed-failed``) with the program's last word."""
    began, first, last = clock.monotonic(), None, -1
    while True:
        state = await node.seed_job.state()
        seen = progress(tail(log_file(node)))
        if seen is not None and seen[0] != last:
            last, total = seen
            first = last if first is None else first
            emit(_event(site, last, total, last - first, clock.monotonic() - began))
        if state is not JobState.RUNNING:
            break
        await clock.sleep(POLL_SECONDS)
    if not is_complete(node):
        raise FinalError(
            f"the base backup failed: {last_line(tail(log_file(node)))}",
            slug="seed-failed",
            host=site,
            step="seed",
            hint=f"see {log_file(node)}; then run apply again",
        )
    await asyncio.to_thread(_tidy, node)


def progress(text: str) -> tuple[int, int] | None:
    """Bytes copied and in total, from the last progress line; pg_basebackup prints kB of 1024 bytes."""
    found = _PROGRESS.findall(text)
    return (int(found[-1][0]) * 1024, int(found[-1][1]) * 1024) if found else None


def last_line(text: str) -> str:
    """The last error, else the last line that is no progress."""
    rows = [row.strip() for row in text.replace("\r", "\n").splitlines() if row.strip()]
    told = [row for row in rows if not _PROGRESS.search(row)]
    errors = [row for row in told if "error:" in row]
    return (errors or told or ["it said nothing"])[-1]


def _event(site: str, done: int, total: int, since: int, seconds: float) -> Progress:
    rate = since / seconds if since > 0 and seconds > 0 else None
    left = max(0, total - done) / rate if rate else None
    return Progress("base backup", done, max(total, done), site=site, rate_per_second=rate, seconds_left=left)


def tail(path: Path) -> str:
    """The last 4 kB of a log; empty where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - 4096))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _tidy(node: Node) -> None:
    (node.state / "seed.json").unlink(missing_ok=True)
