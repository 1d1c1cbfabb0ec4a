"""Small parts of the agent: duties that fail, the self-fence, systemd's words, HTTP heads, the peer's token."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from secondsite.agent import guardword, memory
from secondsite.agent.api import JSONResponse
from secondsite.agent.board import Board
from secondsite.agent.converge import unit_text
from secondsite.agent.duties import Duty, Troubles, keep
from secondsite.agent.http import Line, parse_head
from secondsite.agent.peer import PeerWatch, Token
from secondsite.agent.ports import Places, Ports
from secondsite.agent.records import Records
from secondsite.agent.samples import Samples
from secondsite.agent.selffence import reason
from secondsite.agent.units import parse
from secondsite.agent.watch import Watch
from secondsite.clock import SystemClock
from secondsite.database.state import DatabaseState, Role
from secondsite.dns.state import RecordState
from secondsite.notify import Notifier
from secondsite.objectives.rto import PastRun
from secondsite.objectives.snapshot import Silence, from_json, to_json
from tests.fakes.clock import SetClock
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby


async def test_a_duty_that_fails_is_told_tried_again_and_takes_no_other_along() -> None:
    troubles, done = Troubles(SystemClock()), {"good": 0, "bad": 0}

    async def good() -> None:
        done["good"] += 1

    async def bad() -> None:
        done["bad"] += 1
        raise ValueError("no such thing")

    clock = SystemClock()
    tasks = [asyncio.create_task(keep(Duty(n, 0.01, act), clock, troubles)) for n, act in (("g", good), ("b", bad))]
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    assert done["good"] > 3 and done["bad"] > 3
    assert [(trouble.duty, trouble.message) for trouble in troubles.now] == [("b", "ValueError: no such thing")]


def test_a_trouble_that_is_over_is_gone_and_one_that_lasts_keeps_its_beginning() -> None:
    troubles = Troubles(SystemClock())
    troubles.tell("dns", "refused")
    since = troubles.now[0].since
    troubles.tell("dns", "refused again")
    assert troubles.now[0].since == since
    with troubles.kept_from("dns"):
        pass
    assert troubles.now == ()


def test_a_site_fences_itself_only_where_the_other_is_surely_ahead() -> None:
    own, ahead = site("oslo", primary(timeline=1)), site("bergen", primary(timeline=2))
    assert reason(own, ahead) is not None
    assert reason(own, Silence("bergen", "no answer", NOW, ahead)) is None
    assert reason(own, site("bergen", primary(timeline=1))) is None
    assert reason(own, site("bergen", standby(timeline=2))) is None
    assert reason(own, site("bergen", primary(timeline=2, system_identifier="8"))) is None
    assert reason(site("oslo", standby()), ahead) is None
    assert reason(ahead, own) is None


def test_the_last_position_is_kept_as_it_moves_and_read_back(tmp_path: Path) -> None:
    keeper = memory.Keeper(tmp_path / "last.json", "bergen")
    oslo = site("oslo", primary(flushed=1000))
    keeper.note(oslo, NOW)
    assert keeper.note(site("oslo", primary(flushed=2000)), NOW + 0.1) == keeper.kept  # at most each second
    keeper.note(site("oslo", primary(flushed=3000)), NOW + 1, clock_offset=0.25)
    found = memory.read(tmp_path / "last.json")
    assert found is not None and (found.flushed, found.timeline, found.clock_offset) == (3000, 1, 0.25)
    assert (tmp_path / "last.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "last.json").write_text("{")
    assert memory.read(tmp_path / "last.json") is None


async def test_silence_is_measured_by_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    """This host's clock is set ahead, then back: a primary that answers is there, one that died stays silent."""

    class Answering:
        async def get(self, *_: object, **__: object) -> bytes:
            return json.dumps({**to_json(site("oslo", primary())), "now": NOW + 7.0}).encode()

    clock = SetClock(datetime.fromtimestamp(NOW, UTC), monotonic=500.0)
    peer = PeerWatch(SPEC, "bergen", clock, tmp_path / "token")
    peer._line = cast(Line, Answering())
    await peer.poll()
    assert (peer.clock_offset, peer.answered_at) == (7.0, NOW)
    clock.wall += timedelta(hours=1)
    assert not isinstance(peer.view(), Silence) and peer.silent_since is None
    clock.wall -= timedelta(hours=2)
    clock.pass_(60)
    assert isinstance(peer.view(), Silence)
    assert peer.silent_since == clock.now().timestamp() - 60


