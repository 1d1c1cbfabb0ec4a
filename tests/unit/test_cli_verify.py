"""The exit codes of verify are those that its help names: it only reads, so nothing is ever half-way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secondsite.cli import carry_out, verify
from secondsite.cli.main import main
from secondsite.errors import Exit, FinalError, HalfwayError, SecondsiteError, UnknownOutcomeError
from secondsite.events import Result, ignore
from tests.unit.objectives_worlds import SPEC

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "example.toml"


async def ends(monkeypatch: pytest.MonkeyPatch, how: SecondsiteError | Result) -> Result:
    async def told(*_: object, **__: object) -> Result:
        if isinstance(how, Result):
            return how
        raise how

    monkeypatch.setattr(carry_out, "carry_out", told)
    return await verify._carried_out(SPEC, {}, "bergen", ignore)


def failing(**document: Any) -> Result:
    return Result({"error": "peer-unanswered", "message": "oslo did not answer", "exit_code": 4, **document}, 4)


@pytest.mark.parametrize(
    ("how", "slug"),
    [
        (HalfwayError("the line broke", slug="session-lost"), "verify-ended"),
        (HalfwayError("something else", slug="half-way"), "half-way"),
        (UnknownOutcomeError("no answer within 30 s", slug="ssh-timeout"), "ssh-timeout"),
        (failing(), "peer-unanswered"),
        (failing(error="relay-lost"), "verify-ended"),
        (FinalError("no standby", slug="verify-roles"), "verify-roles"),
    ],
)
async def test_what_is_broken_off_ends_with_3_and_says_that_nothing_was_changed(
    monkeypatch: pytest.MonkeyPatch, how: SecondsiteError | Result, slug: str
) -> None:
    with pytest.raises(SecondsiteError) as told:
        await ends(monkeypatch, how)
    assert (told.value.exit, told.value.slug) == (Exit.UNCHANGED, slug)
    assert slug == "verify-roles" or "nothing was changed" in told.value.message


async def test_a_wrong_table_stays_a_mistake_of_the_command_line_and_a_bug_stays_a_bug(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SecondsiteError) as wrong:
        await ends(monkeypatch, failing(error="verify-no-table", exit_code=2))
    assert wrong.value.exit is Exit.USAGE
    with pytest.raises(SecondsiteError) as bug:
        await ends(monkeypatch, failing(error="bug"))
    assert bug.value.slug == "bug" and bug.value.exit is Exit.HALFWAY


async def test_a_verification_that_came_to_its_end_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await ends(monkeypatch, Result({"outcome": "different"}, 1))).exit_code == 1


def test_a_set_that_is_not_in_the_file_is_told_before_anybody_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    async def carry_out(_: object, kind: str, wanted: dict[str, Any], **__: object) -> Result:
        asked.append(wanted)
        raise FinalError("not here", slug="verify-roles")

    monkeypatch.setattr("secondsite.cli.carry_out.carry_out", carry_out)
    monkeypatch.setattr("secondsite.cli.this_host.site_here", lambda: "bergen")
    file = ["--config", str(EXAMPLE)]
    assert main(["verify", "--files-set", "uploads", "--files-set", "nothing", "--files-set", "photos", *file]) == 2
    assert "no file set nothing, photos (sets: uploads)" in capsys.readouterr().err
    assert main(["verify", "--only", "database", "--files-set", "uploads", *file]) == 2 and asked == []
    assert main(["verify", "--files-set", "uploads", *file]) == 3
    assert main(["verify", *file]) == 3
    assert asked[0]["files_sets"] == ["uploads"] and "files_sets" not in asked[1]
