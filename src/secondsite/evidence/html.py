"""The page of a game day's report: one file with everything in it, for a screen and for paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from secondsite.evidence import words
from secondsite.evidence.deviations import deviations
from secondsite.evidence.felt_chart import chart
from secondsite.evidence.headline import figures, sentence, standby
from secondsite.evidence.overview_chart import overview
from secondsite.evidence.report import complete, rehearsed
from secondsite.evidence.tables import lost_items, measurements, states
from secondsite.evidence.waterfall import waterfall

RELEVANT_TO = (
    "GDPR Art. 32(1)(b)–(d)",
    "NIS2 implementing regulation (EU) 2024/2690, annex, section 4",
    "DORA Art. 11 and 12, RTS (EU) 2024/1774 Art. 25",
    "ISO 22301:2019, 8.5",
    "NIST SP 800-34 and SP 800-84",
)


def render(document: Mapping[str, Any], *, json_sha256: str | None = None) -> str:
    """Pure: the page of ``document``. json_sha256: of report.json, printed with the evidence."""
    report = complete(document)
    felt = chart(report)
    return _environment().get_template("gameday.html.j2").render(
        report=report,
        kind="Game day" if rehearsed(report) else "Failover",
        rehearsed=rehearsed(report),
        sentence=sentence(report),
        figures=figures(report),
        felt=felt,
        overview=overview(report, felt) if felt else None,
        waterfall=waterfall(report),
        deviations=deviations(report),
        measurements=measurements(report),
        states=states(report),
        lost=lost_items(report),
        standby=standby(report),
        relevant_to=RELEVANT_TO,
        json_sha256=json_sha256,
    )  # fmt: skip


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("secondsite.evidence"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        span=words.span,
        exact=words.exact,
        objective=words.objective,
        offset=words.offset,
        clock=words.clock,
        date=words.date,
    )
    return environment
