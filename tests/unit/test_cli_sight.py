"""Status over SSH: what each host answers, and what that means for the service."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from secondsite.agent.seen import views_document
from secondsite.cli import sight_ssh
from secondsite.cli.state import own_first
from secondsite.errors import FinalError, RetryableError
from secondsite.objectives.snapshot import Silence, SiteView
from secondsite.process import Completed
from secondsite.remote.target import Target
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby

AGES = 30.0  # seconds that pass on no machine unless something is waited for that ought not to be
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
    async def reach(target: Target, **_: object) -> AsyncIterator[Host]:
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
    [(MISSING, "not installed there"), (None, "port 22"),
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


class Bergen:
    """A standby's host that answers; what it hears of oslo is asked anew each time."""

    def __init__(self, oslo: Callable[[int], SiteView], slow: float) -> None:
        self._oslo = oslo
        self._slow = slow
        self.asked = 0

    async def run(self, *_: object, **__: object) -> Completed:
        await asyncio.sleep(self._slow if not self.asked else 0)
        seen = {"bergen": site("bergen", standby()), "oslo": self._oslo(self.asked)}
        self.asked += 1
        return Completed(("sh",), 0, json.dumps(own_first(views_document("bergen", NOW, seen, ()))), "")


def heard_by(
    monkeypatch: pytest.MonkeyPatch,
    oslo: Callable[[int], SiteView],
    *,
    hangs: bool = False,
    slow: float = 0.0,
    taken: bool = False,
) -> Bergen:
    """Oslo does not answer here: at once, or not at all. slow: how long bergen takes to answer for the first time.
    taken: oslo takes the connection, and nothing more comes of it."""
    bergen = Bergen(oslo, slow)

    @asynccontextmanager
    async def reach(target: Target, *, answered: Callable[[], None]) -> AsyncIterator[Bergen]:
        if target.site == "oslo":
            if taken:
                answered()
            await asyncio.sleep(3600 if hangs else 0)
            raise RetryableError("no answer on port 22", host="oslo")
        yield bergen

    monkeypatch.setattr(sight_ssh, "reach", reach)
    monkeypatch.setattr(sight_ssh, "AT_ONCE_SECONDS", 0.06 if hangs or slow else AGES)  # ends when both have answered
    for name in ("SILENT_SECONDS", "HEAR_SECONDS", "ROUND_SECONDS"):
        monkeypatch.setattr(sight_ssh, name, 0.06)
    monkeypatch.setattr(sight_ssh, "PATIENCE_SECONDS", 0.6)
    monkeypatch.setattr(sight_ssh, "AGAIN_SECONDS", 0.01)
    return bergen


