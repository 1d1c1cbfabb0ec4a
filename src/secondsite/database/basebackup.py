"""Copy the primary's cluster into a side folder with pg_basebackup, as a job that outlives this process."""

from __future__ import annotations

import asyncio
import json
import random
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
from secondsite.events import Emit, Note, Progress

POLL_SECONDS = 0.5
_COPY = f'data=$0; mark=$1; shift; "$@" && {SYNC} && : > "$mark" && sync -f "$mark"'
REACH_SECONDS = 60.0  # for which a primary that does not answer is asked again
PAUSE_SECONDS = (1.0, 3.0)
_NOBODY = (
    "timeout expired",
    "timed out",
    "Connection refused",
    "No route to host",
    "unreachable",
    "server closed the connection unexpectedly",
    "the database system is starting up",
)
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


async def make(
    node: Node, source: Source, site: str, emit: Emit, clock: Clock, *, reach_seconds: float = REACH_SECONDS
) -> None:
    """A whole copy in the side folder. A primary that nobody reaches is asked again for ``reach_seconds``: a tunnel
    that has just come up may take its second handshake, and a full machine its time. Raises FinalError (``wait``)."""
    deadline = clock.monotonic() + reach_seconds
    while True:
        remove_half(node)
        await start(node, source)
        try:
            return await wait(node, site, emit, clock)
        except FinalError as failed:
            if not unreached(tail(log_file(node))) or clock.monotonic() > deadline:
                raise
            emit(Note(f"{failed.message}; it is asked again", site, "warning"))
        await clock.sleep(random.uniform(*PAUSE_SECONDS))


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


def unreached(text: str) -> bool:
    """Pure: whether it ended before anything was copied, because nobody answered (libpq's words, fe-connect.c)."""
    last = last_line(text)
    return "connection to server" in last and progress(text) is None and any(word in last for word in _NOBODY)


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
