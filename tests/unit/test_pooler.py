"""PgBouncer's pure parts: our file, its protocol, who goes on where, and what readiness says."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from secondsite.database import door as database_door
from secondsite.database.hba import body
from secondsite.database.pooler import act, include
from secondsite.database.pooler.act import Shut, admits
from secondsite.database.pooler.state import Pooled, PoolerState
from secondsite.database.pooler.wire import Line, Refused
from secondsite.errors import RetryableError
from secondsite.events import Event, Note
from secondsite.objectives.checks import pooler as checks
from secondsite.objectives.finding import Judged
from secondsite.objectives.situation import Situation
from secondsite.recovery import pooling
from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.failover.plan import kinds as failover_kinds
from secondsite.recovery.switchover.plan import kinds as switchover_kinds
from secondsite.spec import Pooler, Spec, paths
from tests.unit.objectives_worlds import primary, site, spec, standby
from tests.unit.test_recovery_failover import context as failover_context

POOLED: Spec = spec(pooler={"databases": ["shop", "stock"], "options": "pool_size=20"})
BARE: Spec = spec()
SHOP = Pooled("shop", "127.0.0.1", "5432", paused=False, mode="transaction")
STOCK = replace(SHOP, name="stock")
WELL = PoolerState((SHOP, STOCK), query_wait_seconds=120)


def test_our_file_has_a_line_for_each_database_and_says_where_it_points() -> None:
    text = include.render(POOLED, "10.10.0.2")
    assert "shop = host=10.10.0.2 port=5432 dbname=shop pool_size=20\n" in text
    assert "stock = host=10.10.0.2 port=5432 dbname=stock pool_size=20\n" in text
    with pytest.raises(ValueError, match="no pooler"):
        include.render(BARE, "10.10.0.2")


def test_each_site_looks_for_the_primary_here_or_through_the_tunnel() -> None:
    assert include.address_of(POOLED, "oslo", "oslo") == "127.0.0.1"
    assert include.address_of(POOLED, "oslo", "bergen") == "10.10.0.2"
    assert include.address_of(POOLED, "bergen", "oslo") == "10.10.0.1"
    assert include.include_line(Path("/etc/pgbouncer/pgbouncer.ini")) == "%include /etc/pgbouncer/secondsite.ini"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[databases]\nshop = host=/run\n", ("shop",)),
        ('[databases]\n"stock"=host=/run\nother = host=x\n', ("stock",)),
        ("[databases]\n;shop = host=/run\n# stock = x\n* = host=x\n", ()),
        ("[pgbouncer]\nshop = 1\n[users]\nstock = pool_mode=session\n", ()),
    ],
)
def test_a_database_that_is_defined_elsewhere_as_well_is_found(text: str, found: tuple[str, ...]) -> None:
    assert include.defined_twice(text, ("shop", "stock")) == found


def test_the_database_lets_the_peers_pooler_in_where_there_is_one() -> None:
    assert [line.split() for line in body(POOLED, "10.10.0.2").splitlines()][-2:] == [
        ["host", "shop", "all", "10.10.0.2/32", "scram-sha-256"],
        ["host", "stock", "all", "10.10.0.2/32", "scram-sha-256"],
    ]
    assert "shop" not in body(BARE, "10.10.0.2")


def test_a_procedure_has_a_step_for_the_pooler_only_where_there_is_one() -> None:
    for kinds in (switchover_kinds, failover_kinds):
        with_it, without = ([step.name for step in kinds(one)] for one in (POOLED, BARE))
        assert "pooler" not in without
        assert [name for name in with_it if name != "pooler"] == without
        assert with_it.index("pooler") == with_it.index("promote") + 1


@pytest.mark.parametrize(
    ("fenced", "writable", "peer_writable", "goes_on"),
    [
        (False, True, False, "oslo"),  # it was taken back, or a person has opened this site
        (True, True, False, None),  # the writers are stopped for a move that is not over
        (True, False, False, None),  # stopped, and nobody has taken over
        (True, False, True, "bergen"),  # it has taken over, and could not tell
        (False, False, True, "bergen"),  # this site follows it already
        (False, False, False, None),
    ],
)
def test_clients_that_were_made_to_wait_go_on_where_somebody_serves_them(
    fenced: bool, writable: bool, peer_writable: bool, goes_on: str | None
) -> None:
    found = pooling.due("oslo", "bergen", fenced=fenced, writable=writable, peer_writable=peer_writable)
    assert found == goes_on


def test_it_is_well_only_where_everybody_is_sent_to_the_right_place() -> None:
    assert pooling.well(WELL, "127.0.0.1")
    assert not pooling.well(WELL, "10.10.0.2")
    assert not pooling.well(replace(WELL, databases=(replace(SHOP, paused=True), STOCK)), "127.0.0.1")
    assert not pooling.well(replace(WELL, missing=("stock",)), "127.0.0.1")
    assert not pooling.well(PoolerState(reason="silent"), "127.0.0.1")


def judged(oslo: PoolerState | None, bergen: PoolerState | None) -> Judged:
    views = {"oslo": site("oslo", primary(), pooler=oslo), "bergen": site("bergen", standby(), pooler=bergen)}
    return Judged(Situation(POOLED, views), (), None, None)  # type: ignore[arg-type]


THERE = PoolerState((replace(SHOP, host="10.10.0.1"), replace(STOCK, host="10.10.0.1")), query_wait_seconds=120)


def told(check: Callable[..., object], oslo: PoolerState | None, bergen: PoolerState | None) -> list[tuple[str, str]]:
    return [(problem.site, problem.message) for problem in check(judged(oslo, bergen))]  # type: ignore[attr-defined]


def test_readiness_has_nothing_to_say_of_a_sound_pair_and_of_no_pooler() -> None:
    for check in (checks.answers, checks.target, checks.waits):
        assert told(check, WELL, THERE) == []
        assert told(check, None, None) == []


@pytest.mark.parametrize(
    ("check", "oslo", "words"),
    [
        (checks.answers, PoolerState(reason="PgBouncer does not answer"), "does not answer"),
        (checks.answers, replace(WELL, included=False), "does not include our file"),
        (checks.answers, replace(WELL, databases=(SHOP,), missing=("stock",)), "knows no database stock"),
        (checks.answers, replace(WELL, databases=(replace(SHOP, paused=True), STOCK)), "is paused"),
        (checks.target, replace(WELL, databases=(replace(SHOP, host="10.10.0.2"), STOCK)), "clients of shop elsewhere"),
        (checks.waits, replace(WELL, databases=(replace(SHOP, mode="session"), STOCK)), "shop in sessions"),
        (checks.waits, replace(WELL, query_wait_seconds=5), "query_wait_timeout is 5 s"),
    ],
)
def test_readiness_says_what_is_wrong_with_it(check: Callable[..., object], oslo: PoolerState, words: str) -> None:
    found = told(check, oslo, THERE)
    assert [where for where, _ in found] == ["oslo"]
    assert words in found[0][1]


def test_a_client_may_wait_for_ever_where_pgbouncer_has_no_limit() -> None:
    assert told(checks.waits, replace(WELL, query_wait_seconds=0), THERE) == []


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def row(*values: str) -> bytes:
    parts = b"".join(struct.pack("!i", len(value)) + value.encode() for value in values)
    return message(b"D", struct.pack("!h", len(values)) + parts)


def columns(*names: str) -> bytes:
    return message(b"T", struct.pack("!h", len(names)) + b"".join(name.encode() + b"\0" + bytes(18) for name in names))


READY = message(b"Z", b"I")
ERROR = message(b"E", b"SERROR\0C08P01\0Mpooler is not paused/suspended\0\0")


def line(answers: bytes, *, seconds: float = 2.0) -> Line:
    """A line whose other end has said these answers already, and says no more."""
    ours, theirs = socket.socketpair()
    theirs.sendall(answers)
    found = Line(ours, time.monotonic() + seconds)
    found._kept = theirs  # type: ignore[attr-defined]  # or it would be closed
    return found


def test_rows_come_by_their_columns_names_and_a_null_is_empty() -> None:
    null = message(b"D", struct.pack("!h", 2) + struct.pack("!i", 4) + b"shop" + struct.pack("!i", -1))
    with line(columns("name", "pool_mode") + row("stock", "session") + null + message(b"C", b"SHOW\0") + READY) as one:
        assert one.ask("SHOW DATABASES") == [
            {"name": "stock", "pool_mode": "session"},
            {"name": "shop", "pool_mode": ""},
        ]


def test_an_error_is_told_in_its_own_words_once_the_answer_is_complete() -> None:
    with line(ERROR + READY + columns("a") + row("1") + READY) as one:
        with pytest.raises(Refused, match="not paused"):
            one.ask("RESUME")
        assert one.ask("SHOW A") == [{"a": "1"}]


def test_silence_ends_at_the_deadline() -> None:
    with line(b"", seconds=0.05) as one, pytest.raises(TimeoutError):
        one.ask("PAUSE")


def test_a_console_that_asks_for_a_password_refuses_us() -> None:
    with line(message(b"R", struct.pack("!i", 5) + b"salt")) as one, pytest.raises(Refused, match="password"):
        one.until_ready()


def refusal(code: str, told: str) -> bytes:
    return message(b"E", f"SFATAL\0C{code}\0M{told}\0\0".encode())


@contextlib.contextmanager
def door(answer: bytes) -> Iterator[int]:
    """The port of a server that says this to whoever knocks."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):  # it is closed at the end
                while True:
                    taken, _ = server.accept()
                    with taken:
                        taken.recv(1000)
                        taken.sendall(answer)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