def test_the_guards_word_is_only_told_where_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "guard.json"
    assert guardword.holding(file) is None
    file.write_text('{"verdict": "allow", "reason": "well"}')
    assert guardword.holding(file) is None
    file.write_text('{"verdict": "hold", "reason": "bergen is ahead"}')
    assert guardword.holding(file) == "bergen is ahead"


def test_systemd_is_told_by_datagrams(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})
        notifier.ready("up")
        notifier.alive("well")
        assert systemd.recv(100) == b"READY=1\nSTATUS=up"
        assert systemd.recv(100) == b"WATCHDOG=1\nSTATUS=well"
        assert notifier.watchdog_seconds == 30
    notifier.alive("nobody listens")
    Notifier({}).ready("by hand")


def test_units_are_read_in_the_order_asked_for_and_a_missing_one_is_told() -> None:
    text = "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\n\nId=b.service\nLoadState=not-found\n"
    assert [(unit.name, unit.active) for unit in parse(text, ("a.service", "b.service"))] == [
        ("a.service", "active"),
        ("b.service", "missing"),
    ]


def test_an_answers_head_is_read_and_what_is_no_http_is_refused() -> None:
    assert parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n") == (200, 12)
    assert parse_head(b"HTTP/1.1 404 Not Found\r\n\r\n") == (404, None)
    with pytest.raises(ValueError, match="not HTTP"):
        parse_head(b"SSH-2.0-OpenSSH\r\n\r\n")


def test_a_new_token_is_noticed_and_a_missing_one_is_none(tmp_path: Path) -> None:
    token = Token(tmp_path / "token")
    assert token.read() is None
    (tmp_path / "token").write_text("one\n")
    assert token.read() == "one"
    (tmp_path / "new").write_text("two\n")
    (tmp_path / "new").replace(tmp_path / "token")
    assert token.read() == "two"


def test_the_unit_is_watched_restarted_and_changes_with_the_release() -> None:
    text = unit_text(SPEC, "r1")
    for wanted in ("Type=notify", "WatchdogSec=30", "Restart=always", "wg-quick@wg0.service", "postgresql@15-main"):
        assert wanted in text
    assert unit_text(SPEC, "r2") != text
    assert "RuntimeDirectoryPreserve=yes" in text  # the guard's mark must outlive the agent


def test_a_site_says_what_it_said_when_it_falls_silent() -> None:
    last = site("oslo", primary())
    assert replace(Silence("oslo", "gone", NOW), last=last).last == last


def test_a_site_that_becomes_the_primary_forgets_the_one_before(tmp_path: Path) -> None:
    keeper = memory.Keeper(tmp_path / "last.json", "bergen")
    keeper.note(site("oslo", primary()), NOW)
    keeper.forget()
    assert keeper.kept is None and memory.read(tmp_path / "last.json") is None
    keeper.forget()  # each second, for as long as it is primary


@pytest.fixture
def looks() -> tuple[Records, Board, list[float], SetClock]:
    """The records of oslo's agent. They point to where ``points_to`` of the last answer says; looks are listed."""
    board, asked, clock = Board("oslo", "bergen", "1", "h"), [], SetClock(monotonic=1000.0)
    board.database, board.peer_view = primary(), site("bergen", standby())

    async def ask() -> tuple[RecordState, ...]:
        asked.append(clock.monotonic())
        return (RecordState("example.no", "shop", (), "oslo"),)

    return Records(SPEC, board, ask, clock), board, asked, clock