@pytest.mark.parametrize(("hangs", "slow"), [(False, 0.0), (True, 0.0), (False, 0.2), (True, 0.2)])
async def test_what_the_peer_heard_just_before_it_died_is_no_sign_of_life(
    hangs: bool, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bergen = heard_by(monkeypatch, lambda _: site("oslo", primary(), taken_at=NOW - 2.0), hangs=hangs, slow=slow)
    status = await sight_ssh.look(SPEC)
    assert not status["sites"]["oslo"]["reachable"] and not status["ready"]
    assert status["sites"]["oslo"]["last_known"]["role"] == "primary"
    assert status["sites"]["oslo"]["silent"]["since"] is not None, "when it was last heard is known"
    assert status["primary"] == "oslo" and bergen.asked >= 2


async def test_a_site_that_its_peer_hears_anew_is_shown_by_what_the_peer_hears_and_told_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard_by(monkeypatch, lambda asked: site("oslo", primary(), taken_at=NOW - 2.0 + asked))
    status = await sight_ssh.look(SPEC)
    assert status["sites"]["oslo"]["reachable"] and status["sites"]["oslo"]["role"] == "primary"
    (found,) = (finding for finding in status["findings"] if finding["check"] == "reachable")
    assert found["severity"] == "warning" and "answers bergen, but not here: no answer on port 22" in found["message"]


async def test_a_silence_that_the_peer_tells_of_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    last = site("oslo", primary())
    bergen = heard_by(monkeypatch, lambda _: Silence("oslo", "no answer within 2 s", NOW - 30, last))
    status = await sight_ssh.look(SPEC)
    assert not status["sites"]["oslo"]["reachable"] and bergen.asked == 1
    assert status["sites"]["oslo"]["silent"]["reason"] == "no answer on port 22"


@pytest.mark.parametrize("taken", [False, True])
async def test_a_host_without_power_is_waited_for_shortly_and_one_that_takes_the_connection_longer(
    taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = site("oslo", primary())
    heard_by(monkeypatch, lambda _: Silence("oslo", "no answer within 2 s", NOW - 30, last), hangs=True, taken=taken)
    patience = 0.6 if taken else AGES
    monkeypatch.setattr(sight_ssh, "PATIENCE_SECONDS", patience)
    began = time.monotonic()
    status = await sight_ssh.look(SPEC)
    took = time.monotonic() - began
    assert took > patience if taken else took < AGES
    assert status["sites"]["oslo"]["silent"]["reason"] == f"no answer within {patience if taken else 0.06:g} s"


class Busy:
    """A host that answers at once, and then only after more than the time that a silent one is given."""

    def __init__(self) -> None:
        self.asked = 0

    async def run(self, *_: object, **__: object) -> Completed:
        await asyncio.sleep(0.4 if self.asked else 0)
        self.asked += 1
        seen = {"oslo": site("oslo", primary()), "bergen": site("bergen", standby())}
        return Completed(("sh",), 0, json.dumps(own_first(views_document("oslo", NOW, seen, ()))), "")


async def test_a_busy_host_over_a_kept_connection_is_waited_for_as_over_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = site("oslo", primary())
    bergen = heard_by(monkeypatch, lambda _: Silence("oslo", "no answer within 2 s", NOW - 30, last), hangs=True)
    monkeypatch.setattr(sight_ssh, "PATIENCE_SECONDS", AGES)
    oslo = Busy()

    @asynccontextmanager
    async def reach(target: Target, *, answered: Callable[[], None]) -> AsyncIterator[Busy | Bergen]:
        answered()
        yield oslo if target.site == "oslo" else bergen

    monkeypatch.setattr(sight_ssh, "reach", reach)
    async with sight_ssh.Hosts(SPEC) as hosts:
        for _ in range(2):
            status = await hosts.look()
            assert status["sites"]["oslo"]["reachable"], status["sites"]["oslo"]
    assert oslo.asked == 2


@pytest.mark.parametrize(("fresh", "asked"), [(0.0, 2), (AGES, 1)])
async def test_the_one_that_is_left_is_shown_as_it_is_now_and_not_as_it_was_before_the_wait(
    fresh: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def oslo(asked: int) -> SiteView:
        return Silence("oslo", "no answer within 2 s", NOW - 30 + asked, site("oslo", primary()))

    bergen = heard_by(monkeypatch, oslo, hangs=True)
    monkeypatch.setattr(sight_ssh, "FRESH_SECONDS", fresh)
    status = await sight_ssh.look(SPEC)
    since = datetime.fromisoformat(status["sites"]["oslo"]["silent"]["since"]).timestamp()
    assert bergen.asked == asked and since == NOW - 31 + asked


async def test_each_site_is_shown_with_the_age_of_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    heard_by(monkeypatch, lambda asked: site("oslo", primary(), taken_at=NOW - 70.0 + asked))
    status = await sight_ssh.look(SPEC)
    assert status["sites"]["oslo"]["age_seconds"] == pytest.approx(68, abs=AGES)
    assert status["sites"]["bergen"]["age_seconds"] == pytest.approx(0, abs=AGES)