REJECTS = refusal("28000", 'pg_hba.conf rejects connection for host "10.10.0.1", user "x", database "y", no encryption')
NO_ENTRY = refusal("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "x", database "y", no encryption')


@pytest.mark.parametrize(
    "answer",
    [
        message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"),
        NO_ENTRY,
        refusal("28000", 'kein pg_hba.conf-Eintrag für Host "127.0.0.1", Benutzer "x", Datenbank "y", keine'),
        refusal("28000", 'role "x" does not exist'),
        refusal("53300", "sorry, too many clients already"),
    ],
)
def test_a_server_that_answers_serves_whatever_it_thinks_of_who_knocks(answer: bytes) -> None:
    with door(answer) as port:
        assert admits("127.0.0.1", port, "shop") is None


@pytest.mark.parametrize(
    ("answer", "shut"),
    [
        (REJECTS, Shut(REJECTS.split(b"\0M")[1].rstrip(b"\0").decode(), by_line=True)),
        (refusal("57P03", "the database system is starting up"), Shut("the database system is starting up")),
        (refusal("57P03", "das Datenbanksystem startet"), Shut("das Datenbanksystem startet")),
        (b"", Shut("the connection was closed")),
    ],
)
def test_a_server_that_starts_and_a_closed_door_are_not_yet(answer: bytes, shut: Shut) -> None:
    with door(answer) as port:
        assert admits("127.0.0.1", port, "shop") == shut


def described(tmp_path: Path, port: int = 5432) -> Spec:
    """A file whose PgBouncer is at a place of its own, with our line in its configuration; nobody listens there."""
    config = tmp_path / "pgbouncer.ini"
    config.write_text(f"{include.include_line(config)}\n")
    found = spec(pooler={"databases": ["shop"], "socket": str(tmp_path), "config": str(config)})
    return found.model_copy(update={"database": found.database.model_copy(update={"port": port})})


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RUN", tmp_path)
    monkeypatch.setattr(paths, "LOCK", tmp_path / "lock")
    monkeypatch.setattr(paths, "FENCED", tmp_path / "fenced")
    monkeypatch.setattr(paths, "POOLER_PAUSED", tmp_path / "mark")
    return tmp_path / "mark"


def resumed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where clients are sent from now on, instead of asking a PgBouncer that nobody runs."""
    sent: list[str] = []

    def note(spec: Spec, pooler: Pooler, address: str) -> int:
        sent.append(address)
        return 0

    monkeypatch.setattr(act, "resume", note)
    return sent


async def test_clients_are_let_go_and_it_is_told_where_the_door_stays_closed(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = resumed(monkeypatch)
    mark.touch()
    with door(REJECTS) as port:
        done = await pooling.go_on(described(tmp_path, port), "oslo", "oslo", seconds=0.05)
    assert sent == ["127.0.0.1"] and not mark.exists()
    assert "may refuse them: pg_hba.conf rejects" in done["warning"]
    with door(NO_ENTRY) as port:
        assert await pooling.go_on(described(tmp_path, port), "oslo", "oslo") == {"address": "127.0.0.1", "cut": 0}


@pytest.mark.parametrize(("ours", "goes_on"), [(True, None), (False, "oslo")])
async def test_nobody_waits_for_a_door_that_is_closed_by_somebody_elses_line(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, ours: bool, goes_on: str | None
) -> None:
    resumed(monkeypatch)
    monkeypatch.setattr(pooling, "look", lambda _: asyncio.sleep(0, WELL))
    monkeypatch.setattr(database_door, "is_shut", lambda _: ours)
    mark.touch()
    with door(REJECTS) as port:
        found = await pooling.keep(described(tmp_path, port), "oslo", writable=True, peer_writable=False)
    assert found == goes_on
    assert mark.exists() is ours


async def test_a_pooler_that_is_down_holds_nobody_and_is_sent_on_later(tmp_path: Path, mark: Path) -> None:
    with door(NO_ENTRY) as port:
        done = await pooling.go_on(described(tmp_path, port), "oslo", "oslo")
    assert "does not answer" in done["warning"]
    assert "host=127.0.0.1" in (tmp_path / "secondsite.ini").read_text(), "it reads this when it starts"
    assert mark.exists(), "the agent's reason to do the rest"


async def test_a_failover_ends_well_and_tells_it_where_the_pooler_is_down(tmp_path: Path, mark: Path) -> None:
    told: list[Event] = []
    with door(NO_ENTRY) as port:
        context = replace(failover_context(), spec=described(tmp_path, port))
        await SendClientsHere(context).apply(told.append)
    assert [(note.level, note.site) for note in told if isinstance(note, Note)] == [("warning", context.site)]


@pytest.mark.parametrize(("slug", "stays"), [("pooler-busy", False), ("pooler-unreachable", True)])
async def test_the_mark_goes_only_where_the_clients_were_seen_to_go_on(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, slug: str, stays: bool
) -> None:
    def fail(_: Pooler) -> float:
        raise RetryableError("no", slug=slug)

    monkeypatch.setattr(act, "pause", fail)
    with pytest.raises(RetryableError):
        await pooling.hold(described(tmp_path))
    assert mark.exists() is stays


def test_a_door_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert admits("127.0.0.1", port, "shop") is not None
