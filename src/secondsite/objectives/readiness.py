"""Would a failover now work? Every named check is asked; what is critical makes the answer no."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import Check, Finding, Judged, Severity
from secondsite.objectives.root import ROOTS

_ORDER = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def findings(judged: Judged, checks: Iterable[Check] = CHECKS, *, more: Sequence[Finding] = ()) -> tuple[Finding, ...]:
    """Everything the checks found, and ``more``: the worst first, in the checks' order within a severity."""
    found = [*(finding for check in checks for finding in check.findings(judged)), *more]
    return tuple(sorted(found, key=lambda finding: _ORDER[finding.severity]))


def told(found: Sequence[Finding]) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """What to tell, and what only follows from a root among it: that would bury the one thing to do."""
    roots = {finding.check for finding in found}
    follows = {check for root, checks in ROOTS.items() if root in roots for check in checks}
    return (
        tuple(finding for finding in found if finding.check not in follows),
        tuple(finding for finding in found if finding.check in follows),
    )


def ready(found: Sequence[Finding]) -> bool:
    """Whether nothing critical stands in the way."""
    return all(finding.severity is not Severity.CRITICAL for finding in found)
