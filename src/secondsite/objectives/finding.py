"""Findings and the registry of named checks: data that every renderer, document and docs page can list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from secondsite.objectives.lag import Lag
from secondsite.objectives.rpo import Rpo
from secondsite.objectives.rto import Rto
from secondsite.objectives.situation import Situation

PAGE = "docs/reference/readiness.md"


class Severity(StrEnum):
    """critical: a failover now would fail, lose more than agreed, or users are hurt already."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. hint: the next act. site: None where it concerns the service as a whole."""

    check: str
    severity: Severity
    site: str | None
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """What checks look at: the situation, and what was already derived from it."""

    situation: Situation
    lags: tuple[Lag, ...]
    rpo: Rpo
    rto: Rto


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding as a check states it; the check's name, and its severity unless given here, are added."""

    site: str | None
    message: str
    hint: str = ""
    severity: Severity | None = None


Look = Callable[[Judged], Iterable[Problem]]


class Needs(StrEnum):
    """Who must answer before "nothing was found" means that all is well."""

    BOTH = "both"
    PRIMARY = "primary"
    STANDBY = "standby"
    ANY = "any"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Check:
    """A named check. question: what it asks, for the docs; yes is always the good answer."""

    name: str
    severity: Severity
    question: str
    look: Look
    needs: Needs = Needs.BOTH

    @property
    def anchor(self) -> str:
        """Where the docs explain it."""
        return f"{PAGE}#{self.name}"

    def findings(self, judged: Judged) -> list[Finding]:
        """Everything that is wrong; empty where all is well."""
        return [
            Finding(self.name, problem.severity or self.severity, problem.site, problem.message, problem.hint)
            for problem in self.look(judged)
        ]

    def answer(self, situation: Situation, found: bool) -> bool | None:
        """Whether all is well; None where nothing was found because somebody it needs is silent."""
        if found:
            return False
        here = {state.site for state in situation.here}
        met = {
            Needs.BOTH: len(here) == len(situation.spec.site_names),
            Needs.PRIMARY: situation.primary in here,
            Needs.STANDBY: situation.standby in here,
            Needs.ANY: bool(here),
            Needs.NOBODY: True,
        }
        return True if met[self.needs] else None


class Registry:
    """The checks of one area, in the order they are declared."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(self, name: str, severity: Severity, question: str, needs: Needs = Needs.BOTH) -> Callable[[Look], Look]:
        """Register the decorated function under ``name``."""

        def register(look: Look) -> Look:
            self.checks.append(Check(name, severity, question, look, needs))
            return look

        return register
