"""First look: is this the standby that can take over, and what will be lost? Saved before anything changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secondsite.clock import to_text as moment_text
from secondsite.database.fence import marked_by_us
from secondsite.database.lsn import to_text
from secondsite.database.promote import room
from secondsite.database.state import DatabaseState, Role
from secondsite.dns.key import signature
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.files.engine import last_complete
from secondsite.objectives.silence import CLOCK_ERROR, by_our_clock, died_in_silence, heard_at
from secondsite.objectives.snapshot import LastPrimary
from secondsite.objectives.synchronous import at_last_sign
from secondsite.recovery.failover.context import FailoverAct
from secondsite.recovery.step import Details
from secondsite.spec import DnsRecord, paths
from secondsite.spec.model import Database


class Assess(FailoverAct):
    """Observe the standby and keep the evidence of how far it has come."""

    name = "assess"
    title = "Look at the standby and keep the evidence"
    only_looks = True

    async def apply(self, emit: Emit) -> Details:
        state = await self._context.sight.look()
        self.refuse_unless_ready(state)
        last = last_primary()
        return {
            "database": {**asdict(state), "settings": None},
            "reached": to_text(state.reached or 0),
            "rpo": estimate(
                state,
                last,
                {one.name: last_complete(one) for one in self._context.spec.files},
                rules=self._context.spec.database,
                now=self._context.clock.now().timestamp(),
            ),
        }

    def refuse_unless_ready(self, state: DatabaseState) -> None:
        """Raises FinalError where this site cannot take over as it is."""
        here, cluster = self._context.site, self._context.cluster
        if state.role is Role.PRIMARY:
            raise FinalError(
                f"the database here already accepts writes (timeline {state.timeline})",
                slug="already-primary",
                hint="secondsite status shows where the service is",
            )
        if state.role is not Role.STANDBY:
            raise FinalError(
                f"the standby's database is {state.role}: {state.reason}",
                slug="standby-down",
                hint=f"systemctl start {cluster.unit} && journalctl -u {cluster.unit} -n 50",
            )
        if marked_by_us(cluster):
            raise FinalError(
                f"{here} is a former primary that the guard holds read-only: {_first_line(paths.GUARD_VERDICT)}. To "
                "promote it would bring back what has been decided against",
                slug="former-primary",
                hint=f"secondsite apply --replace-standby {here}; if nothing else is left: secondsite guard --allow",
            )
        self._refuse_without_room()
        for record in self._context.spec.dns:
            self._refuse_without_key(record)
        if state.replay_paused and not self._context.arguments.resume_replay:
            raise FinalError(
                "replay is paused here: by a person, or because a setting is lower than the primary's, which would "
                "end the standby at promotion",
                slug="replay-paused",
                hint="see the database's log; if nothing stands against it add --resume-replay",
            )

    def _refuse_without_room(self) -> None:
        """A full disk ends the promotion behind the fence: then nobody serves, and nobody can go back."""
        try:
            there = room(self._context.cluster)
        except OSError:
            return  # nothing is known, so nothing stands against it
        if not there.enough:
            raise FinalError(
                f"{there.place} has {there.free_bytes / 2**20:.1f} MiB of free space, and a promotion first writes a "
                f"WAL segment of {there.needed_bytes / 2**20:.0f} MiB: it would fail behind the fence",
                slug="no-room-to-promote",
                hint=f"make room there, then give the command again: df -h {there.place}; du -xh / | sort -h | tail",
            )

    def _refuse_without_key(self, record: DnsRecord) -> None:
        """The record is moved behind the point of no return: a key that is missing then stops the failover half-way."""
        try:
            signature(record.tsig)
        except FinalError as fault:
            fault.host = self._context.site
            raise


def _first_line(verdict: Path) -> str:
    try:
        return str(json.loads(verdict.read_text())["reason"])
    except (OSError, ValueError, KeyError):
        return "no reason is known"


def estimate(
    state: DatabaseState, last: LastPrimary | None, files: Mapping[str, float | None], *, rules: Database, now: float
) -> dict[str, Any]:
    """Pure: what this failover would lose of what was acknowledged, as far as this site can know.

    Where commits waited for this site at the primary's last sign of life, nothing of the database is lost up to then;
    nor after it, where the policy is "block".

    Each replica's loss is from the newest moment that is here to the primary's last sign of life, and what it may have
    taken until the next one was due: the most that can be missing if it died then. estimated_seconds is that of the
    ``worst`` replica, at_most_seconds the same up to now, in case the primary works on out of our sight; heard_at
    (RFC 3339) is that sign; known_bytes is WAL the primary had and this site has not. files: the source's moment up to
    which each file set is complete (unix seconds). None means unknown, and one unknown replica makes the whole unknown.

    The primary's moments are by its clock, a file set's by this host's. The difference of the clocks is taken out where
    the agent has kept it. Where it is not known, moments that cannot be true together are unknown; no loss of 0.
    """
    offset = last.clock_offset if last else None
    sign = heard_at(last, state.primary_told_at, now, beat_here=state.heartbeat_at)
    beat = by_our_clock(last.heartbeat_at if last else None, offset, now)
    copies = {name: by_our_clock(moment, 0.0, now) for name, moment in files.items()}
    newest = {"database": by_our_clock(state.heartbeat_at, offset, now), **copies}
    moments = [moment for moment in newest.values() if moment is not None]
    known = max(0, last.flushed - (state.reached or 0)) if last and last.timeline == state.timeline else None
    losses = {name: _between(moment, sign, now) for name, moment in newest.items()}
    for name, moment in copies.items():
        if offset is None and beat is not None and moment is not None and moment - beat > CLOCK_ERROR:
            losses[name] = None  # fetched after the last sign of life: the primary's clock is behind, who knows how far
    synchronous = at_last_sign(last, state.timeline, rules)
    if synchronous:
        losses["database"] = 0.0
        if rules.when_standby_lost == "block":  # nor after it: then the files alone can be old
            newest, moments = dict(copies), [moment for moment in copies.values() if moment is not None]
    worst = max(losses, key=lambda name: _unknown_last(losses[name]))
    return {
        "estimated_seconds": losses[worst],
        "worst": worst,
        "replicas": losses,
        "at_most_seconds": _between(min(moments, default=now), now, now) if len(moments) == len(newest) else None,
        "known_bytes": 0 if synchronous else known,
        "synchronous": synchronous,
        "heard_at": None if sign is None else moment_text(datetime.fromtimestamp(sign, UTC)),
    }


def _between(moment: float | None, sign: float | None, now: float) -> float | None:
    return None if moment is None or sign is None else died_in_silence(now - min(moment, now), now - min(sign, now))


def _unknown_last(seconds: float | None) -> float:
    return float("inf") if seconds is None else seconds


def last_primary() -> LastPrimary | None:
    """The primary's last known position, as the agent has kept it; None where there is none."""
    try:
        return LastPrimary(**json.loads(paths.LAST_PRIMARY.read_text()))
    except (OSError, ValueError, TypeError):
        return None
