"""explain: every name that a message or a finding shows is explained where the message was read."""

from __future__ import annotations

import json

import pytest

from secondsite.cli.main import main
from secondsite.objectives.checks import CHECKS


def test_an_error_is_explained_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "declined"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("declined: an error\n") and "answered with no" in told and "What to do:" in told


def test_a_name_that_is_an_error_and_a_check_is_explained_as_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "two-primaries", "--json"]) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)["explanations"]] == ["error", "check"]


@pytest.mark.parametrize("name", [*(check.name for check in CHECKS), "location-plausible"])
def test_every_finding_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith((f"{name}: a check", f"{name}: a rule")) for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_names_are_listed_and_a_wrong_one_is_helped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    listed = capsys.readouterr().out
    assert "fence-unconfirmed" in listed and "rewindable" in listed and max(map(len, listed.splitlines())) <= 80
    assert main(["explain", "fence-unconfirmd"]) == 2
    assert "did you mean fence-unconfirmed" in capsys.readouterr().err


def test_a_blocked_set_is_explained_with_what_still_comes_and_both_ways_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "files-blocked"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "the deletions are held back, and what is new or changed still comes" in told
    assert "nothing comes any more" in told
    for way in ("files diff", "files list", "--to-primary", "files allow-deletions"):
        assert way in told.partition("What to do:")[2]
