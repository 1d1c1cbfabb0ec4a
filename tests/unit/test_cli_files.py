"""files allow-deletions: what is shown, what is asked, and where it is carried out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.main import main
from secondsite.cli.schemas import conforms
from secondsite.cli.views.status import shown
from secondsite.clock import SystemClock, to_text
from secondsite.errors import FinalError
from secondsite.events import Result, ignore
from secondsite.files import bandwidth
from secondsite.files.budget import Rule
from secondsite.files.state import Coming, FileSetState, FilesStatus
from secondsite.objectives.document import document
from secondsite.objectives.status import assess
from secondsite.wiring import Procedures
from tests.unit.objectives_worlds import NOW, SPEC, site, standby, well
from tests.unit.test_status_views import lines

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "example.toml"
WAITS = FileSetState(
    "uploads", FilesStatus.BLOCKED, NOW - 60, reason="40 of 50 are gone; the budget is 10", held_back=40
)


def status(copy: FileSetState) -> dict[str, Any]:
    seen = well() | {"bergen": site("bergen", standby(), files=(copy,))}
    return document(assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC)))


async def over_ssh(copy: FileSetState) -> dict[str, Any]:
    """As ``sight`` looks from an operator's machine: with a loop of its own."""
    return status(copy)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Bergen's copy waits for a person; what was carried out is listed."""
    done: list[tuple[str, str, Mapping[str, Any]]] = []

    async def carry_out(_: object, kind: str, arguments: Mapping[str, Any], *, at: str, emit: object) -> Result:
        done.append((kind, at, arguments))
        return Result({"set": arguments["set"], "site": at, "allowed": 40})

    monkeypatch.setattr("secondsite.cli.sight.begin", lambda _: lambda: asyncio.run(over_ssh(WAITS)))
    monkeypatch.setattr("secondsite.cli.carry_out.carry_out", carry_out)
    return done


