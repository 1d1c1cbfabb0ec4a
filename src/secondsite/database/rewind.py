"""Take a former primary back to where the timelines parted, so that it can follow the new primary.

``pg_rewind`` (manual, pg_rewind) reads what changed since then from the new primary and writes it over what is here.
It runs as a job of its own: killed in the middle it leaves a folder that is neither, and only a new copy helps then.
Traps it has, each met here: it brings the source's postgresql.auto.conf; it cannot recover a crashed cluster that is
marked as standby (single-user mode knows no standby); a source whose control file still shows the old timeline makes
it choose the wrong fork, and so does a target's (up to version 15: pg_rewind.c asks the last checkpoint only).
"""

from __future__ import annotations

from pathlib import Path

from secondsite.clock import Clock
from secondsite.converge.write import atomically
from secondsite.database import conffile
from secondsite.database.basebackup import last_line, progress, tail
from secondsite.database.cluster import OWNER
from secondsite.database.controldata import read
from secondsite.database.durable import SYNC
from secondsite.database.facts import Facts
from secondsite.database.fence import marked_by_us
from secondsite.database.follow import AUTO, SIGNAL, without_overrides
from secondsite.database.job import JobState
from secondsite.database.node import Node, owner
from secondsite.database.rewind_state import RewindState
from secondsite.database.settings import REWIND_ROLE, conninfo
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, Progress
from secondsite.spec import Spec

POLL_SECONDS = 0.2
CLEAN = ("shut down", "shut down in recovery")
# The mark is made last, once everything is on disk: without it the folder cannot be trusted.
_REWIND = f'mark=$1; data=$2; shift 2; "$@" && {SYNC} && : > "$mark" && sync -f "$mark"'
# What pg_rewind does for a cluster that has crashed, also for one that was stopped as a standby since: it goes on to
# the end of its newest timeline (xlogrecovery.c: a crash recovery follows minRecoveryPointTLI) and checkpoints there.
_RECOVER = '"$1" --single -F -D "$2" -c "config_file=$3" template1 </dev/null >/dev/null && shift 3 && exec "$@"'


async def state(node: Node) -> RewindState:
    """As the job and its two marks say."""
    try:
        if await node.rewind_job.state() is JobState.RUNNING:
            return RewindState.RUNNING
    except SecondsiteError:
        pass  # no systemd to ask: the marks remain
    if _complete(node).exists():
        return RewindState.DONE
    return RewindState.BROKEN if _begun(node).exists() else RewindState.NONE


async def start(node: Node, spec: Spec, site: str, facts: Facts) -> None:
    """Begin. The cluster is stopped, and recovered where it had crashed (pg_rewind does that, in single-user mode) or
    has no checkpoint on its newest timeline yet."""
    data = node.cluster.data.resolve()
    await node.control.stop()
    control, config = await read(node.cluster), node.cluster.config / "postgresql.conf"
    behind = control.timeline != control.generation
    if (behind or control.state not in CLEAN) and marked_by_us(node.cluster):
        (data / SIGNAL).unlink()
    node.state.mkdir(parents=True, exist_ok=True)
    auto = data / AUTO
    kept = without_overrides(auto.read_text(errors="surrogateescape")) if auto.exists() else ""
    atomically(_begun(node), kept.encode("utf-8", "surrogateescape"), mode=0o600)
    source = conninfo(spec, site, peer_address=facts.peer_address, passfile=str(node.passfile), user=REWIND_ROLE)
    recover = ["/bin/sh", "-c", _RECOVER, "sh", node.cluster.program("postgres"), str(data), str(config)]
    argv = [
        *(recover if behind else []),
        "/bin/sh", "-c", _REWIND, "sh", str(_complete(node)), str(data),
        node.cluster.program("pg_rewind"),
        f"--target-pgdata={data}",
        f"--source-server={source} dbname=postgres",
        f"--config-file={config}",
        "--progress",
        "--no-sync",
        *(["--restore-target-wal"] if _has_archive(node) else []),
    ]  # fmt: skip
    _own(node)
    await node.rewind_job.start(argv, user=OWNER, log=log_file(node), env={"LC_ALL": "C.UTF-8"})


async def wait(node: Node, site: str, emit: Emit, clock: Clock) -> None:
    """Follow it to its end. Raises FinalError (``rewind-failed``) with the program's last word."""
    last = -1
    while True:
        running = await node.rewind_job.state() is JobState.RUNNING
        seen = progress(tail(log_file(node)))
        if seen is not None and seen[0] != last:
            last = seen[0]
            emit(Progress("rewind", seen[0], max(seen), site=site))
        if not running:
            break
        await clock.sleep(POLL_SECONDS)
    if not _complete(node).exists():
        raise FinalError(
            f"pg_rewind failed: {last_line(tail(log_file(node)))}",
            slug="rewind-failed",
            host=site,
            step="rewind",
            hint=f"see {log_file(node)}; a new copy of the primary is made instead",
        )


def finish(node: Node) -> None:
    """Give the folder its own postgresql.auto.conf back and make it a standby's; safe to repeat after a death."""
    data = node.cluster.data.resolve()
    atomically(data / AUTO, _begun(node).read_bytes(), mode=0o600, owner=owner() or OWNER)
    if marked_by_us(node.cluster):
        (data / SIGNAL).unlink()
    atomically(data / SIGNAL, b"", mode=0o600, owner=owner() or OWNER)
    forget(node)


def forget(node: Node) -> None:
    """Remove the marks of a rewind that is over, or of a folder that has been moved aside."""
    _begun(node).unlink(missing_ok=True)
    _complete(node).unlink(missing_ok=True)


def log_file(node: Node) -> Path:
    return node.state / "rewind.log"


def _begun(node: Node) -> Path:
    """Says that a rewind has begun, and holds what it is going to overwrite."""
    return node.state / "rewind.auto.conf"


def _complete(node: Node) -> Path:
    """Made by the job, which runs as the cluster's owner: in a folder of that owner's."""
    data = node.cluster.data.resolve()
    return data.with_name(f"{data.name}.secondsite-rewind.complete")


def _own(node: Node) -> None:
    """The log belongs to root, who opens it for the job."""
    log_file(node).unlink(missing_ok=True)


def _has_archive(node: Node) -> bool:
    """Whether WAL that is gone here can be fetched back (restore_command)."""
    try:
        lines = conffile.load(node.cluster.config / "postgresql.conf", without=[])
    except SecondsiteError:
        return False
    return bool(conffile.effective(lines).get("restore_command"))
