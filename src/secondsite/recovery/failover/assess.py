"""First look: is this the standby that can take over, and what will be lost? Saved before anything changes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from secondsite.database.lsn import to_text
from secondsite.database.observe import observe
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.objectives.snapshot import LastPrimary
from secondsite.recovery.failover.context import Context
from secondsite.recovery.step import Details, Step
from secondsite.spec import paths


class Assess(Step):
    """Observe the standby and keep the evidence of how far it has come."""

    name = "assess"
    title = "Look at the standby and keep the evidence"

    def __init__(self, context: Context) -> None:
        super().__init__(context.site)
        self._context = context

    async def apply(self, emit: Emit) -> Details:
        state = observe(self._context.cluster)
        self._refuse_unless_ready(state)
        last = last_primary()
        return {
            "database": {**asdict(state), "settings": None},
            "reached": to_text(state.reached or 0),
            "rpo": estimate(state, last, now=self._context.clock.now().timestamp()),
        }

    def _refuse_unless_ready(self, state: DatabaseState) -> None:
        here, cluster = self._context.site, self._context.cluster
        if state.role is Role.PRIMARY:
            raise FinalError(
                f"the database here already accepts writes (timeline {state.timeline})",
                slug="already-primary",
                hint=f"secondsite status shows where the service is; to move it from {here} use switchover",
            )
        if state.role is not Role.STANDBY:
            raise FinalError(
                f"the standby's database is {state.role}: {state.reason}",
                slug="standby-down",
                hint=f"systemctl start {cluster.unit} && journalctl -u {cluster.unit} -n 50",
            )
        if state.replay_paused and not self._context.arguments.resume_replay:
            raise FinalError(
                "replay is paused here: by a person, or because a setting is lower than the primary's, which would "
                "end the standby at promotion",
                slug="replay-paused",
                hint="see the database's log; if nothing stands against it add --resume-replay",
            )


def estimate(state: DatabaseState, last: LastPrimary | None, *, now: float) -> dict[str, Any]:
    """Pure: what this failover would lose, as far as this site can know.

    estimated_seconds: from the newest heartbeat that is here to the primary's last sign of life, known_bytes the
    WAL between them. at_most_seconds: the same up to now, in case the primary works on out of our sight.
    None means unknown.
    """
    newest = state.heartbeat_at
    signs = [sign for sign in (last.heartbeat_at if last else None, state.primary_told_at) if sign is not None]
    at_most = None if newest is None else max(0.0, now - newest)
    known = max(0, last.flushed - (state.reached or 0)) if last and last.timeline == state.timeline else None
    estimated = None
    if newest is not None and signs:
        estimated = min(max(0.0, max(signs) - newest), at_most or 0.0)
    return {"estimated_seconds": estimated, "at_most_seconds": at_most, "known_bytes": known}


def last_primary() -> LastPrimary | None:
    """The primary's last known position, as the agent has kept it; None where there is none."""
    try:
        return LastPrimary(**json.loads(paths.LAST_PRIMARY.read_text()))
    except (OSError, ValueError, TypeError):
        return None
