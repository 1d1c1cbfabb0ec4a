"""What every benchmark writes: build/bench/NAME.json, and the same as a table."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

BUILD = Path("build/bench")


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one thing over the rounds."""

    name: str
    median: float
    min: float
    max: float

    @classmethod
    def of(cls, name: str, values: Sequence[float]) -> Series:
        return cls(name, round(statistics.median(values), 4), round(min(values), 4), round(max(values), 4))


@dataclass(frozen=True, slots=True)
class Metric:
    """A measured thing, what it is compared with, and what it should reach. target: of the ratio where there is one,
    unless it is ``alone``: then of the thing itself, whatever stands beside it. paired: the median of the rounds' own
    ratios, where the machine's pace changes from round to round; else the ratio is that of the medians."""

    name: str
    unit: str
    measured: Series
    target: float | None
    baseline: Series | None = None
    alone: bool = False
    paired: float | None = None

    @property
    def ratio(self) -> float | None:
        if self.paired is not None:
            return self.paired
        if self.baseline is None or self.baseline.median == 0:
            return None
        return round(self.measured.median / self.baseline.median, 3)

    @property
    def met(self) -> bool | None:
        value = self.measured.median if self.alone or self.ratio is None else self.ratio
        return None if self.target is None else value <= self.target

    def document(self) -> dict[str, Any]:
        """The metric as the contract has it."""
        own = asdict(self.measured)
        own.pop("name")
        base = asdict(self.baseline) if self.baseline else None
        return {
            "name": self.name,
            "unit": self.unit,
            **own,
            "baseline": base,
            "ratio": self.ratio,
            "ratio_of": "medians" if self.paired is None else "pairs",
            "target": self.target,
            "target_of": "value" if self.alone or self.ratio is None else "ratio",
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Metric:
        """A metric from what ``document`` gave."""
        base, own = document["baseline"], {name: document[name] for name in ("name", "median", "min", "max")}
        baseline = Series(**base) if base else None
        alone = baseline is not None and document.get("target_of") == "value"
        paired = document["ratio"] if document.get("ratio_of") == "pairs" else None
        return cls(document["name"], document["unit"], Series(**own), document["target"], baseline, alone, paired)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios. Of both sequences the same rounds, in the same order."""
    return round(statistics.median(one / other for one, other in zip(ours, theirs, strict=True)), 3)


def write(name: str, rounds: int, versions: dict[str, str], metrics: Sequence[Metric]) -> Path:
    """Write the document and print the table; the document's path."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    machine = {"system": platform.platform(), "processors": len_processors(), "python": platform.python_version()}
    document = {
        "machine": machine,
        "versions": versions,
        "rounds": rounds,
        "metrics": [metric.document() for metric in metrics],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(table(metrics))
    print(f"{path} ({rounds} rounds)")
    return path


def table(metrics: Sequence[Metric]) -> str:
    """A Markdown table, so that docs can take it over as it is."""
    lines = [
        "| what | median | min | max | beside | its median | ratio | target |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in metrics:
        base, series = one.baseline, one.measured
        mark = {None: "", True: " ✓", False: " ✗"}[one.met]
        lines.append(
            f"| {one.name} ({one.unit}) | {series.median:g} | {series.min:g} | {series.max:g} "
            f"| {base.name if base else '–'} | {f'{base.median:g}' if base else '–'} "
            f"| {one.ratio if one.ratio is not None else '–'} | {_target(one)}{mark} |"
        )
    return "\n".join(lines)


def _target(one: Metric) -> str:
    if one.target is None:
        return "–"
    return f"{one.target:g} {one.unit}" if one.alone else str(one.target)


def len_processors() -> int:
    """Processors this process may use."""
    import os

    return len(os.sched_getaffinity(0))
