"""Findings and the registry of named checks: data that every renderer, document and docs page can list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from secondsite.objectives.lag import Lag
from secondsite.objectives.rpo import Rpo
from secondsite.objectives.rto import Rto
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import SiteState
from secondsite.spec.model import Spec

PAGE = "docs/reference/readiness.md"


class Severity(StrEnum):
    """critical: a failover now would fail, lose more than agreed, or users are hurt already."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. hint: the next act. site: None where it concerns the service as a whole.

    unseen: what it asks could not be looked at, and that is what it tells.
    """

    check: str
    severity: Severity
    site: str | None
    message: str
    hint: str = ""
    unseen: bool = False


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
    unseen: bool = False


Look = Callable[[Judged], Iterable[Problem]]
Sees = Callable[[SiteState], bool]


class Word(StrEnum):
    """What is answered to a check's question. Nobody has looked is never a yes."""

    YES = "yes"
    NO = "no"
    NOT_SEEN = "not-seen"
    NOTHING = "nothing-to-see"


@dataclass(frozen=True, slots=True)
class Answer:
    """why: who could not look, or that the file names nothing to look at; None with a yes and a no."""

    word: Word
    why: str | None = None

    @property
    def ok(self) -> bool | None:
        """Whether all is well; None where nobody knows."""
        return {Word.YES: True, Word.NO: False}.get(self.word)


class Needs(StrEnum):
    """Who must answer before "nothing was found" means that all is well."""

    BOTH = "both"
    PRIMARY = "primary"
    STANDBY = "standby"
    ANY = "any"
    NOBODY = "nobody"


def _always(_: SiteState) -> bool:
    return True


def _named(_: Spec) -> bool:
    return True


def _not_blind(_: Judged) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Check:
    """A named check. question: what it asks, for the docs; yes is always the good answer.

    sees: whether a site that answers has looked at what is asked. named: whether the file names anything to look at.
    blind: why the answer cannot be known although the sites have looked; None where it can. do: what to do, where a
    finding's own hint has no room for it.
    """

    name: str
    severity: Severity
    question: str
    look: Look
    needs: Needs = Needs.BOTH
    sees: Sees = _always
    named: Callable[[Spec], bool] = _named
    blind: Callable[[Judged], str | None] = _not_blind
    do: str = ""

    @property
    def anchor(self) -> str:
        """Where the docs explain it."""
        return f"{PAGE}#{self.name}"

    def findings(self, judged: Judged) -> list[Finding]:
        """Everything that is wrong; empty where all is well."""
        return [
            Finding(
                self.name,
                problem.severity or self.severity,
                problem.site,
                problem.message,
                problem.hint,
                problem.unseen,
            )
            for problem in self.look(judged)
        ]

    def answer(self, judged: Judged, found: Sequence[Finding]) -> Answer:
        """The answer, where ``found`` is what this check found. Information is no no."""
        wrong = [finding for finding in found if finding.severity is not Severity.INFO]
        if any(not finding.unseen for finding in wrong):
            return Answer(Word.NO)
        if wrong:
            return Answer(Word.NOT_SEEN, self._unseen(judged.situation) or wrong[0].message)
        if not self.named(judged.situation.spec):
            return Answer(Word.NOTHING, "the file names nothing of the kind")
        why = self._unseen(judged.situation) or self.blind(judged)
        return Answer(Word.YES) if why is None else Answer(Word.NOT_SEEN, why)

    def _unseen(self, situation: Situation) -> str | None:
        """Who could not look, and why; None where all have looked whose word is needed."""
        match self.needs:
            case Needs.NOBODY:
                return None
            case Needs.BOTH:
                sites: tuple[str | None, ...] = tuple(situation.spec.site_names)
            case Needs.PRIMARY:
                sites = (situation.primary,)
            case Needs.STANDBY:
                sites = (situation.standby,)
            case Needs.ANY:
                missing = [self._unseen_at(situation, site) for site in situation.spec.site_names]
                return None if None in missing else "; ".join(why for why in missing if why)
        return "; ".join(why for site in sites if (why := self._unseen_at(situation, site))) or None

    def _unseen_at(self, situation: Situation, site: str | None) -> str | None:
        if site is None:
            return "no site is known to be primary"
        state = situation.present(site)
        if state is not None:
            return None if self.sees(state) else f"{site} could not look, or has not yet"
        silence = situation.silence(site)
        return f"{site} does not answer" if silence is None or silence.set_up else f"{site} is not set up"


class Registry:
    """The checks of one area, in the order they are declared. What is given here counts for all of them."""

    def __init__(self, *, sees: Sees = _always, named: Callable[[Spec], bool] = _named) -> None:
        self.checks: list[Check] = []
        self._sees = sees
        self._named = named

    def check(
        self,
        name: str,
        severity: Severity,
        question: str,
        needs: Needs = Needs.BOTH,
        *,
        sees: Sees | None = None,
        named: Callable[[Spec], bool] | None = None,
        blind: Callable[[Judged], str | None] = _not_blind,
        do: str = "",
    ) -> Callable[[Look], Look]:
        """Register the decorated function under ``name``."""

        def register(look: Look) -> Look:
            self.checks.append(
                Check(name, severity, question, look, needs, sees or self._sees, named or self._named, blind, do)
            )
            return look

        return register
