"""The agent's API: everything on the unix socket, little on the tunnel, nothing without the token."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from secondsite.agent.client import event_lines, get
from secondsite.agent.seen import views_from
from secondsite.cli.schemas import conforms
from secondsite.clock import SystemClock
from secondsite.errors import FinalError, HalfwayError, RetryableError
from secondsite.events import Note, Result, from_line, to_line
from secondsite.recovery.journal import Kind
from secondsite.recovery.lock import hold
from secondsite.recovery.opening import begin
from secondsite.recovery.peer import Peer
from secondsite.recovery.relay import relay
from secondsite.verification.side import There
from tests.integration.agent_pair import ADDRESS, PORT, TOKEN, Calls, Clusters, agent, clusters, specification, until


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        yield pair


def asked(method: str, path: str, token: str | None = None, body: bytes | None = None) -> tuple[int, Any]:
    connection = HTTPConnection(ADDRESS, PORT, timeout=5)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


async def test_the_tunnel_tells_nothing_without_the_token(both: Clusters) -> None:
    calls = Calls()
    async with agent(both, "oslo", calls):
        for token in (None, "", "wrong", TOKEN + "x", TOKEN[:-1]):
            for method, path in (
                ("GET", "/v1/state"),
                ("GET", "/v1/guard"),
                ("POST", "/v1/fence"),
                ("POST", "/v1/handover/close"),
                ("POST", "/v1/procedures/switchover"),
                ("GET", "/nothing"),
            ):
                status, told = await asyncio.to_thread(asked, method, path, token)
                assert status == 401 and "site" not in told
        assert calls.fenced == []


async def test_the_tunnel_tells_state_and_guard_and_fences_with_the_token(both: Clusters) -> None:
    calls = Calls()
    async with agent(both, "oslo", calls):
        status, guard = await asyncio.to_thread(asked, "GET", "/v1/guard", TOKEN)
        assert status == 200
        assert guard == {
            "site": "oslo",
            "role": "primary",
            "writable": True,
            "generation": 1,
            "active": False,
            "taking_over": False,
        }
        assert (await asyncio.to_thread(asked, "GET", "/v1/state", TOKEN))[1]["database"]["role"] == "primary"
        body = json.dumps({"why": "a test"}).encode()
        assert (await asyncio.to_thread(asked, "POST", "/v1/fence", TOKEN, body))[1]["fenced"] is True
        assert calls.fenced == ["a test"]


async def test_the_tunnel_runs_no_procedure_but_the_one_that_relieves_a_primary(both: Clusters) -> None:
    async with agent(both, "oslo"):
        for method, path in (("POST", "/v1/procedures/failover"), ("GET", "/v1/views"), ("GET", "/v1/status")):
            assert (await asyncio.to_thread(_status_only, method, path)) == 404


async def test_the_client_of_procedures_can_talk_to_it(both: Clusters, tmp_path: Path) -> None:
    async with agent(both, "oslo"):
        (tmp_path / "token").write_text(TOKEN)
        peer = Peer.of(specification(), "bergen", tmp_path / "token")
        told = await peer.get("/v1/guard", connect_seconds=2, answer_seconds=2)
        assert told["site"] == "oslo"


async def test_a_primary_can_ask_its_standby_to_relieve_it_and_sees_how_that_goes(
    both: Clusters, tmp_path: Path
) -> None:
    calls, seen = Calls(), list[Any]()
    async with agent(both, "oslo", calls):
        (tmp_path / "token").write_text(TOKEN)
        peer = Peer.of(specification(), "bergen", tmp_path / "token")
        asking = asyncio.create_task(relay(peer, "switchover", {"to": "oslo", "note": "x" * 70_000}, seen.append))
        await until(lambda: len(seen) == 3)
        calls.rehearsed.leave.set()
        result = await asking
        assert seen == [Note(f"switchover {number}") for number in range(3)]
        assert result.document["note"] == "x" * 70_000
        with pytest.raises(FinalError) as refused:
            await relay(peer, "failover", {}, seen.append)
        assert "404" in refused.value.message
        (tmp_path / "token").write_text("wrong")
        with pytest.raises(FinalError) as stranger:
            await relay(Peer.of(specification(), "bergen", tmp_path / "token"), "switchover", {}, seen.append)
        assert "401" in stranger.value.message
    with pytest.raises(RetryableError):
        await relay(peer, "switchover", {}, seen.append)


async def test_a_standby_that_goes_away_while_it_relieves_us_is_told_as_half_way(
    both: Clusters, tmp_path: Path
) -> None:
    async def begin_and_die(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (to_line(Note("begun")) + "\n").encode()
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        writer.write(head + f"{len(line):x}\r\n".encode() + line + b"\r\n1000\r\nhalf a chu")
        await writer.drain()
        writer.close()

    seen: list[Any] = []
    server = await asyncio.start_server(begin_and_die, ADDRESS, PORT)
    async with server:
        with pytest.raises(HalfwayError) as lost:
            await relay(Peer("oslo", ADDRESS, PORT, TOKEN), "switchover", {}, seen.append)
    assert seen == [Note("begun")]
    assert lost.value.slug == "relay-lost" and "switchover --resume" in str(lost.value.hint)


async def test_what_a_peer_explains_stays_that_error(both: Clusters, tmp_path: Path) -> None:
    async with agent(both, "oslo"):
        (tmp_path / "token").write_text(TOKEN)
        peer = Peer.of(specification(), "bergen", tmp_path / "token")
        told = await peer.post("/v1/handover/survey", {"serial": 1}, connect_seconds=2, answer_seconds=2)
        assert told == {"act": "survey", "serial": 1}
        with pytest.raises(FinalError) as refused:
            await peer.post("/v1/handover/refuse", {}, connect_seconds=2, answer_seconds=2)
        assert (refused.value.slug, refused.value.host, refused.value.hint) == ("handover-refused", "oslo", "look")


async def test_the_socket_belongs_to_root_alone_and_answers_everything(both: Clusters) -> None:
    async with agent(both, "oslo"), agent(both, "bergen") as bergen:
        sock = both.base / "agent-bergen/agent.sock"
        assert stat.S_IMODE(sock.stat().st_mode) == 0o600
        await until(lambda: len(bergen.board.recent) > 2)
        views = await asyncio.to_thread(get, "/v1/views", agent=sock)
        assert set(views_from(views)) == {"oslo", "bergen"}
        samples = await asyncio.to_thread(get, "/v1/samples?seconds=60", agent=sock)
        assert samples and samples[-1]["replica"] == "database"
        conforms("status", await asyncio.to_thread(get, "/v1/status", agent=sock))
        assert (await asyncio.to_thread(get, "/v1/health", agent=sock))["site"] == "bergen"


async def test_a_procedure_goes_on_when_its_caller_hangs_up_and_can_be_watched_again(both: Clusters) -> None:
    calls = Calls()
    async with agent(both, "oslo", calls):
        sock = both.base / "agent-oslo/agent.sock"

        def begin_and_hang_up() -> str:
            with event_lines("POST", "/v1/procedures/drill", {"reason": "test"}, agent=sock) as lines:
                return next(lines)

        def watch() -> list[Any]:
            with event_lines("GET", "/v1/procedures/current", agent=sock) as lines:
                return [from_line(line) for line in lines]

        assert from_line(await asyncio.to_thread(begin_and_hang_up)) == Note("drill 0")
        with pytest.raises(FinalError) as refused:
            await asyncio.to_thread(begin_and_hang_up)
        assert refused.value.slug == "procedure-running"
        watching = asyncio.create_task(asyncio.to_thread(watch))
        await asyncio.sleep(0.3)
        calls.rehearsed.leave.set()
        told = await watching
        assert told[:3] == [Note(f"drill {number}") for number in range(3)]
        assert told[3] == Result({"procedure": "drill", "reason": "test"})


async def test_a_verification_ends_with_its_caller_holds_nothing_up_and_gives_way(both: Clusters) -> None:
    calls = Calls()
    async with agent(both, "bergen", calls) as running:
        socket = running._ports.places.socket

        def begin(kind: str, say: list[str], until_end: bool) -> None:
            with event_lines("POST", f"/v1/procedures/{kind}", {}, agent=socket) as lines:
                for line in lines:
                    say.append(line)
                    if not until_end and len(say) == 3:
                        return

        left: list[str] = []
        await asyncio.to_thread(begin, "verify", left, False)
        await asyncio.sleep(0.5)  # whoever began it has hung up: the next one may begin
        overtaken: list[str] = []
        verification = asyncio.create_task(asyncio.to_thread(begin, "verify", overtaken, True))
        await until(lambda: len(overtaken) == 3)
        with pytest.raises(FinalError) as second:
            await asyncio.to_thread(begin, "verify", [], True)
        assert second.value.slug == "verification-running"
        failover: list[str] = []
        taking_over = asyncio.create_task(asyncio.to_thread(begin, "failover", failover, True))
        await asyncio.wait_for(verification, 5)
        ended = from_line(overtaken[-1])
        assert isinstance(ended, Result) and ended.document["error"] == "verify-ended"
        calls.rehearsed.leave.set()
        await taking_over
        assert from_line(failover[-1]) == Result({"procedure": "failover"})


async def test_a_primary_lets_itself_be_looked_at_and_takes_no_statement(both: Clusters) -> None:
    async with agent(both, "oslo"):
        there = There(Peer("oslo", ADDRESS, PORT, TOKEN))
        assert (await there.ask("position"))["standby"] is False
        (table,) = [one for one in (await there.ask("tables"))["tables"] if one["name"] == "heartbeat"]
        item = {"database": "postgres", "schema": "secondsite", "name": "heartbeat"}
        (look,) = (await there.ask("digests", item | {"items": [item | {"key": table["key"]}]}))["looks"]
        assert look["error"] is None and look["seen"][0] >= 0
        for act, request in (
            ("rows", item | {"name": 'heartbeat"; DROP TABLE secondsite.heartbeat; --'}),
            ("rows", item | {"low": ["'); DROP TABLE secondsite.heartbeat; --", "two"]}),
            ("statement", {"index": 0, "sql": "SELECT 1"}),
            ("ranges", item),
            ("drop", item),
        ):
            with pytest.raises(FinalError) as refused:
                await there.ask(act, request)
            assert refused.value.slug in ("verify-no-table", "bad-request", "no-such-procedure")
        assert both.oslo.sql("SELECT to_regclass('secondsite.heartbeat') IS NOT NULL") == (True,)


async def test_strange_requests_are_refused_and_change_nothing(both: Clusters) -> None:
    calls = Calls()
    async with agent(both, "oslo", calls):
        for body in (b"no json", b"[1]", b"\xff\xfe"):
            assert (await asyncio.to_thread(asked, "POST", "/v1/fence", TOKEN, body))[0] == 400
        assert calls.fenced == []


def test_no_agent_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(RetryableError) as silent:
        get("/v1/status", agent=tmp_path / "nothing.sock")
    assert silent.value.slug == "agent-silent"


def _status_only(method: str, path: str) -> int:
    connection = HTTPConnection(ADDRESS, PORT, timeout=5)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {TOKEN}"})
        return connection.getresponse().status
    finally:
        connection.close()


async def test_a_procedure_that_a_command_ends_beside_the_agent_is_not_told_as_unfinished_for_long(
    both: Clusters,
) -> None:
    """One that took up what the agent died of, while it started again."""
    journals = both.base / "agent-oslo" / "journal"
    journal = begin(journals, "failover", {"to": "oslo"}, ["assess"], SystemClock())
    await journal.sync()
    async with agent(both, "oslo") as running:
        await until(lambda: running.board.unfinished is not None)
        with hold(both.base / "agent-oslo" / "lock", "failover to oslo", "now"):
            journal.append(Kind.CLOSED, {"outcome": "completed"})
            await journal.sync()
        journal.close()
        await until(lambda: running.board.unfinished is None, 5)
        assert running.board.last_procedure is not None and running.board.last_procedure.id == journal.path.stem
    shutil.rmtree(journals)
