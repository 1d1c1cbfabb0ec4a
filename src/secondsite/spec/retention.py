"""How long versions of files are kept: "24h hourly, 14d daily"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from secondsite.spec.quantities import parse_duration

_EVERY = {"hourly": 3600.0, "daily": 86400.0, "weekly": 7 * 86400.0, "monthly": 30 * 86400.0}
_RULE = re.compile(r"\s*(\S+)\s+(\w+)\s*")
_EXAMPLE = 'write it like "24h hourly, 14d daily"'


@dataclass(frozen=True, slots=True)
class Keep:
    """One version each ``every`` seconds is kept for ``span`` seconds."""

    every: float
    span: float


def parse(text: str) -> tuple[Keep, ...]:
    """The rules of a text, finest first. Raises ValueError with a sentence for the person who wrote it."""
    rules = []
    for part in text.split(","):
        match = _RULE.fullmatch(part)
        if match is None or match[2] not in _EVERY:
            raise ValueError(f'"{part.strip()}" is no rule for versions; {_EXAMPLE}')
        span = float(str(parse_duration(match[1])))
        every = _EVERY[match[2]]
        if span < every:
            raise ValueError(f'"{part.strip()}" keeps nothing: {match[1]} is shorter than the step')
        rules.append(Keep(every, span))
    if len({rule.every for rule in rules}) != len(rules):
        raise ValueError(f'"{text}" says the same step twice; {_EXAMPLE}')
    return tuple(sorted(rules, key=lambda rule: rule.every))
