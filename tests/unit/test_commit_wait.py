"""Whether commits wait for the standby: the decision in every situation, and what it is taken from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.agent.board import Board
from secondsite.agent.commits import Commits, unless_busy
from secondsite.agent.ports import Places
from secondsite.cli.bootstrap.commits import trouble
from secondsite.clock import SystemClock
from secondsite.database.commit_wait import STEADY_SECONDS, Act, Waiting, decide, names, ours, waits
from secondsite.database.in_step import InStep, after
from secondsite.database.state import DatabaseState, Follower
from secondsite.errors import FinalError
from secondsite.events import Event, Note
from secondsite.objectives.snapshot import CommitWait
from secondsite.recovery import lock
from secondsite.spec import Spec
from tests.fakes.clock import SetClock
from tests.fakes.primary import FakePrimary
from tests.unit.objectives_worlds import primary, spec, standby

BERGEN = names("bergen")
WAITING = (("synchronous_standby_names", BERGEN), ("synchronous_commit", "on"))
OTHERS = ("", BERGEN, names("oslo"), "*", "ANY 1 (bergen, reports)")


def situations() -> st.SearchStrategy[Waiting]:
    answered = st.just(0.0) | st.floats(0.1, 2 * STEADY_SECONDS) | st.floats(0.1, 1000)
    return st.builds(
        Waiting,
        site=st.just("oslo"),
        peer=st.just("bergen"),
        mode=st.sampled_from(["async", "sync"]),
        policy=st.sampled_from(["degrade", "block"]),
        degrade_after=st.floats(3, 100),
        primary=st.booleans(),
        names=st.none() | st.sampled_from(OTHERS),
        answered=answered,
        missing=st.floats(0, 1000),
    )


@given(situations())
def test_a_host_that_is_not_the_primary_is_never_touched(now: Waiting) -> None:
    assert decide(replace(now, primary=False)) is Act.NOTHING


@given(situations())
def test_what_is_not_known_is_never_changed(now: Waiting) -> None:
    assert decide(replace(now, names=None)) is Act.NOTHING


@given(situations())
def test_in_mode_async_commits_never_begin_to_wait_and_only_our_own_leftover_is_taken_back(now: Waiting) -> None:
    act = decide(replace(now, mode="async"))
    ours_and_there = now.primary and now.names in (BERGEN, names("oslo"))
    assert act is (Act.REMOVE if ours_and_there else Act.NOTHING)


@given(situations())
def test_commits_begin_to_wait_only_for_a_standby_that_has_answered_without_a_break(now: Waiting) -> None:
    if decide(now) is Act.WAIT:
        assert now.mode == "sync" and now.answered >= STEADY_SECONDS and now.names != BERGEN


def test_a_standby_that_flaps_is_not_waited_for() -> None:
    back = Waiting("oslo", "bergen", "sync", "degrade", 10.0, True, "", STEADY_SECONDS, 0.0)
    assert decide(back) is Act.WAIT
    assert decide(replace(back, answered=STEADY_SECONDS - 0.1)) is Act.NOTHING


@given(situations())
def test_with_block_commits_never_stop_waiting(now: Waiting) -> None:
    assert decide(replace(now, policy="block")) is not Act.STOP


@given(situations())
def test_commits_stop_waiting_only_for_a_standby_that_has_been_missing_for_as_long_as_was_agreed(now: Waiting) -> None:
    if decide(now) is Act.STOP:
        assert now.policy == "degrade" and now.answered == 0 and now.missing >= now.degrade_after and now.names


@given(situations(), st.floats(0, 1000))
def test_a_lost_standby_never_holds_commits_up_for_ever_where_they_may_stop_waiting(now: Waiting, more: float) -> None:
    lost = replace(now, mode="sync", policy="degrade", primary=True, answered=0.0, missing=now.degrade_after + more)
    assert decide(lost) is (Act.STOP if lost.names else Act.NOTHING)


@given(situations())
def test_a_standby_that_answers_is_always_waited_for_in_the_end(now: Waiting) -> None:
    back = replace(now, mode="sync", primary=True, names=now.names or "", answered=STEADY_SECONDS, missing=0.0)
    assert decide(back) is (Act.NOTHING if back.names == BERGEN else Act.WAIT)


@given(situations())
def test_what_was_done_is_not_done_again(now: Waiting) -> None:
    left = {Act.WAIT: BERGEN, Act.STOP: "", Act.REMOVE: ""}
    act = decide(now)
    if act is not Act.NOTHING:
        assert decide(replace(now, names=left[act])) is Act.NOTHING


def test_a_plan_tells_that_commits_hang_or_wait_no_longer_and_is_silent_otherwise() -> None:
    sync = spec(mode="sync")
    lost, here = primary(settings=at(1.0).settings), primary(settings=(("synchronous_standby_names", ""),))
    assert "commits hang: they wait for bergen" in (trouble(lost, sync, "oslo", None) or "")
    told = trouble(here, sync, "oslo", 1_800_000_000.0) or ""
    assert "no longer, since 2027-01-15T08:00:00" in told and "by themselves" in told
    assert trouble(at(1.0), sync, "oslo", None) is None
    assert trouble(here, sync, "oslo", None) is None, "not reached yet is no trouble of an apply"
    assert trouble(lost, spec(), "oslo", 1.0) is None and trouble(standby(), sync, "bergen", 1.0) is None


def test_a_site_with_a_dash_is_quoted_and_a_site_of_that_name_only_is_ours() -> None:
    assert names("oslo-2") == 'FIRST 1 ("oslo-2")'
    assert ours(names("oslo-2"), ("oslo-2", "bergen")) and not ours('FIRST 1 ("oslo")', ("oslo-2", "bergen"))


def at(told: float | None, *, state: str = "streaming", sync: str = "sync", flushed: int = 1000) -> DatabaseState:
    settings = (("synchronous_standby_names", BERGEN), ("synchronous_commit", "on"))
    return primary(followers=(Follower("bergen", state, sync, flushed, told),), settings=settings)


def followed(*looks: DatabaseState, every: float = 1.0) -> InStep:
    memory = InStep(0.0)
    for number, look in enumerate(looks):
        memory = after(memory, look, "bergen", number * every)
    return memory


def test_a_standby_answers_when_its_report_changes_and_not_because_a_connection_looks_alive() -> None:
    assert followed(at(10.0), at(11.0), at(12.0)).answered(2.0) == 1.0
    stale = followed(*[at(10.0)] * 8)
    assert stale.since is None and stale.missing(7.0) == 7.0
    cut = followed(at(10.0), at(11.0), at(11.0), at(11.0), at(11.0))
    assert cut.since is not None and cut.missing(4.0) == 3.0
    assert followed(at(10.0), at(11.0), *[at(11.0)] * 4).since is None


def test_a_standby_that_catches_up_or_is_gone_does_not_answer() -> None:
    assert followed(at(10.0), at(11.0), at(12.0, state="catchup")).since is None
    assert followed(at(10.0), at(11.0), primary()).since is None
    assert followed(at(10.0), at(11.0), standby()) == InStep(2.0)


@given(st.lists(st.booleans(), max_size=30))
def test_missing_and_answering_are_never_both_long(reports: list[bool]) -> None:
    memory, told = InStep(0.0), 0.0
    for number, reported in enumerate(reports):
        told += reported
        memory = after(memory, at(told), "bergen", float(number))
        assert not (memory.since is not None and memory.missing(float(number)) > 3.0)


def test_what_was_acknowledged_before_commits_waited_is_covered_only_once_the_standby_has_it() -> None:
    begun = after(InStep(0.0), replace(at(1.0, flushed=900), flushed=1000), "bergen", 0.0)
    assert begun.goal == 1000 and not begun.covered
    behind = after(begun, replace(at(2.0, flushed=999), flushed=2000), "bergen", 1.0)
    assert not behind.covered
    there = after(behind, replace(at(3.0, flushed=1000), flushed=2000), "bergen", 2.0)
    assert there.covered
    assert not after(there, at(4.0, sync="async"), "bergen", 3.0).covered


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": (("synchronous_standby_names", ""), ("synchronous_commit", "on"))},
        {"settings": (WAITING[0], ("synchronous_commit", "local"))},
        {"settings": (*WAITING, ("lesser_commits", "role shop"))},
        {"settings": ()},
        {"followers": ()},
        {"followers": (Follower("bergen", "streaming", "potential", 1000, 1.0),)},
        {"followers": (Follower("reports", "streaming", "sync", 1000, 1.0),)},
    ],
)
def test_commits_are_said_to_wait_only_where_postgresql_says_every_part_of_it(changed: dict[str, Any]) -> None:
    assert waits(at(1.0), "bergen")
    assert not waits(replace(at(1.0), **changed), "bergen")
    assert not waits(standby(followers=at(1.0).followers, settings=at(1.0).settings), "bergen")


@dataclass(slots=True)
class Server:
    """A primary and its standby in lockstep with a clock, with the setting that the agent changes."""

    spec: Spec
    folder: Path
    database: FakePrimary = field(default_factory=FakePrimary)
    silent_since: float | None = None  # a connection over which nothing comes looks alive for a while
    busy: bool = False
    clock: SetClock = field(default_factory=SetClock)
    said: list[Event] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    board: Board = field(default_factory=lambda: Board("oslo", "bergen", "1", "h"))
    commits: Commits = field(init=False)
    claimed: bool = False  # what was claimed while the setting was changed

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        places = Places(fenced=self.folder / "fenced", uncovered=self.folder / "uncovered")
        self.commits = Commits(self.spec, self.board, places, self.change, self.said.append, self.clock)

    async def change(self, act: Act) -> bool:
        if not self.busy:
            self.acts.append(act)
            self.claimed = self.board.commits is not None and self.board.commits.covered
            await self.database.change_waiting(act, "bergen")
        return not self.busy

    def seconds(self, count: int) -> None:
        for _ in range(count):
            self.clock.pass_(1.0)
            self.database.told_at = self.silent_since or self.clock.monotonic()
            self.board.database = asyncio.run(self.database.look())
            asyncio.run(self.commits.second())

    @property
    def told(self) -> list[str]:
        return [event.text for event in self.said if isinstance(event, Note)]

    @property
    def known(self) -> CommitWait:
        assert self.board.commits is not None
        return self.board.commits


def server(folder: Path, **rules: str) -> Server:
    return Server(spec(**{"mode": "sync", "degrade_after": "5s"} | rules), folder)


def test_commits_wait_by_themselves_stop_loudly_and_wait_again(tmp_path: Path) -> None:
    oslo = server(tmp_path)
    oslo.seconds(6)
    assert oslo.acts == [Act.WAIT] and oslo.known.covered and oslo.known.stopped_at is None
    oslo.database.streams = False
    oslo.seconds(4)
    assert oslo.acts == [Act.WAIT] and "commits hang: bergen has not answered" in oslo.told[-1]
    assert not oslo.known.covered
    oslo.seconds(1)
    assert oslo.acts[1:] == [Act.STOP] and oslo.known.stopped_at == oslo.clock.now().timestamp()
    assert "commits no longer wait for bergen: it has not answered for 5 s" in oslo.told[-1]
    assert "RPO is not 0 any more" in oslo.told[-1]
    said = len(oslo.told)
    oslo.seconds(60)
    assert len(oslo.told) == said and oslo.acts[1:] == [Act.STOP]
    oslo.database.streams = True
    oslo.seconds(6)
    assert oslo.acts[2:] == [Act.WAIT] and oslo.known.stopped_at is None and oslo.known.covered
    assert "commits wait for bergen from now on" in oslo.told[-1]
    assert not (tmp_path / "uncovered").exists()


def test_a_connection_that_only_looks_alive_is_given_up_and_nothing_is_claimed_from_before_that_on(
    tmp_path: Path,
) -> None:
    oslo = server(tmp_path)
    oslo.seconds(6)
    oslo.silent_since = oslo.clock.monotonic()
    oslo.seconds(4)
    assert oslo.acts == [Act.WAIT] and oslo.known.covered, "commits wait still, so nothing is confirmed alone"
    oslo.seconds(1)
    assert oslo.acts[1:] == [Act.STOP] and not oslo.claimed
    oslo.seconds(30)
    assert oslo.acts[1:] == [Act.STOP] and not oslo.known.covered


def test_since_when_nothing_is_promised_survives_a_restart_of_the_agent(tmp_path: Path) -> None:
    oslo = server(tmp_path)
    oslo.seconds(6)
    oslo.database.streams = False
    oslo.seconds(6)
    stopped = oslo.known.stopped_at
    assert stopped is not None
    oslo.restart()
    oslo.seconds(30)
    assert oslo.known.stopped_at == stopped


def test_with_block_commits_hang_until_the_standby_is_back_and_it_is_said_once(tmp_path: Path) -> None:
    oslo = server(tmp_path, when_standby_lost="block")
    oslo.seconds(6)
    oslo.database.streams = False
    oslo.seconds(600)
    assert oslo.acts == [Act.WAIT] and oslo.database.names == BERGEN
    assert [text for text in oslo.told if "hang" in text] == [oslo.told[-1]] and "until bergen streams" in oslo.told[-1]
    oslo.database.streams = True
    oslo.seconds(4)
    assert "commits go on" in oslo.told[-1] and oslo.acts == [Act.WAIT]


def test_a_person_who_lets_commits_go_is_not_overruled_before_the_standby_is_back(tmp_path: Path) -> None:
    oslo = server(tmp_path, when_standby_lost="block")
    oslo.seconds(6)
    oslo.database.streams, oslo.database.names = False, ""
    oslo.seconds(60)
    assert oslo.database.names == "" and oslo.known.stopped_at is None
    oslo.database.streams = True
    oslo.seconds(6)
    assert oslo.database.names == BERGEN


def test_while_a_procedure_works_here_or_this_site_is_fenced_nothing_is_done_nor_said(tmp_path: Path) -> None:
    oslo = server(tmp_path)
    oslo.busy = True
    oslo.seconds(20)
    assert oslo.acts == [] and oslo.told == []
    oslo.busy = False
    (tmp_path / "fenced").write_text("bergen takes over\n")
    oslo.seconds(20)
    assert oslo.acts == [] and oslo.told == []
    (tmp_path / "fenced").unlink()
    oslo.seconds(1)
    assert oslo.acts == [Act.WAIT]


def test_what_an_earlier_mode_has_left_is_taken_back_and_a_standby_forgets_everything(tmp_path: Path) -> None:
    oslo = server(tmp_path, mode="async")
    oslo.database.names = BERGEN
    (tmp_path / "uncovered").write_text("1.0\n")
    oslo.restart()
    oslo.seconds(3)
    assert oslo.acts == [Act.REMOVE] and oslo.database.names == "" and not (tmp_path / "uncovered").exists()
    (tmp_path / "uncovered").write_text("1.0\n")
    oslo.restart()
    oslo.database.writable = False
    oslo.seconds(1)
    assert oslo.board.commits is None and not (tmp_path / "uncovered").exists()


async def test_nothing_is_changed_while_a_procedure_holds_the_lock_or_this_site_is_opened(tmp_path: Path) -> None:
    done, opening, path = [], asyncio.Lock(), tmp_path / "procedure.lock"

    async def act() -> None:
        with pytest.raises(FinalError), lock.hold(path, "failover", "now"):
            pass  # whoever comes meanwhile is refused
        done.append(1)

    async def change() -> bool:
        return await unless_busy(opening, path, act, SystemClock())

    async def stop() -> None:
        done.append(2)

    with lock.hold(path, "failover", "now"):
        assert not await change()
    async with opening:
        assert not await change()
    assert done == []
    assert await change() and done == [1]
    assert lock.holder(path) is None
    with lock.hold(path, "switchover", "now"):
        assert await unless_busy(opening, None, stop, SystemClock()) and done == [1, 2], (
            "a lost standby is not waited for"
        )
    async with opening:
        assert not await unless_busy(opening, None, stop, SystemClock())
