"""How long versions of files are kept: "1h every 5m, 24h hourly, 14d daily"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from secondsite.spec.quantities import parse_duration

_STEPS = {"hourly": "1h", "daily": "1d", "weekly": "1w", "monthly": "30d", "yearly": "365d"}
_LONG = {"mo": 30, "y": 365}  # days; spans only: for any other duration "m" is a minute and nobody needs a month
_LONG_SPAN = re.compile(r"(\d+)(mo|y)")
_RULE = re.compile(r"\s*(\S+)\s+(?:(\w+)|every\s+(\S+))\s*")
_EXAMPLE = 'write it like "1h every 5m, 24h hourly, 14d daily"'
LEAST_SECONDS = 60.0  # a version looks at every file's metadata
MOST = 1000  # versions of one set: each is a folder tree, and one file has some ten thousand links at most (ext4)


@dataclass(frozen=True, slots=True)
class Keep:
    """One version each ``every`` seconds is kept for ``span`` seconds."""

    every: float
    span: float

    @property
    def number(self) -> int:
        """How many that are."""
        return int(self.span // self.every)


def parse(text: str) -> tuple[Keep, ...]:
    """The rules of a text, finest first. Raises ValueError with a sentence for the person who wrote it."""
    rules = tuple(sorted((_rule(part) for part in text.split(",")), key=lambda rule: rule.every))
    if len({rule.every for rule in rules}) != len(rules):
        raise ValueError(f'"{text}" says the same step twice; {_EXAMPLE}')
    if sum(rule.number for rule in rules) > MOST:
        raise ValueError(f'"{text}" keeps more than {MOST} versions; take longer steps for the long spans')
    return rules


def _rule(part: str) -> Keep:
    match = _RULE.fullmatch(part)
    step = _STEPS.get(match[2], match[3]) if match is not None else None
    if match is None or step is None:
        raise ValueError(f'"{part.strip()}" is no rule for versions; {_EXAMPLE}')
    span = _span(match[1])
    every = float(str(parse_duration(step)))
    if every < LEAST_SECONDS:
        raise ValueError(f'"{part.strip()}": {LEAST_SECONDS:g} s is the shortest step')
    if span < every:
        raise ValueError(f'"{part.strip()}" keeps nothing: {match[1]} is shorter than the step')
    return Keep(every, span)


def _span(text: str) -> float:
    """Seconds; a month counts 30 days, a year 365."""
    long = _LONG_SPAN.fullmatch(text)
    if long is not None:
        return int(long[1]) * _LONG[long[2]] * 86400.0
    return float(str(parse_duration(text)))
