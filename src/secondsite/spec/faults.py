"""What is wrong with a file: found as problems at a place, told as faults at a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic_core import PydanticCustomError

from secondsite.errors import UsageError

Loc = tuple[str | int, ...]
KIND = "secondsite"  # the pydantic error type of faults that already speak plain English


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a place in the data: ("sites", "oslo", "country"), ("files", 0, "path")."""

    loc: Loc
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem with the line it stands on; line is None where the file has no line for it."""

    path: str
    line: int | None
    message: str
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """{path, line, message, hint}."""
        return asdict(self)

    def text(self, file: Path) -> str:
        """One line like a compiler's, clickable in most terminals."""
        place = f"{file}:{self.line}" if self.line is not None else str(file)
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class SpecFaults(UsageError):
    """The file says something that cannot be; every fault that could be found, in the file's order."""

    default_slug: ClassVar[str] = "bad-file"

    def __init__(self, file: Path, faults: tuple[Fault, ...]) -> None:
        self.file = file
        self.faults = faults
        super().__init__("\n".join([self.count(), *self.lines()]))

    def count(self) -> str:
        """How many there are, as a sentence."""
        return f"{self.file} has {'1 fault' if len(self.faults) == 1 else f'{len(self.faults)} faults'}"

    def lines(self) -> list[str]:
        """Each fault and its hint, for a person."""
        told = []
        for fault in self.faults:
            told.append(fault.text(self.file))
            if fault.hint:
                told.append(f"    hint: {fault.hint}")
        return told

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "message": self.count(), "faults": [fault.as_json() for fault in self.faults]}


def refuse(message: str, hint: str | None = None) -> PydanticCustomError:
    """What a field's validator raises: plain words and a hint that reach the person unchanged."""
    return PydanticCustomError(KIND, "{message}", {"message": message, "hint": hint})


def path_text(loc: Loc) -> str:
    """sites.oslo.country, files[0].path: how a person finds the place."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def located(problem: Problem, line_of: Callable[[Loc], int | None]) -> Fault:
    """The fault for a problem, given what knows the lines."""
    return Fault(path_text(problem.loc), line_of(problem.loc), problem.message, problem.hint)
