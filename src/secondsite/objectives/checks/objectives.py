"""Checks of the promise itself: what a disaster would cost, against what the business can bear."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.database.state import Streaming
from secondsite.files.state import FilesStatus
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.lag import Kind, Lag

registry = Registry()
REHEARSE = "hold a game day: `secondsite gameday`"
_REHEARSE_WITHIN_DAYS = 92
_OTHERS = "see the other findings"
_WATCH = "`secondsite status --watch` shows whether it catches up"


@registry.check("rpo", Severity.CRITICAL, "Would a disaster now cost no more work than agreed?", Needs.NOBODY)
def rpo(judged: Judged) -> Iterator[Problem]:
    """The age of the newest moment that every replica has, against the objective."""
    estimated, agreed = judged.rpo, judged.situation.spec.objectives.rpo
    lag = next((lag for lag in judged.lags if lag.replica == estimated.worst), None)
    site = lag.site if lag else None
    if estimated.seconds is None:
        message = f"the lag of {estimated.worst} is not known, so nothing can be promised"
        yield Problem(site, message, _where_to_look(judged, lag), unseen=True)
    elif estimated.seconds > agreed:
        message = f"{estimated.worst} is {estimated.seconds:,.0f} s behind; agreed are {agreed:g} s"
        yield Problem(site, message, _where_to_look(judged, lag))


def _where_to_look(judged: Judged, lag: Lag | None) -> str:
    """The other findings, where there is one that says why; else what is known of it, and the next command."""
    primary = judged.situation.primary
    if lag is None or primary is None or judged.situation.present(primary) is None:
        return _OTHERS
    if lag.kind is Kind.FILES and lag.state in (FilesStatus.CURRENT, FilesStatus.PULLING):
        return _slow(judged, lag, primary)
    moves = lag.kind is Kind.DATABASE and lag.state == Streaming.STREAMING and lag.seconds is not None
    return f"it streams, or replays, too slowly: {_WATCH}" if moves else _OTHERS


def _slow(judged: Judged, lag: Lag, primary: str) -> str:
    """Of a set that comes, and too late: nothing else is wrong with it."""
    if lag.newest_at is None:
        return "its first copy is not complete yet: `secondsite status --watch` shows when it is"
    interval = next(one.interval for one in judged.situation.spec.files if one.name == lag.replica)
    if (lag.copy is None or lag.copy.kept != "stream") and interval >= judged.situation.spec.objectives.rpo:
        return f"it is pulled each {interval:g} s, which is too seldom for that: make `interval` shorter in the file"
    coming = lag.copy.coming if lag.copy else None
    comes = (
        f"{coming.done_bytes / coming.total_bytes:.0%} of what comes is here" if coming and coming.total_bytes else None
    )
    why = comes or lag.reason or "its last pulls took as long as that, at a busy host or over a slow link"
    return f"{why}; {_WATCH}; if not, at {lag.site} and {primary}: journalctl -u secondsite-agent -u secondsite-watch"


@registry.check("rto", Severity.CRITICAL, "Would a recovery take no longer than agreed?", Needs.NOBODY,
    blind=lambda judged: "it has never been measured" if judged.rto.predicted_seconds is None else None)  # fmt: skip
def rto(judged: Judged) -> Iterator[Problem]:
    """What the last recoveries took, against the objective."""
    predicted, agreed = judged.rto.predicted_seconds, judged.situation.spec.objectives.rto
    if predicted is not None and predicted > agreed:
        message = f"a recovery takes about {predicted:,.0f} s ({judged.rto.basis}); agreed are {agreed:g} s"
        yield Problem(None, message, "`secondsite report` shows where the time goes")


@registry.check("rehearsed", Severity.WARNING, "Has a recovery been tried, and lately?", Needs.ANY)
def rehearsed(judged: Judged) -> Iterator[Problem]:
    """A recovery that nobody has tried is a hope."""
    last = judged.rto.last_at
    if last is None:
        if not judged.situation.here:
            return  # whoever could remember one is silent
        yield Problem(None, "no recovery has ever been rehearsed here", REHEARSE)
        return
    now = max((state.taken_at for state in judged.situation.here), default=last)
    days = (now - last) / 86400
    if days > _REHEARSE_WITHIN_DAYS:
        yield Problem(None, f"the last rehearsal was {days:.0f} days ago", REHEARSE)
