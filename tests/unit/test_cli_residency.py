"""``secondsite residency``: what is declared, what is proven, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondsite.cli import residency, sight
from secondsite.cli.main import main
from secondsite.cli.schemas import conforms
from secondsite.errors import RetryableError
from secondsite.residency import ResidencyFinding
from tests.unit.test_cli_commands import FLAGS


@pytest.fixture(autouse=True)
def _with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", *FLAGS]) == 0
    capsys.readouterr()


def seen(monkeypatch: pytest.MonkeyPatch, *rtts: float | None) -> None:
    sites = {str(number): {"rtt_ms": rtt} for number, rtt in enumerate(rtts)}
    monkeypatch.setattr(sight, "begin", lambda _config: lambda: {"sites": sites})


def test_without_asking_the_hosts_only_declarations_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["residency", "--declared-only"]) == 0
    out = capsys.readouterr().out
    assert "oslo: Example AS, NO, 59.91, 10.75 (declared, not verified)" in out
    assert "no distance is bounded" in out


def test_the_smallest_round_trip_of_either_host_bounds_the_distance(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen(monkeypatch, 8.0, 6.0)
    assert main(["residency", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    conforms("residency", document)
    assert (document["rtt_ms"], document["distance_at_most_km"]) == (6.0, 899.4)


def test_a_round_trip_that_contradicts_the_declared_places_is_told_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen(monkeypatch, None, 1.0)
    assert main(["residency"]) == 0
    assert capsys.readouterr().out.startswith("warning: a round trip took 1.00 ms")


def test_something_critical_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = ResidencyFinding("country-allowed", "critical", "oslo", "stands elsewhere", "move it")
    monkeypatch.setattr(residency, "assess", lambda _spec, _rtt: (finding,))
    assert main(["residency", "--declared-only"]) == 1


def test_hosts_that_cannot_be_asked_leave_the_declarations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(_config: Path) -> object:
        raise RetryableError("no host answers")

    monkeypatch.setattr(sight, "begin", silent)
    assert main(["residency"]) == 0
    out, err = capsys.readouterr()
    assert "no host answers" in err
    assert "declared, not verified" in out
    assert residency.measured(Path("x")) is None
