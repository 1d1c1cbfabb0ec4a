"""Everything that has a name and is explained: errors, checks of readiness, rules of residency. Data for renderers."""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Explanation:
    """kind: error, check or rule. do: what to do; empty where a finding's own hint says it."""

    name: str
    kind: str
    meaning: str
    do: str = ""

    def as_json(self) -> dict[str, Any]:
        """{name, kind, meaning, do}."""
        return asdict(self)


def everything() -> list[Explanation]:
    """Errors first, then checks, then rules; a name may belong to an error and to a check."""
    return [*_errors(), *_checks(), *_rules()]


def _errors() -> list[Explanation]:
    told = tomllib.loads(files("secondsite").joinpath("errors.toml").read_text("utf-8"))
    return [Explanation(slug, "error", one["meaning"].strip(), one["do"].strip()) for slug, one in told.items()]


def _checks() -> list[Explanation]:
    from secondsite.objectives.checks import CHECKS

    return [
        Explanation(
            check.name,
            "check",
            f"{check.question} {inspect.getdoc(check.look)} Severity: {check.severity.value}.",
            check.do,
        )
        for check in CHECKS
    ]


def _rules() -> list[Explanation]:
    from secondsite.residency.about import ABOUT

    return [Explanation(name, "rule", about.replace("**", "")) for name, about in ABOUT.items()]
