"""The whole answer to "how are we?": judged once from both sites' snapshots, shown by many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import Answer, Check, Finding, Judged
from secondsite.objectives.lag import Lag, lags
from secondsite.objectives.readiness import findings, ready, told
from secondsite.objectives.rpo import Rpo, estimate
from secondsite.objectives.rto import PastRun, Rto, predict
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import SiteView
from secondsite.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Status:
    """What can be said about the service at one moment. following: found as well, and explained by ``findings``."""

    situation: Situation
    taken_at: datetime
    lags: tuple[Lag, ...]
    rpo: Rpo
    rto: Rto
    findings: tuple[Finding, ...]
    following: tuple[Finding, ...] = ()

    @property
    def asked(self) -> tuple[tuple[Check, Answer], ...]:
        """Every named check and its answer."""
        judged = Judged(self.situation, self.lags, self.rpo, self.rto)
        found = (*self.findings, *self.following)
        return tuple(
            (check, check.answer(judged, [finding for finding in found if finding.check == check.name]))
            for check in CHECKS
        )

    @property
    def ready(self) -> bool:
        """Whether a failover now would work and keep what was agreed."""
        return ready(self.findings)


def assess(
    spec: Spec,
    views: Mapping[str, SiteView],
    history: Sequence[PastRun],
    taken_at: datetime,
    more: Sequence[Finding] = (),
    ages: Mapping[str, float] | None = None,
) -> Status:
    """Judge both sites' snapshots. Pure: the same snapshots always give the same answer.

    more: what was found by other means, to be weighed with the rest. ages: as in ``Situation``.
    """
    situation = Situation(spec, views, ages or {})
    replicas = lags(situation)
    rpo, rto = estimate(replicas), predict(spec, history)
    judged = Judged(situation, replicas, rpo, rto)
    shown, following = told(findings(judged, more=more))
    return Status(situation, taken_at, replicas, rpo, rto, shown, following)
