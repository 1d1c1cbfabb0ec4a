"""How long a recovery would take: what the last ones took. Without a rehearsal nothing is predicted.

A switchover is no recovery: both sites work, and everything is prepared while users are still served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from secondsite.spec.model import Spec

REMEMBERED = 5  # older runs say little about today's system
RECOVERIES = frozenset({"failover", "drill", "gameday"})
_PLURALS = {"recovery": "recoveries", "switchover": "switchovers", "gameday": "game days"}


@dataclass(frozen=True, slots=True)
class PastRun:
    """A completed recovery. kind: drill, failover, switchover, failback or gameday; at: its end, unix seconds.

    seconds: from the decision to the first write that a user could make.
    """

    kind: str
    id: str
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Rto:
    """A prediction and where it comes from, in words."""

    predicted_seconds: float | None
    basis: str
    runs: int = 0
    last_at: float | None = None


def together(*histories: Sequence[PastRun]) -> tuple[PastRun, ...]:
    """What several hosts remember, each run once, oldest first: a recovery is journalled at the site that took over, so
    one host knows half of them."""
    runs = {run.id: run for history in histories for run in history}
    return tuple(sorted(runs.values(), key=lambda run: run.at))


def remembered(history: Sequence[PastRun]) -> tuple[PastRun, ...]:
    """What a host keeps and tells, oldest first: the last recoveries, and the last of all else, which must not push
    them out."""
    recoveries = [run for run in history if run.kind in RECOVERIES]
    others = [run for run in history if run.kind not in RECOVERIES]
    return together(recoveries[-REMEMBERED:], others[-REMEMBERED:])


def predict(spec: Spec, history: Sequence[PastRun]) -> Rto:
    """The median of the last recoveries; None where there was none. last_at: of whatever was tried last."""
    tried = sorted(history, key=lambda run: run.at)
    recent = [run for run in tried if run.kind in RECOVERIES][-REMEMBERED:]
    last = tried[-1].at if tried else None
    if not recent:
        return Rto(None, _only_moves(tried[-REMEMBERED:]) if tried else _unrehearsed(spec), last_at=last)
    return Rto(median(run.seconds for run in recent), _basis(recent), len(recent), last)


def _basis(runs: Sequence[PastRun]) -> str:
    kinds = {run.kind for run in runs}
    word = kinds.pop() if len(kinds) == 1 else "recovery"
    if len(runs) == 1:
        return f"the last {word}"
    return f"median of the last {len(runs)} {_PLURALS.get(word, word + 's')}"


def _only_moves(runs: Sequence[PastRun]) -> str:
    took = median(run.seconds for run in runs)
    return f"no failover yet, real or rehearsed; {_basis(runs)} is {took:.1f} s, with both sites at work"


def _unrehearsed(spec: Spec) -> str:
    parts = ["promotion"]
    if spec.service.units:
        parts.append("start of the application")
    if spec.dns:
        parts.append(f"DNS TTL of {max(record.ttl for record in spec.dns)} s")
    return f"no rehearsal yet: sum of {' + '.join(parts)}, never measured"
