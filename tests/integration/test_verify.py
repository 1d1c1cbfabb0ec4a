"""A verification against two real clusters: never an alarm under writes, and each real fault found where it is."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from secondsite.agent.samples import remembered
from secondsite.clock import SystemClock
from secondsite.database.amcheck import Amcheck
from secondsite.database.control import SystemdControl
from secondsite.database.node import Node
from secondsite.database.verify.model import Outcome, Range
from secondsite.errors import FinalError, RetryableError
from secondsite.events import Event, Progress
from secondsite.verification import ranges as ranges_module
from secondsite.verification import record, tables
from secondsite.verification.order import Pair
from secondsite.verification.run import Verification, Wanted
from secondsite.verification.side import Here
from tests.integration.agent_pair import VERSION, Clusters, Throwaway, agent, clusters, specification, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the owner's part needs root")
MADE = (
    "CREATE TABLE orders (id bigserial PRIMARY KEY, customer text, total numeric, at timestamptz DEFAULT now())",
    "INSERT INTO orders (customer, total) SELECT 'customer ' || n, n / 3.0 FROM generate_series(1, 12000) n",
    "CREATE TABLE stock (shop text, item text, amount float8, PRIMARY KEY (shop, item))",
    "INSERT INTO stock SELECT 'Å' || n % 7, 'it''em ' || n, n / 7.0 FROM generate_series(1, 3000) n",
    "CREATE TABLE log (at timestamptz, line text)",
    "INSERT INTO log SELECT now(), 'line ' || n FROM generate_series(1, 500) n",
    "CREATE TABLE jobs (id bigserial PRIMARY KEY, body text)",
    "CREATE TABLE ledger (id bigint PRIMARY KEY, who text)",
    "INSERT INTO ledger SELECT n, CASE n WHEN 4321 THEN 'Solveig Sound' ELSE 'x' END FROM generate_series(1, 9000) n",
    "CREATE UNLOGGED TABLE cache (id int PRIMARY KEY)",
    "INSERT INTO cache VALUES (1)",
    "CREATE EXTENSION amcheck",
    "INSERT INTO secondsite.heartbeat VALUES ('oslo', now(), 1)",
    "ANALYZE",
)


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        for statement in MADE:
            pair.oslo.sql(statement)
        yield pair


def verification(both: Clusters, tmp_path: Path, events: list[Event] | None = None, **database: object) -> Verification:
    spec = specification(database={"cluster": f"{VERSION}/main", "port": 15432} | database)
    pair = Pair(Here(spec, "oslo", both.oslo), Here(spec, "bergen", both.bergen), behind_seconds=10, settle_seconds=1)
    emit = (events if events is not None else []).append
    known = partial(remembered, both.base / "agent-bergen" / "samples.sqlite")
    return Verification(spec, pair, both.bergen, SystemClock(), known, tmp_path / "verified.json", emit)


@contextmanager
def beating(cluster: Throwaway) -> Iterator[None]:
    with _repeating(cluster, 0.2, "UPDATE secondsite.heartbeat SET at = clock_timestamp()"):
        yield


@contextmanager
def writing(cluster: Throwaway) -> Iterator[None]:
    """What false alarms are made of: rows that come and go, counters, back and forth, and a long transaction."""
    with (
        _repeating(cluster, 0.002, "INSERT INTO jobs (body) VALUES ('x')", "DELETE FROM jobs"),
        _repeating(cluster, 0.002, "UPDATE orders SET total = -total WHERE id % 9973 = 0",
                   "SET synchronous_commit = off", "INSERT INTO orders (customer, total) VALUES ('new', 1)"),
        _repeating(cluster, 0.002, "BEGIN", "UPDATE stock SET amount = amount + 1 WHERE item = 'it''em 5'",
                   "SELECT pg_sleep(0.02)", "ROLLBACK", "UPDATE stock SET amount = amount - 1 WHERE item = 'it''em 5'"),
        _repeating(cluster, 0.1, "VACUUM orders", "INSERT INTO log VALUES (now(), 'more')"),
    ):  # fmt: skip
        yield


@contextmanager
def _repeating(cluster: Throwaway, pause: float, *statements: str) -> Iterator[None]:
    enough, failed = threading.Event(), []

    def work() -> None:
        try:
            with psycopg.connect(
                host=str(cluster.socket_directory),
                port=cluster.port,
                dbname="postgres",
                user="postgres",
                autocommit=True,
            ) as connection:
                while not enough.is_set():
                    for statement in statements:
                        connection.execute(statement.encode())
                    time.sleep(pause)
        except psycopg.Error as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
    assert not failed, failed


async def test_nothing_is_different_while_rows_come_and_go(both: Clusters, tmp_path: Path) -> None:
    events: list[Event] = []
    one = verification(both, tmp_path, events)
    with beating(both.oslo), writing(both.oslo):
        for full in (False, True):
            result = await one.run(Wanted(only="database", seed=7, full=full))
            found = {check["check"]: check for check in result.document["checks"]}
            wrong = [check for check in found.values() if check["outcome"] in ("different", "unknown")]
            assert not wrong, wrong
            assert found["table postgres: public.orders"]["evidence"]["ranges"]["equal"] >= 1
            assert found["amcheck postgres"]["outcome"] in ("equal", "busy")
    assert "table postgres: public.cache" not in found, "an unlogged table is empty at a standby, by design"
    assert found["table postgres: public.log"]["message"].endswith("as there is no primary key to compare by")
    assert any(isinstance(event, Progress) and event.done > 1 for event in events)
    assert result.exit_code == 0


async def test_at_rest_every_row_is_compared(both: Clusters, tmp_path: Path) -> None:
    with beating(both.oslo):
        result = await verification(both, tmp_path).run(Wanted(only="database", full=True))
        found = {check["check"]: check for check in result.document["checks"]}
    orders = both.oslo.sql("SELECT count(*) FROM orders")[0]
    assert found["table postgres: public.orders"]["evidence"]["rows"] == orders
    assert found["table postgres: public.stock"]["evidence"]["rows"] == 3000
    assert result.document["outcome"] == "equal" and result.exit_code == 0


async def test_a_commit_that_the_standby_shows_before_the_primary_is_no_difference(
    both: Clusters, tmp_path: Path
) -> None:
    """It waits for a synchronous standby that is not there: durable and replayed, and invisible at the primary."""
    one = verification(both, tmp_path)
    both.oslo.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    both.oslo.sql("SELECT pg_reload_conf()")
    await asyncio.sleep(0.3)
    waiting = threading.Thread(target=lambda: both.oslo.sql("INSERT INTO orders (customer, total) VALUES ('waits', 1)"))
    waiting.start()
    try:
        await until(lambda: both.bergen.sql("SELECT count(*) FROM orders WHERE customer = 'waits'") == (1,))
        assert both.oslo.sql("SELECT count(*) FROM orders WHERE customer = 'waits'") == (0,)
        (table,) = [each for each in await tables.known(one.pair) if each.name == "orders"]
        newest = both.bergen.sql("SELECT max(id) FROM orders")[0]
        (compared,) = await ranges_module.compare(one.pair, [(table, Range((str(newest - 50),)))])
        assert compared.outcome is Outcome.BUSY
        assert compared.error is not None and "synchronous" in compared.error.message
    finally:
        both.oslo.sql("ALTER SYSTEM RESET synchronous_standby_names")
        both.oslo.sql("SELECT pg_reload_conf()")
        waiting.join()


async def test_a_paused_replay_is_told_as_behind_and_stays_as_it_was(both: Clusters, tmp_path: Path) -> None:
    both.bergen.sql("SELECT pg_wal_replay_pause()")
    both.oslo.sql("INSERT INTO orders (customer, total) VALUES ('later', 1)")
    one = verification(both, tmp_path)
    short = Verification(one.spec, Pair(one.pair.primary, one.pair.standby, 0.5), one.cluster, one.clock, one.samples)
    try:
        with pytest.raises(RetryableError) as refused:
            await short.run(Wanted(only="database"))
        assert refused.value.slug == "behind"
        assert both.bergen.sql("SELECT pg_is_wal_replay_paused()") == (True,)
    finally:
        both.bergen.sql("SELECT pg_wal_replay_resume()")


async def test_the_newest_row_and_the_answers_that_the_file_names(both: Clusters, tmp_path: Path) -> None:
    wanted = [
        {"database": "postgres", "table": "orders", "column": "id"},
        {"database": "postgres", "sql": "SELECT count(*) FROM orders WHERE total IS NULL", "expect": 0, "at": "both"},
        {"database": "postgres", "sql": "SELECT amount > 0 FROM stock LIMIT 1", "expect": False},
        {"database": "postgres", "sql": "SELECT pg_sleep(60)", "expect": "", "timeout": "1s"},
        {"database": "postgres", "sql": "DELETE FROM orders RETURNING id", "expect": 1, "at": "both"},
        {"database": "postgres", "sql": "COMMIT; DELETE FROM orders", "expect": 1, "at": "both"},
    ]
    before = both.oslo.sql("SELECT count(*) FROM orders")
    with beating(both.oslo):
        result = await verification(both, tmp_path, verify=wanted).run(Wanted(only="database", seed=1))
    found = {check["check"]: check for check in result.document["checks"]}
    newest = str(both.oslo.sql("SELECT max(id) FROM orders")[0])
    assert newest in found["newest row of postgres: public.orders by id"]["message"]
    outcomes = {name: check["outcome"] for name, check in found.items() if check["kind"] in ("sql", "newest")}
    assert outcomes == {
        "newest row of postgres: public.orders by id": "equal",
        "sql 2 in postgres at oslo": "equal",
        "sql 2 in postgres at bergen": "equal",
        "sql 3 in postgres at bergen": "different",
        "sql 4 in postgres at bergen": "busy",
        "sql 5 in postgres at oslo": "unknown",
        "sql 5 in postgres at bergen": "unknown",
        "sql 6 in postgres at oslo": "unknown",
        "sql 6 in postgres at bergen": "unknown",
    }
    assert result.exit_code == 1 and found["sql 3 in postgres at bergen"]["message"] == "true where false is expected"
    assert both.oslo.sql("SELECT count(*) FROM orders") == before, "nothing that is asked can write"


async def test_a_row_that_was_changed_behind_the_standbys_back_is_found_alone(both: Clusters, tmp_path: Path) -> None:
    """The row's bytes are changed in the standby's file, as a failing disk would without checksums."""
    one = verification(both, tmp_path)
    # No page image of a later change may heal the page: what VACUUM has to do there is done, and checkpointed.
    for statement in ("VACUUM ledger", "CHECKPOINT"):
        both.oslo.sql(statement)
    target = both.oslo.sql("SELECT pg_current_wal_lsn()::text")[0]
    await until(lambda: both.bergen.sql(f"SELECT pg_last_wal_replay_lsn() >= '{target}'") == (True,))
    file = both.bergen.data / str(both.bergen.sql("SELECT pg_relation_filepath('ledger')")[0])
    changed_on_disk(both.bergen, file, b"Solveig Sound", b"Solveig Swund")
    with beating(both.oslo), writing(both.oslo):
        result = await one.run(Wanted(only="database", seed=4, tables=("ledger", "orders", "jobs")))
        found = {check["check"]: check for check in result.document["checks"]}
        wrong = found["table postgres: public.ledger"]
        assert wrong["outcome"] == "different" and result.exit_code == 1, wrong["message"]
        (part,) = [each for each in wrong["evidence"]["looked_at"] if each["outcome"] == "different"]
        assert part["changed"] == [["4321"]] and "missing" not in part and "extra" not in part
        others = [name for name, check in found.items() if check["outcome"] in ("different", "unknown")]
        assert others == ["table postgres: public.ledger"]
        assert "4321" in wrong["message"] and "secondsite apply" in wrong["hint"]
        kept = record.verified(record.load(one.record_file))
        assert kept is not None and [each.name for each in kept.failed] == ["table postgres: public.ledger"]
        assert (await one.run(Wanted(only="database", full=True))).exit_code == 1
    changed_on_disk(both.bergen, file, b"Solveig Swund", b"Solveig Sound")
    with beating(both.oslo):
        assert (await one.run(Wanted(only="database", seed=4))).exit_code == 0
    kept = record.verified(record.load(one.record_file))
    assert kept is not None and not kept.failed, "the range that was wrong was looked at again"


async def test_bytes_that_flip_in_an_index_are_found_by_amcheck(both: Clusters, tmp_path: Path) -> None:
    both.oslo.sql("CHECKPOINT")
    target = both.oslo.sql("SELECT pg_current_wal_lsn()::text")[0]
    await until(lambda: both.bergen.sql(f"SELECT pg_last_wal_replay_lsn() >= '{target}'") == (True,))
    file = both.bergen.data / str(both.bergen.sql("SELECT pg_relation_filepath('stock_pkey')")[0])
    both.bergen.sql("CHECKPOINT")
    both.bergen.control("stop", "-m", "fast")
    sound = file.read_bytes()
    with file.open("r+b") as index:
        index.seek(8192 + 24)  # the line pointers of the first page after the meta page
        first, second = index.read(4), index.read(4)
        assert first != second
        index.seek(8192 + 28)
        index.write(index_third(sound))
        index.write(second)
    both.bergen.start()
    try:
        with beating(both.oslo):
            result = await verification(both, tmp_path).run(Wanted(only="database", tables=("stock",)))
        found = {check["check"]: check for check in result.document["checks"]}
        wrong = found["amcheck postgres"]
        assert wrong["outcome"] == "different", wrong
        assert "stock_pkey" in wrong["evidence"]["corruptions"][0]["where"]
        assert result.exit_code == 1
    finally:
        both.bergen.control("stop", "-m", "fast")
        file.write_bytes(sound)
        both.bergen.start()


def index_third(page: bytes) -> bytes:
    return page[8192 + 32 : 8192 + 36]


def changed_on_disk(cluster: Throwaway, file: Path, old: bytes, new: bytes) -> None:
    cluster.sql("CHECKPOINT")
    cluster.control("stop", "-m", "fast")
    try:
        found = file.read_bytes()
        assert old in found and len(old) == len(new)
        file.write_bytes(found.replace(old, new))  # what a vacuum has moved leaves its bytes behind: those, too
    finally:
        cluster.start()


async def test_the_extension_is_created_only_where_the_file_asks_for_it(both: Clusters, tmp_path: Path) -> None:
    both.oslo.sql("DROP EXTENSION amcheck")
    try:
        wanted = Wanted(only="database", seed=1, tables=("ledger",))
        with beating(both.oslo):
            silent = await verification(both, tmp_path).run(wanted)
            asked = await verification(both, tmp_path, amcheck=True).run(
                Wanted(only="database", seed=1, tables=("ledger",))
            )
        for result, code in ((silent, 0), (asked, 1)):
            (check,) = [one for one in result.document["checks"] if one["kind"] == "amcheck"]
            assert check["outcome"] == "unknown" and "is not in postgres" in check["message"]
            assert "amcheck = true" in check["hint"] and result.exit_code == code
        resource = Amcheck(Node(both.oslo, SystemdControl(both.oslo)))
        change = await resource.plan()
        assert change is not None and change.summary == "create in postgres"
        await resource.apply(change, print)
        assert await resource.plan() is None
    finally:
        both.oslo.sql("CREATE EXTENSION IF NOT EXISTS amcheck")


async def test_a_promoted_copy_with_one_row_of_its_own_is_no_standby(both: Clusters, tmp_path: Path) -> None:
    one = verification(both, tmp_path)
    swapped = Verification(one.spec, Pair(one.pair.standby, one.pair.primary), one.cluster, one.clock, one.samples)
    with pytest.raises(FinalError) as refused:
        await swapped.run(Wanted(only="database"))
    assert refused.value.slug == "verify-roles"


async def test_what_the_agents_saw_of_a_standby_that_fell_behind_and_of_nobody_looking_is_a_gap(
    both: Clusters, tmp_path: Path
) -> None:
    """The pair is real, and so is what is remembered: nothing is received for some seconds, then the agent is away."""
    one = verification(both, tmp_path)
    objectives = one.spec.objectives.model_copy(update={"rpo": 3.0})
    one = replace(one, spec=one.spec.model_copy(update={"objectives": objectives}))

    async def heartbeat() -> dict[str, object]:
        result = await one.run(Wanted(only="database", ranges=1, seed=1))
        return next(check for check in result.document["checks"] if check["check"] == "heartbeat")

    async with agent(both, "oslo"):
        async with agent(both, "bergen") as bergen:
            await until(lambda: len(bergen.board.recent) > 2 and (bergen.board.recent[-1].seconds or 9) < 3)
            (receiver,) = await asyncio.to_thread(both.bergen.sql, "SELECT pid FROM pg_stat_wal_receiver")
            os.kill(receiver, signal.SIGSTOP)
            try:
                await until(lambda: (bergen.board.recent[-1].seconds or 0) > 5)
            finally:
                os.kill(receiver, signal.SIGCONT)
            await until(lambda: (bergen.board.recent[-1].seconds or 9) < 3)
        behind = await heartbeat()
        assert behind["outcome"] == "different" and "further behind than" in str(behind["message"]), behind
        await asyncio.sleep(max(0.0, bergen.board.recent[-1].at + 8 - time.time()))
        async with agent(both, "bergen") as again:
            await until(lambda: len(again.board.recent) > 2 and (again.board.recent[-1].seconds or 9) < 3)
        found = await heartbeat()
    whys = {gap["why"] for gap in found["evidence"]["gaps"]}  # type: ignore[index]
    assert whys >= {"behind", "silent"}, found
