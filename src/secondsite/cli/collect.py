"""One answer at a time: from a flag, or from a person, who is asked again until it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from secondsite.errors import UsageError
from secondsite.spec.crosscheck import crosscheck
from secondsite.spec.draft import salvage
from secondsite.spec.explain import in_words
from secondsite.spec.faults import Loc

Ask = Callable[[str, str], str]  # question, default -> answer
Complaints = Callable[[str], Sequence[str]]  # why an answer does not fit by itself, each as a sentence
Against = Callable[[str], str | None]  # what an answer contradicts in what was said before


def _nothing(_answer: str) -> None:
    """Of most answers: there is nothing that they could contradict."""


@dataclass(slots=True)
class Collector:
    """Takes each value from where it can be had, and remembers what could not.

    A flag is not asked about: what is wrong with it is remembered for ``finish``. An answer is judged when it is given,
    by itself and against what was said before, and asked for again where it does not fit.
    """

    ask: Ask | None
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def value(
        self, flag: str, question: str, given: str | None, kind: Any, default: str = "", against: Against = _nothing
    ) -> str:
        """One required value."""
        if given is not None:
            self.flagged(flag, refused(kind, given))
            return given
        if self.ask is None:
            if not default:
                self.missing.append(flag)
            return default
        return self._fitting(self.ask, question, default, lambda answer: refused(kind, answer), against) or ""

    def optional(
        self, flag: str, question: str, given: str | None, kind: Any, against: Against = _nothing
    ) -> str | None:
        """One value that may be left out: None; a person leaves it out with an empty answer."""
        if given is not None:
            self.flagged(flag, refused(kind, given))
        if given is not None or self.ask is None:
            return given
        return self._fitting(self.ask, question, "", lambda answer: refused(kind, answer), against, may_be_empty=True)

    def several(
        self,
        flag: str,
        question: str,
        given: Sequence[str],
        complaints: Complaints,
        against: Callable[[Sequence[str]], str | None],
    ) -> list[str]:
        """Optional values; a person ends the list with an empty answer. ``against`` judges the list."""
        answers = list(given)
        for text in given:
            self.flagged(flag, complaints(text))
        if given or self.ask is None:
            return answers
        while answer := self._fitting(
            self.ask, question, "", complaints, lambda new: against([*answers, new]), may_be_empty=True
        ):
            answers.append(answer)
        return answers

    def flagged(self, flag: str, complaints: Sequence[str]) -> None:
        """Remember what is wrong with a flag."""
        self.wrong += [f"{flag}: {complaint}" for complaint in complaints]

    def finish(self) -> None:
        """Raises UsageError that names every flag which is missing or wrong."""
        if not self.missing and not self.wrong:
            return
        told = list(self.wrong)
        if self.missing:
            told.append("there is no terminal to ask at, and these are missing: " + ", ".join(self.missing))
        raise UsageError("\n".join(told), slug="init-incomplete", hint="secondsite init --help")

    @staticmethod
    def _fitting(
        ask: Ask, question: str, default: str, complaints: Complaints, against: Against, *, may_be_empty: bool = False
    ) -> str | None:
        """The first answer that fits; None for an empty one where that is an answer."""
        before = ""
        while True:
            answer = ask(f"{before}{question}", default)
            if may_be_empty and not answer:
                return None
            complaint = next(iter(complaints(answer)), None) or against(answer)
            if complaint is None:
                return answer
            before = f"{complaint}\n"


def refused(kind: Any, text: str) -> list[str]:
    """Why a value does not fit, in one sentence with its hint; empty where it does."""
    try:
        TypeAdapter(kind).validate_python(text)
    except ValidationError as wrong:
        return [in_words(wrong)]
    return []


def contradiction(before: Mapping[str, Any], after: Mapping[str, Any], about: Loc = ()) -> str | None:
    """Pure: the first contradiction that a new answer brings into the file's data, as ``validate`` would tell it.

    about: the answer's own place; what is wrong elsewhere is not its fault.
    """
    known = crosscheck(salvage(before))
    for problem in crosscheck(salvage(after)):
        if problem not in known and problem.loc[: len(about)] == about:
            return f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return None