async def test_records_are_asked_for_seldom_while_they_fit(looks: tuple[Records, Board, list[float], SetClock]) -> None:
    records, board, asked, clock = looks
    for _ in range(60):
        await records.when_due()
        clock.pass_(1)
    assert asked == [1000.0, 1030.0]
    assert board.dns[0].looked_at is not None


async def test_records_are_asked_for_at_once_when_the_roles_change_and_until_they_fit(
    looks: tuple[Records, Board, list[float], SetClock],
) -> None:
    """Else the other site's look from before a failover is told as an alarm for half a minute."""
    records, board, asked, clock = looks
    await records.when_due()
    clock.pass_(5)
    board.database, board.peer_view = standby(), site("bergen", primary(timeline=2))
    for _ in range(5):
        await records.when_due()
        clock.pass_(1)
    assert asked == [1000.0, 1005.0, 1007.0, 1009.0]


def test_both_hosts_predict_from_the_recoveries_of_both() -> None:
    """A failover to bergen is journalled at bergen, the one back at oslo: each alone would know half."""
    there, back = PastRun("failover", "a", NOW - 900, 40.0), PastRun("failover", "b", NOW - 60, 20.0)
    board = Board("oslo", "bergen", "1", "h")
    board.history = (back,)
    assert board.recoveries() == (back,)
    board.peer_view = from_json(to_json(site("bergen", standby(), history=(there,))))
    assert board.recoveries() == (there, back)
    board.peer_view = Silence("bergen", "no answer", NOW, board.peer_view)
    assert board.recoveries() == (there, back)
    assert len(replace(board, history=tuple(replace(back, id=str(n)) for n in range(9))).state().history) == 5
    moves = tuple(PastRun("switchover", f"s{n}", NOW - n, 0.6) for n in range(9))
    told = replace(board, history=(back, *moves)).state().history
    assert back in told and len(told) == 6, "moves do not push the recoveries out"


async def test_each_second_a_site_forgets_what_belonged_to_its_other_role(tmp_path: Path) -> None:
    """As primary: the last position of the one before. As standby: what the application answered when it ran here."""
    last = tmp_path / "last.json"
    memory.Keeper(last, "bergen").note(site("oslo", primary()), NOW)
    states = iter([standby(), primary(timeline=2, slots=()), DatabaseState(Role.STOPPED)])

    class Database:
        async def look(self) -> DatabaseState:
            return next(states)

        def held(self) -> bool:
            return False

        async def beat(self, _: int) -> float:
            return NOW

    places = Places(last_primary=last, active=tmp_path / "a", guard_verdict=tmp_path / "g", quarantine=tmp_path / "q")

    async def unchanged(_: object) -> bool:
        return True

    ports = SimpleNamespace(
        places=places, database=Database(), files=SimpleNamespace(states=lambda: ()), change_waiting=unchanged,
        announce=lambda _: None,
    )  # fmt: skip
    peer = SimpleNamespace(view=lambda: Silence("oslo", "no answer"), clock_offset=None, answered_at=None)
    board, clock = Board("bergen", "oslo", "1", "h"), SystemClock()
    samples = Samples(tmp_path / "samples.sqlite")
    watch = Watch(SPEC, board, cast(Ports, ports), cast(PeerWatch, peer), samples, Troubles(clock), clock)
    await watch.second()
    assert board.last_primary is not None and last.exists()
    await watch.second()
    assert board.last_primary is None and not last.exists()
    board.healthy = True
    await watch.second()
    assert board.healthy is None
    samples.close()


def test_a_name_that_is_no_text_comes_through_the_agents_answers() -> None:
    name = os.fsdecode(b"by\xffte")
    assert json.loads(bytes(JSONResponse({"sample": [name]}).body))["sample"] == [name]
