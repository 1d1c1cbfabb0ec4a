"""Status over SSH: what each host answers, and what that means for the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from secondsite.cli import sight_ssh
from secondsite.errors import FinalError, RetryableError
from secondsite.process import Completed
from secondsite.remote.target import Target
from tests.unit.objectives_worlds import SPEC

MISSING = Completed(("sh",), 127, "", "sh: 1: exec: /usr/local/bin/secondsite: not found")


class Host:
    def __init__(self, answer: Completed) -> None:
        self._answer = answer

    async def run(self, *_: object, check: bool = True, **__: object) -> Completed:
        if check and not self._answer.ok:
            raise FinalError(self._answer.why())
        return self._answer


def world(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Completed | None]) -> None:
    @asynccontextmanager
    async def reach(target: Target) -> AsyncIterator[Host]:
        answer = answers[target.site]
        if answer is None:
            raise RetryableError("does not answer on port 22", host=target.site)
        yield Host(answer)

    monkeypatch.setattr(sight_ssh, "reach", reach)


async def test_before_the_first_apply_nobody_blames_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    world(monkeypatch, {"oslo": MISSING, "bergen": MISSING})
    with pytest.raises(FinalError, match="nothing is set up yet") as caught:
        await sight_ssh.look(SPEC)
    assert caught.value.slug == "not-applied" and "secondsite apply" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("bergen", "told"),
    [(MISSING, "not installed there: secondsite apply"), (None, "port 22"),
     (Completed(("sh",), 1, "", "Traceback\nImportError: x"), "secondsite fails there: ImportError: x"),
     (Completed(("sh",), 0, "no json", ""), "another version")],
)  # fmt: skip
async def test_a_site_that_could_not_tell_is_silent_with_its_own_reason(
    bergen: Completed | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world(monkeypatch, {"oslo": None, "bergen": bergen})
    status = await sight_ssh.look(SPEC)
    found = {finding["site"]: finding["message"] for finding in status["findings"] if finding["check"] == "reachable"}
    assert told in found["bergen"] and "port 22" in found["oslo"]
