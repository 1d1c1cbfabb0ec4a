"""The whole answer to "how are we?": judged once from both sites' snapshots, shown by many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import Check, Finding, Judged
from secondsite.objectives.lag import Lag, lags
from secondsite.objectives.readiness import findings, ready
from secondsite.objectives.rpo import Rpo, estimate
from secondsite.objectives.rto import PastRun, Rto, predict
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import SiteView
from secondsite.spec.model import Spec


@dataclass(frozen=True, slots=True)
class Status:
    """What can be said about the service at one moment."""

    situation: Situation
    taken_at: datetime
    lags: tuple[Lag, ...]
    rpo: Rpo
    rto: Rto
    findings: tuple[Finding, ...]

    @property
    def asked(self) -> tuple[tuple[Check, bool | None], ...]:
        """Every named check and its answer; None where it cannot be known."""
        failing = {finding.check for finding in self.findings}
        return tuple((check, check.answer(self.situation, check.name in failing)) for check in CHECKS)

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
) -> Status:
    """Judge both sites' snapshots. Pure: the same snapshots always give the same answer.

    more: what was found by other means, to be weighed with the rest.
    """
    situation = Situation(spec, views)
    replicas = lags(situation)
    rpo, rto = estimate(replicas), predict(spec, history)
    judged = Judged(situation, replicas, rpo, rto)
    return Status(situation, taken_at, replicas, rpo, rto, findings(judged, more=more))
