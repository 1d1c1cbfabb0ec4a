"""The published schemas say what the code prints: documents made by the code conform to them."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import ValidationError

from secondsite.agent.judge import judge
from secondsite.cli.documents.procedure import ProcedureDocument, StepDocument
from secondsite.cli.documents.setup import ChangeDocument
from secondsite.cli.documents.status import GuardDocument, SiteDocument
from secondsite.cli.documents.words import FindingDocument
from secondsite.cli.main import main
from secondsite.cli.schemas import conforms
from secondsite.clock import SystemClock
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError
from secondsite.events import ChangePlanned
from secondsite.objectives.document import document
from secondsite.objectives.finding import Severity
from secondsite.objectives.snapshot import Silence, SiteState, SiteView
from secondsite.recovery.document import step_document
from secondsite.recovery.engine import Outcome
from secondsite.recovery.guard import Ruling
from secondsite.recovery.journal import Journal, Kind
from secondsite.recovery.step import StepOutcome, StepResult
from secondsite.spec import paths
from secondsite.spec.load import loads
from secondsite.tunnel.state import TunnelState
from tests.unit.test_spec_load import GOOD

SPEC = loads(GOOD.encode(), Path("secondsite.toml")).spec
NOW = datetime(2025, 1, 1, tzinfo=UTC)


def seen(site: str, role: Role) -> SiteState:
    return SiteState(
        site, NOW.timestamp(), "0.1.0", True, "hash", DatabaseState(role, timeline=1), TunnelState(up=True)
    )


VIEWS: dict[str, dict[str, SiteView]] = {
    "both answer": {"oslo": seen("oslo", Role.PRIMARY), "bergen": seen("bergen", Role.STANDBY)},
    "the primary is silent": {"oslo": Silence("oslo", "no answer"), "bergen": seen("bergen", Role.STANDBY)},
    "nobody answers": {"oslo": Silence("oslo", "no answer"), "bergen": Silence("bergen", "no answer")},
    "two primaries": {"oslo": seen("oslo", Role.PRIMARY), "bergen": seen("bergen", Role.PRIMARY)},
    "no cluster": {"oslo": seen("oslo", Role.ABSENT), "bergen": seen("bergen", Role.STOPPED)},
}


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS.keys())
def test_a_status_conforms_whatever_the_sites_are(views: dict[str, SiteView]) -> None:
    conforms("status", document(judge(SPEC, views, (), NOW)))


@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS.keys())
def test_a_readiness_conforms_whatever_the_sites_are(
    views: dict[str, SiteView], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("secondsite.cli.sight.begin", lambda _: lambda: document(judge(SPEC, views, (), NOW)))
    main(["readiness", "--json"])
    conforms("readiness", json.loads(capsys.readouterr().out))


def test_a_guards_rulings_are_those_of_its_schema() -> None:
    assert {ruling.value for ruling in Ruling} == set(get_args(get_type_hints(GuardDocument)["ruling"]))


def test_explanations_conform(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["explain", "--json"], ["explain", "dns-key", "--json"]):
        assert main(line) == 0
        conforms("explain", json.loads(capsys.readouterr().out))


def test_journals_conform_one_and_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "JOURNAL", tmp_path)
    monkeypatch.setattr(paths, "SITE", tmp_path / "site")
    (tmp_path / "site").write_text("bergen")
    Journal.create(tmp_path, "20261122T031201Z-failover-77e0", SystemClock()).append(Kind.OPENED, {"procedure": "x"})
    for line in (["journal", "--json"], ["journal", "latest", "--json"], ["journal", "latest", "--json", "--verify"]):
        main(line)
        conforms("journals" if line == ["journal", "--json"] else "journal", json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("seconds", ["0", "-5", "nan"])
def test_a_fault_of_no_length_is_a_usage_error_before_anything_is_asked(
    seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.toml").write_text(GOOD)
    for line in (f"gameday --for-seconds={seconds}", f"fault power-off --undo-after-seconds={seconds}"):
        assert main([*line.split(), "--config", str(tmp_path / "s.toml")]) == 2
        assert "longer than 0 seconds" in capsys.readouterr().err


def test_a_status_without_what_was_promised_does_not_conform() -> None:
    status = document(judge(SPEC, VIEWS["both answer"], (), NOW))
    for key in ("service", "taken_at", "generation", "sites", "replicas", "rpo", "rto", "ready", "findings"):
        with pytest.raises(ValidationError, match=key):
            conforms("status", {name: value for name, value in status.items() if name != key})


def procedure(**changed: Any) -> dict[str, Any]:
    steps = [
        step_document(StepOutcome("promote", "bergen", "Promote", result, error=FinalError("no", hint="look")))
        for result in StepResult
    ]
    rto = {"measured_seconds": 1.5, "objective_seconds": 60.0, "met": True}
    rpo = {"estimated_seconds": None, "objective_seconds": 60.0, "met": None}
    whole = {"procedure": "failover", "id": "x", "outcome": "completed", "steps": steps, "rto": rto, "rpo": rpo}
    return whole | {"journal": "/var/lib/secondsite/journal/x"} | changed


def test_a_procedure_conforms_with_every_outcome_of_a_step_and_of_the_whole() -> None:
    for outcome in Outcome:
        conforms("procedure", procedure(outcome=outcome.value))
    with pytest.raises(ValidationError, match="outcome"):
        conforms("procedure", procedure(outcome="fine"))


def test_the_schemas_know_exactly_the_words_the_code_uses() -> None:
    words = {
        "severity": (FindingDocument, Severity),
        "role": (SiteDocument, Role),
        "outcome": (StepDocument, StepResult),
    }
    for key, (kind, enum) in words.items():
        assert set(get_args(_hints(kind)[key])) == {member.value for member in enum}
    assert set(get_args(_hints(ProcedureDocument)["outcome"])) == {member.value for member in Outcome}


def test_a_planned_change_is_published_with_every_field_of_its_event() -> None:
    assert set(_hints(ChangeDocument)) == set(asdict(ChangePlanned("r", "s", "t")))


def _hints(kind: Any) -> dict[str, Any]:
    from typing import get_type_hints

    return get_type_hints(kind)
