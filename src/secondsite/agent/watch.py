"""The duty of each second: look at the database, write the heartbeat, judge the lag, remember it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from secondsite.agent import guardword, selffence
from secondsite.agent.board import Board
from secondsite.agent.commits import Commits
from secondsite.agent.duties import Troubles
from secondsite.agent.memory import Keeper
from secondsite.agent.peer import PeerWatch
from secondsite.agent.ports import Ports
from secondsite.agent.samples import Samples
from secondsite.clock import Clock
from secondsite.database.state import Role
from secondsite.objectives.lag import lags
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import LagSample, SiteState
from secondsite.spec import Spec


class Watch:
    """One site's memory of itself and its peer, renewed each second. ``rounds`` counts the seconds that were done."""

    def __init__(
        self,
        spec: Spec,
        board: Board,
        ports: Ports,
        peer: PeerWatch,
        samples: Samples,
        troubles: Troubles,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._board = board
        self._ports = ports
        self._peer = peer
        self._samples = samples
        self._troubles = troubles
        self._clock = clock
        self._commits = Commits(spec, board, ports.places, ports.change_waiting, ports.announce, clock)
        self._keeper = Keeper(ports.places.last_primary, board.site)
        board.last_primary = self._keeper.kept
        board.recent.extend(samples.since(clock.now().timestamp() - 300))
        self.rounds = 0

    async def second(self) -> None:
        """One round. A heartbeat that fails, or a fence, is a trouble of its own and does not stop the looking."""
        try:
            await self._look()
            self._board.peer_view = self._peer.view()
            self._board.peer_clock_offset = self._peer.clock_offset
            self._note_marks()
            with self._troubles.kept_from("commits"):
                await self._commits.second()
            await self._remember_primary()
            self._sample()
            await self._fence_if_overtaken()
        finally:
            self.rounds += 1

    async def _look(self) -> None:
        board = self._board
        # Before and after: the mark is set before a database stops, and goes only behind that. So a database that was
        # seen to be in recovery in between, without a mark on either side, is a standby.
        held = self._ports.database.held()
        database = await self._ports.database.look()
        board.held = self._ports.database.held() or held
        board.looked_at = self._clock.now().timestamp()
        if database.writable:
            with self._troubles.kept_from("heartbeat"):
                database = replace(database, heartbeat_at=await self._ports.database.beat(database.timeline or 0))
        else:
            self._troubles.over("heartbeat")
        board.database = database
        if not database.writable:
            board.healthy = None  # the application was asked while this site was primary, seconds ago
        board.files = self._ports.files.states()

    def _note_marks(self) -> None:
        places = self._ports.places
        self._board.active = places.active.exists()
        self._board.quarantining_peer = places.quarantine.exists()
        held = not self._board.database.writable and self._board.database.role is not Role.UNKNOWN
        self._board.guard_reason = guardword.holding(places.guard_verdict) if held else None

    async def _remember_primary(self) -> None:
        peer = self._board.peer_view
        if self._board.database.writable:
            with self._troubles.kept_from("last-primary"):
                self._keeper.forget()
            self._board.last_primary = self._keeper.kept
            return
        if not isinstance(peer, SiteState) or not peer.database.writable:
            return
        at = self._peer.answered_at or self._board.looked_at
        with self._troubles.kept_from("last-primary"):
            self._board.last_primary = await asyncio.to_thread(
                self._keeper.note, peer, at, clock_offset=self._peer.clock_offset
            )

    def _sample(self) -> None:
        situation = Situation(self._spec, self._board.views(samples=False))
        at = self._board.looked_at
        taken = [LagSample(at, lag.replica, lag.seconds, lag.bytes) for lag in lags(situation)]
        self._board.remember(taken)
        self._samples.add(taken)

    async def _fence_if_overtaken(self) -> None:
        why = selffence.reason(self._board.state(samples=False), self._board.peer_view)
        if why is None:
            self._troubles.over("self-fence")
            return
        self._troubles.tell("self-fence", f"this site must stop accepting writes: {why}")
        with self._troubles.kept_from("fence"):
            await self._ports.fence_self(why)