def test_it_is_carried_out_at_the_standby(
    asked: list[tuple[str, str, Mapping[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["files", "allow-deletions", "uploads", "--yes", "--json", "--config", str(EXAMPLE)]) == 0
    assert asked == [("allow-deletions", "bergen", {"set": "uploads"})]
    assert json.loads(capsys.readouterr().out)["allowed"] == 40


def test_without_an_answer_nothing_is_allowed_and_the_question_says_what_is_gone(
    asked: list[tuple[str, str, Mapping[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["files", "allow-deletions", "uploads", "--config", str(EXAMPLE)]) == 2
    assert "uploads at bergen: 40 of 50 are gone" in capsys.readouterr().err
    assert asked == []


def test_a_set_that_does_not_wait_or_is_not_there_is_refused(
    asked: list[tuple[str, str, Mapping[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["files", "allow-deletions", "pictures", "--yes", "--config", str(EXAMPLE)]) == 2
    assert "sets: uploads" in capsys.readouterr().err
    current = replace(WAITS, status=FilesStatus.CURRENT, held_back=None)
    monkeypatch.setattr("secondsite.cli.sight.begin", lambda _: lambda: asyncio.run(over_ssh(current)))
    assert main(["files", "allow-deletions", "uploads", "--yes", "--config", str(EXAMPLE)]) == 3
    assert "it is current" in capsys.readouterr().err
    assert asked == []


def test_the_finding_names_the_command_only_where_a_word_helps() -> None:
    def hint(copy: FileSetState) -> str:
        return next(str(one["hint"]) for one in status(copy)["findings"] if one["check"] == "files-blocked")

    assert "secondsite files allow-deletions uploads" in hint(WAITS)
    assert "if not: `secondsite explain files-blocked`" in hint(WAITS)
    assert "allow-deletions" not in hint(replace(WAITS, held_back=None, reason="/srv is not mounted"))


async def test_the_host_refuses_a_set_that_it_does_not_have() -> None:
    result = await Procedures(SPEC, "bergen", SystemClock()).run("allow-deletions", {"set": "pictures"}, ignore)
    assert (result.document["error"], result.exit_code) == ("no-such-set", 2)


async def test_the_host_allows_what_it_holds_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def allow(fileset: Any) -> int:
        if fileset.name != "uploads":
            raise FinalError("another set")
        return 40

    monkeypatch.setattr("secondsite.wiring.allow_deletions", allow)
    result = await Procedures(SPEC, "bergen", SystemClock()).run("allow-deletions", {"set": "uploads"}, ignore)
    assert result.document == {"set": "uploads", "site": "bergen", "allowed": 40}


def test_a_limit_is_set_at_the_site_that_the_set_comes_to_and_a_slip_asks_nobody(
    asked: list[tuple[str, str, Mapping[str, Any]]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {
        "set": "uploads",
        "site": "bergen",
        "bytes_per_second": 2_000_000,
        "set_by": "command",
        "in_file": 5_000_000,
    }

    async def carry_out(_: object, kind: str, arguments: Mapping[str, Any], *, at: str, emit: object) -> Result:
        asked.append((kind, at, arguments))
        return Result(told)

    monkeypatch.setattr("secondsite.cli.carry_out.carry_out", carry_out)
    assert main(["files", "bandwidth", "uploads", "2MB/s", "--config", str(EXAMPLE)]) == 0
    assert asked == [("bandwidth", "bergen", {"set": "uploads", "rate": "2MB/s"})]
    assert "at 2MB/s at most (the file says 5MB/s: secondsite files bandwidth uploads file)" in capsys.readouterr().out
    assert main(["files", "bandwidth", "uploads", "--json", "--config", str(EXAMPLE)]) == 0
    conforms("files-bandwidth", json.loads(capsys.readouterr().out))
    for slip in ("2MB", "fast", "1B/s"):
        assert main(["files", "bandwidth", "uploads", slip, "--config", str(EXAMPLE)]) == 2
        assert "unlimited" in capsys.readouterr().err
    assert len(asked) == 2


async def test_the_host_remembers_the_limit_until_the_file_holds_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bandwidth.limit_of, "__defaults__", (tmp_path,))
    monkeypatch.setattr(bandwidth.change, "__defaults__", (tmp_path,))

    async def now(rate: str | None) -> tuple[Any, Any]:
        told = await Procedures(SPEC, "bergen", SystemClock()).run(
            "bandwidth", {"set": "uploads", "rate": rate}, ignore
        )
        return told.document["bytes_per_second"], told.document["set_by"]

    assert await now(None) == (SPEC.files[0].bandwidth, "file")
    assert await now("2MB/s") == (2_000_000, "command")
    assert await now(None) == (2_000_000, "command")
    assert await now("unlimited") == (None, "command")
    assert await now("file") == (SPEC.files[0].bandwidth, "file")


def test_status_tells_the_limit_and_who_has_set_it() -> None:
    copy = replace(WAITS, bandwidth=2_000_000, bandwidth_by="command")
    assert status(copy)["replicas"][1]["bandwidth"] == {"bytes_per_second": 2_000_000, "set_by": "command"}
    assert status(WAITS)["replicas"][1]["bandwidth"] is None
    conforms("status", status(copy))


def test_status_tells_what_a_copy_says_of_itself() -> None:
    told = replace(
        WAITS, entries=50, queue=3, files_per_second=2.5, bytes_per_second=100.0, last_reconcile_at=NOW - 5,
        deletions=Rule(4, 10), unstreamed="oslo does not tell",
    )  # fmt: skip
    files = status(told)["replicas"][1]["files"]
    assert (files["entries"], files["queue"], files["files_per_second"], files["bytes_per_second"]) == (50, 3, 2.5, 100)
    assert files["compared_at"] == to_text(datetime.fromtimestamp(NOW - 5, UTC)) and files["changes"] is None
    assert files["deletions"] == {"within_hour": 4, "allowed": 10} and files["unstreamed"] == "oslo does not tell"
    conforms("status", status(told))
    comes = replace(told, status=FilesStatus.PULLING, coming=Coming(750, 1000, 10.0, 25.0))
    conforms("status", status(comes))
    assert any("uploads" in line and "pulling 75%" in line for line in lines(shown(status(comes), 80), 80))
    pulled = lines(shown(status(replace(told, status=FilesStatus.CURRENT, reason=None)), 80), 80)
    assert any("uploads" in line and "current, pulled" in line for line in pulled)
