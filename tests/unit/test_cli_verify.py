"""The exit codes of verify are those that its help names: it only reads, so nothing is ever half-way."""

from __future__ import annotations

from typing import Any

import pytest

from secondsite.cli import carry_out, verify
from secondsite.errors import Exit, FinalError, HalfwayError, SecondsiteError, UnknownOutcomeError
from secondsite.events import Result, ignore
from tests.unit.objectives_worlds import SPEC


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
