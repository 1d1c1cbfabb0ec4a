"""How long a recovery would take: what the last ones took. Without a rehearsal nothing is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from secondsite.spec.model import Spec

REMEMBERED = 5  # older runs say little about today's system
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


def predict(spec: Spec, history: Sequence[PastRun]) -> Rto:
    """The median of the last runs; None where there was none."""
    recent = sorted(history, key=lambda run: run.at)[-REMEMBERED:]
    if not recent:
        return Rto(None, _unrehearsed(spec))
    return Rto(median(run.seconds for run in recent), _basis(recent), len(recent), recent[-1].at)


def _basis(runs: Sequence[PastRun]) -> str:
    kinds = {run.kind for run in runs}
    word = kinds.pop() if len(kinds) == 1 else "recovery"
    if len(runs) == 1:
        return f"the last {word}"
    return f"median of the last {len(runs)} {_PLURALS.get(word, word + 's')}"


def _unrehearsed(spec: Spec) -> str:
    parts = ["promotion"]
    if spec.service.units:
        parts.append("start of the application")
    if spec.dns:
        parts.append(f"DNS TTL of {max(record.ttl for record in spec.dns)} s")
    return f"no rehearsal yet: sum of {' + '.join(parts)}, never measured"
