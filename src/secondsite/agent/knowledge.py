"""What the API tells, made from the board when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from secondsite.agent.board import Board
from secondsite.agent.duties import Troubles
from secondsite.agent.judge import judge
from secondsite.agent.samples import Samples
from secondsite.agent.seen import ages, views_document
from secondsite.clock import Clock
from secondsite.objectives.document import document
from secondsite.objectives.snapshot import to_json_bytes
from secondsite.spec import Spec, paths


class BoardKnowledge:
    """Answers from what is on the board."""

    def __init__(self, spec: Spec, board: Board, samples: Samples, troubles: Troubles, clock: Clock) -> None:
        self._spec = spec
        self._board = board
        self._samples = samples
        self._troubles = troubles
        self._clock = clock

    def state_json(self, *, samples: bool) -> bytes:
        """This site's SiteState, and ``now``: the peer learns from it how the clocks differ."""
        state = to_json_bytes(self._board.state(self._troubles.now, samples=samples))
        return f'{{"now": {self._now()}, '.encode() + state[1:]

    def guard(self) -> Mapping[str, Any]:
        """Cheap, and answered even while everything else is in trouble."""
        database = self._board.database
        return {
            "site": self._board.site,
            "role": database.role,
            "writable": database.writable,
            "generation": database.timeline,
            "active": self._board.active,
            "taking_over": paths.QUARANTINE.exists() or paths.TAKING_OVER.exists(),
        }

    def health(self) -> Mapping[str, Any]:
        """That the agent lives."""
        troubles = [trouble.duty for trouble in self._troubles.now]
        return {"site": self._board.site, "version": self._board.version, "troubles": troubles}

    def views(self) -> Mapping[str, Any]:
        """As ``views_document`` says."""
        views = self._board.views(self._troubles.now)
        return views_document(self._board.site, self._now(), views, self._board.recoveries())

    def status(self) -> Mapping[str, Any]:
        """Judged at this moment."""
        views, now = self._board.views(self._troubles.now), self._clock.now()
        known = ages(self._board.site, now.timestamp(), views)
        return document(judge(self._spec, views, self._board.recoveries(), now, known=known))

    def samples(self, seconds: float, span: int) -> list[Mapping[str, Any]]:
        """Lag samples of the last ``seconds``."""
        return [asdict(sample) for sample in self._samples.since(self._now() - seconds, span)]

    def _now(self) -> float:
        return self._clock.now().timestamp()
