"""The last known position of the primary, kept at the standby: what remains to estimate from when it is gone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from secondsite.objectives.snapshot import LastPrimary, SiteState
from secondsite.objectives.synchronous import says_so

LEAST_STEP_SECONDS = 1.0


def read(path: Path) -> LastPrimary | None:
    """What was kept; None where nothing (sound) is."""
    try:
        return LastPrimary(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


class Keeper:
    """Writes the position as it moves, whole or not at all. It is not fsynced: it matters while this host lives."""

    def __init__(self, path: Path, site: str) -> None:
        self._path = path
        self._site = site
        self.kept = read(path)

    def note(self, primary: SiteState, at: float, *, clock_offset: float | None = None) -> LastPrimary | None:
        """Keep what a primary just said (heard at ``at``, this host's clock), where it is news.

        clock_offset: the primary's clock minus this one; None where it is not known.
        """
        flushed, timeline = primary.database.flushed, primary.database.timeline
        if flushed is None or timeline is None:
            return self.kept
        news = LastPrimary(
            at,
            flushed,
            timeline,
            primary.database.heartbeat_at,
            synchronous=says_so(primary, self._site),
            in_step_at=_in_step_at(primary, at, clock_offset or 0.0),
            clock_offset=clock_offset,
        )
        old = self.kept
        if old and at - old.at < LEAST_STEP_SECONDS * 0.9 and old.synchronous == news.synchronous:
            return old
        if self.kept is None or _position(news) != _position(self.kept):
            _write(self._path, json.dumps(asdict(news)))
        self.kept = news
        return news

    def forget(self) -> None:
        """This site is the primary now: what it remembers of another one is from before, and would be taken for the
        next one's position when the roles change again."""
        if self.kept is not None:
            self._path.unlink(missing_ok=True)
            self.kept = None


def _position(told: LastPrimary) -> tuple[int, int, float | None, bool]:
    return told.timeline, told.flushed, told.heartbeat_at, told.synchronous


def _in_step_at(primary: SiteState, at: float, clock_offset: float) -> float | None:
    """When the primary had last seen its standby answer: what it tells is as old as its look."""
    if primary.commits is None:
        return None
    return min(at, primary.taken_at - clock_offset) - primary.commits.missing_seconds


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)
