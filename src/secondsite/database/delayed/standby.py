"""The delayed standby as a resource of its host: configured, copied from the cluster beside it, and following that."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

from secondsite import process
from secondsite.clock import Clock, SystemClock
from secondsite.converge.diff import unified
from secondsite.converge.resource import Change
from secondsite.converge.write import atomically, ids
from secondsite.database.cluster import OWNER
from secondsite.database.connect import local
from secondsite.database.control import answering
from secondsite.database.controldata import read
from secondsite.database.delayed.observe import look
from secondsite.database.delayed.place import SLOT, files, source
from secondsite.database.facts import Facts, HostFacts
from secondsite.database.follow import move
from secondsite.database.gather import gather
from secondsite.database.node import Node, owner
from secondsite.database.observe import observe
from secondsite.database.password import Password
from secondsite.database.reload import is_loaded
from secondsite.database.seed import START_SECONDS, Standby
from secondsite.database.settings import HEADER
from secondsite.database.situation import Act, Situation, decide
from secondsite.database.slot import ensure
from secondsite.database.state import Role
from secondsite.errors import FinalError
from secondsite.events import Emit, Note
from secondsite.spec import Delayed, Spec

AGAIN = "copy it again"
LOST = "the WAL that it needs is gone"
WAITS = Change("create it as soon as this site's own cluster runs")
RESTARTS = "the delayed standby restarts; nothing else does"


class _Late(Standby):
    """A standby that is content with running: while it holds WAL back it asks nobody for more.

    Its startup process sleeps until the next commit is due, and only that process starts a WAL receiver. One that has
    ended (the source was restarted, promoted, moved) is started again when everything received before is replayed,
    which may take as long as the delay. The slot keeps the WAL meanwhile.
    """

    def _decide(self, now: Situation) -> Act:
        standby = now.data is not None and now.data.standby_signal
        if now.job_running or not standby:
            return decide(now)
        return Act.NOTHING if now.database.role is Role.STANDBY else Act.START

    async def _stream(self, emit: Emit) -> None:
        await self.node.control.start()
        await answering(self.node.cluster, seconds=START_SECONDS)


@dataclass(frozen=True, slots=True)
class DelayedStandby:
    """node: the delayed cluster. upstream: the cluster that ``site`` has of the service, whatever its role.
    log: where the delayed cluster writes its log; where Debian has it, unless told."""

    node: Node
    upstream: Node
    spec: Spec
    site: str
    delayed: Delayed
    clock: Clock = field(default_factory=SystemClock)
    name: str = "delayed standby"
    log: Path | None = None

    async def plan(self) -> Change | None:
        """What differs; nothing while its replay is paused: somebody takes out of it what was lost elsewhere.

        Raises FinalError: ``delayed-tablespaces``, ``delayed-not-ours``, ``delayed-other-database``,
        ``delayed-promoted``, and as ``Standby``.
        """
        its = await self._its()
        if its is None:
            return WAITS
        self._refuse(its)
        if self._paused():
            return None
        await self._refuse_other(its)
        diff = "\n".join(unified(_text(path), text, str(path)) for path, text in self._written(its))
        why = self._why_again()
        if why is not None:
            return Change(f"{AGAIN}: {why}", diff)
        change = await self._standby(its).plan()
        if change is not None:
            return Change(change.summary, f"{diff}\n{change.diff}".strip())
        if diff:
            return Change("update its configuration", diff, RESTARTS)
        if not self._loaded():
            return Change("restart it: it has not read its configuration", "", RESTARTS)
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Configure, copy where nothing is there or no way leads on, and see it run."""
        its = await self._its()
        if its is None:
            raise FinalError(
                f"{self.upstream.cluster} does not answer, so there is nothing to copy",
                slug="database-unreachable",
                step=self.name,
                hint=f"systemctl status {self.upstream.cluster.unit}",
            )
        if self._paused():
            emit(Note(f"the replay of {self.node.cluster} is paused, so it is left as it is", self.site))
            return
        again = self._why_again()  # before the restart that a new configuration needs: its log tells since the start
        await self._configure(its)
        if again is not None:
            await self._set_aside(emit)
        with local(self.upstream.cluster, step=self.name) as connection:
            ensure(connection, SLOT)
        if self.node.running and not self._loaded():
            await self.node.control.restart()
            await answering(self.node.cluster, seconds=START_SECONDS)
        await self._standby(its).apply(change, emit)

    def _paused(self) -> bool:
        """A restart would forget a pause, and replay would pass what somebody is looking for."""
        return observe(self.node.cluster).replay_paused

    def _why_again(self) -> str | None:
        """Why no way leads on from what it has; None where one does.

        Its slot was given up, because it held more WAL than ``max_slot_wal``; or history went another way before the
        point that it has replayed, and its own log says so.
        """
        if not (self.node.cluster.data / "PG_VERSION").exists():
            return None
        with local(self.upstream.cluster, step=self.name) as connection:
            row = connection.execute("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", (SLOT,))
            lost = row.fetchone() == ("lost",)
        return LOST if lost else look(self.node, self.log).stuck

    async def _refuse_other(self, its: HostFacts) -> None:
        """Another system identifier: nothing of this database is in it, and perhaps all that is left of the former."""
        if not (self.node.cluster.data / "PG_VERSION").exists():
            return
        control = await read(self.node.cluster)
        if its.system_identifier in (None, control.system_identifier):
            return
        raise FinalError(
            f"{self.node.cluster} is a copy of another database (system identifier {control.system_identifier}) than"
            f" {self.upstream.cluster} ({its.system_identifier})",
            slug="delayed-other-database",
            host=self.site,
            step=self.name,
            hint="was this site's cluster made anew on purpose? Stop the delayed one, move its data folder aside, then:"
            " secondsite apply",
        )

    async def _set_aside(self, emit: Emit) -> None:
        await self.node.control.stop()
        data = self.node.cluster.data.resolve()
        aside = data.with_name(f"{data.name}.aside-{self.clock.now().astimezone(UTC):%Y%m%dT%H%M%SZ}")
        move(data, aside)
        emit(Note(f"what was in {data} is now {aside}; remove it when you are sure", self.site, "warning"))

    async def _its(self) -> HostFacts | None:
        """The cluster beside it; None where that does not run."""
        its = await gather(self.spec, self.site, node=self.upstream)
        return its if its.role in (Role.PRIMARY, Role.STANDBY) and its.settings else None

    def _standby(self, its: HostFacts) -> Standby:
        # No password: it comes through the unix socket. Nor an address: it listens on none.
        facts = Facts("127.0.0.1", "", Password.generate(), its)
        followed = source(self.upstream.cluster)
        return _Late(self.node, self.spec, self.site, facts, clock=self.clock, name=self.name, source=followed)

    def _written(self, its: HostFacts) -> list[tuple[Path, str]]:
        """The files that are not what they should be, with what they should be."""
        hba = its.config_files.get("pg_hba.conf", "")
        wanted = files(self.delayed, self.node.cluster, self.upstream.cluster, its.settings, hba)
        return [(path, text) for path, text in wanted.items() if _text(path) != text]

    def _refuse(self, its: HostFacts) -> None:
        config = self.node.cluster.config / "postgresql.conf"
        if config.exists() and not _ours(config):
            raise FinalError(
                f"{config} is not secondsite's: the cluster {self.node.cluster} belongs to somebody else",
                slug="delayed-not-ours",
                host=self.site,
                step=self.name,
                hint="give database.delayed.cluster a name that is free: pg_lsclusters",
            )
        if observe(self.node.cluster).role is Role.PRIMARY:
            raise FinalError(
                f"{self.node.cluster} was promoted and accepts writes, so it follows nobody any more",
                slug="delayed-promoted",
                host=self.site,
                step=self.name,
                hint="take out of it what is needed, stop it, move its data folder aside, then: secondsite apply",
            )
        if its.tablespaces:
            raise FinalError(
                f"the cluster has tablespaces ({', '.join(its.tablespaces)}), and two clusters on one host cannot"
                " share their folders",
                slug="delayed-tablespaces",
                host=self.site,
                step=self.name,
                hint="take [database.delayed] out of the file",
            )

    async def _configure(self, its: HostFacts) -> None:
        written = self._written(its)
        for path, text in written:
            _folders(path.parent)
            atomically(path, text.encode(), mode=0o640, owner=owner() or OWNER)
        if written and Path("/run/systemd/system").is_dir():  # its unit is made by a generator, from start.conf
            await process.run(["systemctl", "daemon-reload"], timeout=60, step=self.name)

    def _loaded(self) -> bool:
        """Whether a running server has read what stands there since it was last written; true where none runs."""
        if not self.node.running:
            return True
        with local(self.node.cluster, step=self.name) as connection:
            return is_loaded(connection, self.node.cluster.config / "postgresql.conf")


def keep_slot(upstream: Node) -> None:
    """Make the slot anew where a change of roles has left none: a rewound or copied cluster brings no slots along.

    One that was given up is left as it is: it tells that the copy has to be made again. Raises SecondsiteError.
    """
    with local(upstream.cluster, step="delayed standby") as connection:
        connection.execute(
            "SELECT pg_create_physical_replication_slot(%s, true)"
            " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
            (SLOT, SLOT),
        )


def _ours(config: Path) -> bool:
    return config.read_text(errors="replace").startswith(HEADER)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _folders(path: Path) -> None:
    """The configuration's folder, the owner's like everything that Debian makes there."""
    if path.exists():
        return
    path.mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(path, *ids(OWNER, None))
