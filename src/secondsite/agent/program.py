"""The agent: one process on each host that watches, remembers, answers, and carries procedures out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondsite import __version__
from secondsite.agent.api import Api
from secondsite.agent.board import Board
from secondsite.agent.duties import Duty, Troubles, keep
from secondsite.agent.history import last_ended, promoting, unfinished_here, written
from secondsite.agent.knowledge import BoardKnowledge
from secondsite.agent.peer import PeerWatch
from secondsite.agent.ports import Ports
from secondsite.agent.procedures import Procedures
from secondsite.agent.records import Records
from secondsite.agent.samples import BATCH_SECONDS, Samples
from secondsite.agent.serve import Served, on_socket, on_tunnel
from secondsite.agent.watch import Watch
from secondsite.clock import Clock
from secondsite.database.state import Role
from secondsite.files.rsync.stuck import LOOK_SECONDS, Stuck
from secondsite.notify import Notifier
from secondsite.objectives.snapshot import Silence
from secondsite.recovery.lock import holder
from secondsite.spec import Spec
from secondsite.verification import record

LAST_WORDS_SECONDS = 120.0  # a procedure may come to its end before the agent does


class Agent:
    """Everything of one host, put together. ``run`` ends when ``stop`` is called or the task is cancelled."""

    def __init__(self, spec: Spec, site: str, config_hash: str, ports: Ports, clock: Clock, peer: PeerWatch) -> None:
        self._spec = spec
        self._site = site
        self._ports = ports
        self._clock = clock
        self._troubles = Troubles(clock)
        self._samples = Samples(ports.places.samples)
        self._peer = peer
        self.board = Board(site, peer.site, __version__, config_hash)
        self.board.peer_view = Silence(peer.site, "not asked yet")
        self._watch = Watch(spec, self.board, ports, peer, self._samples, self._troubles, clock)
        self._records = Records(spec, self.board, ports.dns, clock)
        self._notifier = Notifier()
        self._enough = asyncio.Event()
        self._read_until: frozenset[tuple[str, int, int]] | None = None  # of the journals

    def stop(self) -> None:
        """End soon, and in order."""
        self._enough.set()

    async def run(self) -> None:
        """Serve and watch until told to stop. Raises FinalError where the socket cannot be had."""
        ended = contextlib.ExitStack()  # who is told to end at once ends, too: nothing listens that nobody serves
        try:
            async with asyncio.TaskGroup() as work, asyncio.TaskGroup() as group:
                ports = self._ports
                procedures = Procedures(
                    ports.procedures, work, self._look_again, lambda: promoting(ports.places.journal)
                )
                api = Api(
                    self._knowledge(), procedures, ports.fence, ports.unfence, self._handover,
                    ports.verify, ports.places.quarantine.exists,
                )  # fmt: skip
                await self._first_look()
                listening = _Listening(api, self._spec, self._site, self._peer.token)
                ended.callback(listening.close)
                server = await on_socket(api.local(), self._ports.places.socket)
                ended.callback(server.close)
                tasks = [group.create_task(keep(duty, self._clock, self._troubles)) for duty in self._duties(listening)]
                tasks.append(group.create_task(self._feed()))
                gc.collect()
                gc.freeze()
                self._notifier.ready(self._summary())
                await self._enough.wait()
                self._notifier.stopping()
                ended.close()
                await procedures.finished(LAST_WORDS_SECONDS)
                for task in tasks:
                    task.cancel()
        finally:
            ended.close()
            await self._close()

    def _duties(self, listening: _Listening) -> Sequence[Duty]:
        ports = self._ports
        return (
            Duty("peer", 1.0, self._peer.poll),
            Duty("watch", 1.0, self._watch.second),
            Duty("files", 5.0, self._files),
            Duty("transfers", LOOK_SECONDS, Stuck(ports.places.file_daemon).look),
            Duty("host", 5.0, self._host),
            Duty("pooler", 2.0, self._pooler),
            Duty("delayed", 10.0, self._delayed),
            Duty("pools", 30.0, self._pools),
            Duty("samples", BATCH_SECONDS, self._flush),
            Duty("guard", 2.0, ports.ask_guard_again),
            Duty("dns", 1.0, self._records.when_due),
            Duty("history", 30.0, self._history),
            Duty("journals", 1.0, self._journals),
            Duty("tunnel", 60.0, self._tunnel),
            Duty("condition", 60.0, self._condition),
            Duty("listen", 5.0, listening.keep),
        )

    async def _first_look(self) -> None:
        """Know the essentials before the first question comes."""
        with self._troubles.kept_from("watch"):
            await self._watch.second()
        with self._troubles.kept_from("tunnel"):
            self.board.tunnel = await self._ports.tunnel(False)
        with self._troubles.kept_from("host"):
            await self._host()
        with self._troubles.kept_from("history"):
            await self._history()

    async def _host(self) -> None:
        self.board.disk_free_bytes = free_bytes(self._ports.places.disk)
        self.board.fence_commands = self._ports.fence_commands()
        self.board.units = await self._ports.units()
        self.board.healthy = await self._ports.healthy() if self.board.database.writable else None

    async def _files(self) -> None:
        await self._ports.files.keep(self._is_standby, self._is_primary)

    async def _look_again(self) -> None:
        """A procedure has changed the world: what is looked at seldom is looked at now."""
        for name, act in (
            ("dns", self._records.look),
            ("host", self._host),
            ("history", self._history),
            ("condition", self._condition),
            ("pooler", self._pooler),
            ("delayed", self._delayed),
        ):
            with self._troubles.kept_from(name):
                await act()

    async def _handover(self, act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """This site's part of a switchover; at its end the world has changed here, too."""
        answer = await self._ports.handover(act, request)
        if act in ("follow", "reopen"):
            await self._look_again()
        return answer

    async def _history(self) -> None:
        places = self._ports.places
        self._read_until = written(places.journal)
        self.board.history = self._ports.history()
        self.board.unfinished = unfinished_here(places.journal, places.lock)
        self.board.last_procedure = last_ended(places.journal)
        self.board.verified = record.verified(record.load(places.verified))

    async def _journals(self) -> None:
        """A command may have carried a procedure out while no agent answered, or gone on with one: once it is over,
        nobody must hear for half a minute that it is unfinished."""
        places = self._ports.places
        if written(places.journal) != self._read_until and holder(places.lock) is None:
            await self._history()

    async def _tunnel(self) -> None:
        self.board.tunnel = await self._ports.tunnel(True)

    async def _condition(self) -> None:
        self.board.condition = await self._ports.condition()

    async def _flush(self) -> None:
        await asyncio.to_thread(self._samples.flush, self._clock.now().timestamp())

    async def _pooler(self) -> None:
        """Look at it, and let clients go on that a procedure of ours made wait and cannot let go itself."""
        peer = self.board.peer_view
        beside = not isinstance(peer, Silence) and peer.database.writable
        self.board.pooler = await self._ports.pooler(self.board.database.writable, beside)

    async def _delayed(self) -> None:
        """Look at the delayed standby, and keep the slot through which it follows this site's cluster."""
        answers = self.board.database.role in (Role.PRIMARY, Role.STANDBY)
        self.board.delayed = await self._ports.delayed(answers)

    async def _pools(self) -> None:
        self.board.pools = await self._ports.pools()

    async def _feed(self) -> None:
        """Feed the watchdog, but only if the duty of each second was really done since the last time."""
        seen = -1
        while True:
            await self._clock.sleep(max(1.0, self._notifier.watchdog_seconds / 3))
            if self._watch.rounds != seen:
                seen = self._watch.rounds
                self._notifier.alive(self._summary())

    def _knowledge(self) -> BoardKnowledge:
        return BoardKnowledge(self._spec, self.board, self._samples, self._troubles, self._clock)

    def _is_standby(self) -> bool:
        """Only a standby pulls files: not a former primary that is held read-only, whose files are unique."""
        board = self.board
        return board.database.role is Role.STANDBY and not board.held and board.guard_reason is None

    def _is_primary(self) -> bool:
        return self.board.database.writable

    def _summary(self) -> str:
        return f"{self._spec.service.name} at {self._site}: {self.board.database.role}"

    async def _close(self) -> None:
        self._peer.close()
        await self._ports.database.close()
        self._samples.flush(self._clock.now().timestamp())
        self._samples.close()
        self._ports.places.socket.unlink(missing_ok=True)


class _Listening:
    """The API on the tunnel's address: tried until it listens, then left alone."""

    def __init__(self, api: Api, spec: Spec, site: str, token: Callable[[], str | None]) -> None:
        self._app = api.tunnel(token)
        self._address = str(spec.tunnel_address(site))
        self._port = spec.tunnel.api_port
        self._served: Served | None = None

    async def keep(self) -> None:
        """Raises RetryableError (``agent-port``) while something else listens there."""
        if self._served is None:
            self._served = await on_tunnel(self._app, self._address, self._port)

    def close(self) -> None:
        """Listen no more."""
        if self._served is not None:
            self._served.close()


def free_bytes(path: Path) -> int | None:
    """What an ordinary user may still write on the disk of ``path``; None where there is no such path."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize
