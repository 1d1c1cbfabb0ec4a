"""Each answer of the condition is proven by breaking exactly that on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import secondsite.database.condition as module
from secondsite import process
from secondsite.database.condition import Condition, condition
from secondsite.database.connect import connect, in_thread, local
from secondsite.errors import SecondsiteError
from tests.integration.agent_pair import until
from tests.integration.database_clusters import Pair, pair


@pytest.fixture(scope="module")
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


async def seen(hosts: Pair) -> Condition:
    found = await condition(hosts.nodes["oslo"].cluster, time.time())
    assert found is not None
    return found


def sql(hosts: Pair, *statements: str) -> None:
    with local(hosts.nodes["oslo"].cluster) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def test_a_healthy_server_gives_nothing_to_find(hosts: Pair) -> None:
    found = await seen(hosts)
    for what in (
        found.collations, found.extensions, found.prepared, found.expiries, found.logical.unmarked, found.settings_held
    ):  # fmt: skip
        assert what == ()
    assert found.archive_failed_at is None and found.archive_waiting == 0 and found.apply_delay in ("0", "0ms")
    assert found.inodes_free is None or found.inodes_free > 0


async def test_a_server_that_is_down_gives_no_condition(hosts: Pair) -> None:
    assert await condition(hosts.nodes["bergen"].cluster, time.time()) is None


async def test_indexes_built_with_other_collation_rules(hosts: Pair) -> None:
    sql(hosts, "CREATE DATABASE moved LOCALE 'C.UTF-8' TEMPLATE template0")
    sql(hosts, "UPDATE pg_database SET datcollversion = '2.28' WHERE datname = 'moved'")
    (found,) = (await seen(hosts)).collations
    assert found[:2] == ("moved", "2.28") and found[2] != "2.28"
    sql(hosts, "DROP DATABASE moved")


async def test_an_index_with_a_collation_of_its_own_that_sorts_otherwise_here(hosts: Pair) -> None:
    """Another ICU moves only these: the database's own version says nothing. One that no index uses does not count."""
    sql(
        hosts,
        'CREATE TABLE people (name text COLLATE "de-x-icu" PRIMARY KEY)',
        "UPDATE pg_collation SET collversion = '1.0' WHERE collname IN ('de-x-icu', 'fr-x-icu')",
    )
    (found,) = (await seen(hosts)).collations
    assert found[:2] == ("postgres, collation de-x-icu,", "1.0") and found[2] not in (None, "1.0")
    sql(hosts, "DROP TABLE people")
    assert (await seen(hosts)).collations == ()
    actual = "pg_collation_actual_version(oid)"
    sql(hosts, f"UPDATE pg_collation SET collversion = {actual} WHERE collname IN ('de-x-icu', 'fr-x-icu')")


async def test_an_extension_whose_files_are_not_on_this_host(hosts: Pair) -> None:
    sql(hosts, "CREATE EXTENSION pg_trgm", "UPDATE pg_extension SET extname = 'postgis' WHERE extname = 'pg_trgm'")
    assert (await seen(hosts)).extensions == ("postgres: postgis",)
    sql(hosts, "UPDATE pg_extension SET extname = 'pg_trgm' WHERE extname = 'postgis'", "DROP EXTENSION pg_trgm")


async def test_a_library_that_is_not_on_this_host_though_the_catalog_has_its_functions(hosts: Pair) -> None:
    with local(hosts.nodes["oslo"].cluster) as connection:
        (own,) = connection.execute("SELECT setting FROM pg_config WHERE name = 'PKGLIBDIR'").fetchone() or ("",)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copied = Path(folder) / "own.so"
        shutil.copy(Path(own) / "fuzzystrmatch.so", copied)
        sql(hosts, f"CREATE FUNCTION sounds(text) RETURNS text LANGUAGE C STRICT AS '{folder}/own', 'soundex'")
        assert (await seen(hosts)).extensions == ()
        copied.unlink()
        assert (await seen(hosts)).extensions == (f"postgres: library {folder}/own",)
    sql(hosts, "DROP FUNCTION sounds")


async def test_an_extension_that_is_older_on_this_host_than_the_databases_use(hosts: Pair) -> None:
    sql(hosts, "CREATE EXTENSION pg_trgm", "UPDATE pg_extension SET extversion = '99.1' WHERE extname = 'pg_trgm'")
    assert (await seen(hosts)).extensions == ("postgres: pg_trgm 99.1",)
    oldest = "SELECT min(source) FROM pg_extension_update_paths('pg_trgm')"
    sql(hosts, f"UPDATE pg_extension SET extversion = ({oldest}) WHERE extname = 'pg_trgm'")
    assert (await seen(hosts)).extensions == (), "a newer package serves what it can update from"
    sql(hosts, "DROP EXTENSION pg_trgm")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that PostgreSQL may fill: pytest's own lies below one that only its user may enter."""
    base = Path(tempfile.mkdtemp(prefix="ss-", dir="/tmp"))
    try:
        base.chmod(0o755)
        folder = base / "fast"
        folder.mkdir()
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        yield folder
    finally:
        shutil.rmtree(base)


async def test_a_tablespace_with_its_room_and_one_whose_folder_is_gone(hosts: Pair, place: Path) -> None:
    gone = place.with_name("gone")
    sql(hosts, f"CREATE TABLESPACE fast LOCATION '{place}'")
    try:
        (found,) = (await seen(hosts)).tablespaces
        assert (found.name, found.path) == ("fast", str(place)) and found.free_bytes
        place.rename(gone)
        assert (await seen(hosts)).tablespaces[0].free_bytes is None
    finally:
        if gone.exists():
            gone.rename(place)
        sql(hosts, "DROP TABLESPACE fast")


async def test_a_line_with_which_a_reload_applies_nothing(hosts: Pair) -> None:
    """pg_reload_conf() says true all the same, and ALTER SYSTEM succeeds."""
    file = hosts.nodes["oslo"].cluster.config / "postgresql.conf"
    kept = file.read_text()
    file.write_text(kept + "\nno_such_setting = 1\n")
    try:
        sql(hosts, "ALTER SYSTEM SET work_mem = '5MB'", "SELECT pg_reload_conf()")
        await asyncio.sleep(0.5)
        with local(hosts.nodes["oslo"].cluster) as connection:
            assert connection.execute("SHOW work_mem").fetchone() == ("4MB",)
        (held,) = (await seen(hosts)).settings_held
    finally:
        file.write_text(kept)
    assert str(file) in held and "unrecognized configuration parameter" in held
    sql(hosts, "ALTER SYSTEM SET max_connections = 300")
    assert (await seen(hosts)).settings_held == (), "what waits for a restart holds nothing else up"
    sql(hosts, "ALTER SYSTEM RESET max_connections", "ALTER SYSTEM RESET work_mem", "SELECT pg_reload_conf()")


async def test_a_file_that_alter_system_cannot_write(hosts: Pair) -> None:
    file = hosts.nodes["oslo"].cluster.data / "postgresql.auto.conf"
    mode = file.stat().st_mode
    file.chmod(0o400)
    try:
        with pytest.raises(SecondsiteError):
            sql(hosts, "ALTER SYSTEM SET work_mem = '5MB'")
        (held,) = (await seen(hosts)).settings_held
    finally:
        file.chmod(mode)
    assert f"may not write {file}" in held
    assert (await seen(hosts)).settings_held == ()


async def test_a_transaction_that_stays_open(hosts: Pair) -> None:
    other = connect(hosts.nodes["oslo"].cluster)
    with other.transaction():
        other.execute("SELECT 1")
        await asyncio.sleep(1.1)
        assert 1 < (await seen(hosts)).transaction_seconds < 10
    other.close()
    assert (await seen(hosts)).transaction_seconds == 0


async def test_a_long_statement_ends_with_the_task_that_waits_for_it(hosts: Pair) -> None:
    async def wait() -> None:
        with local(hosts.nodes["oslo"].cluster) as connection:
            connection.execute("SET statement_timeout = 0")
            await in_thread(connection, "SELECT pg_sleep(60)")

    task = asyncio.create_task(wait())
    with local(hosts.nodes["oslo"].cluster) as other:
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        await until(lambda: other.execute(sleeping).fetchone() == (1,))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 4)
        assert other.execute(sleeping).fetchone() == (0,)


async def test_a_login_that_ends_soon(hosts: Pair) -> None:
    sql(hosts, "CREATE ROLE clerk LOGIN VALID UNTIL 'tomorrow'", "CREATE ROLE chief LOGIN VALID UNTIL '2099-01-01'")
    (found,) = (await seen(hosts)).expiries
    assert found.what == "the password of role clerk" and found.at > time.time() - 1
    sql(hosts, "DROP ROLE clerk", "DROP ROLE chief")


async def test_prepared_transactions_archiving_logical_slots_and_a_certificate(
    hosts: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    oslo = hosts.nodes["oslo"]
    data = oslo.cluster.data
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=oslo"]
    await process.run([*made, "-keyout", str(data / "server.key"), "-out", str(data / "server.crt")], timeout=30)
    for name in ("server.key", "server.crt"):
        _give_to_postgres(data / name)
    with (oslo.cluster.config / "postgresql.conf").open("a") as more:
        more.write("max_prepared_transactions = 5\narchive_mode = on\narchive_command = 'false'\nwal_level = logical\n")
        more.write("ssl = on\n")
    await oslo.control.restart()
    sql(hosts, "CREATE TABLE paid (id int)", "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')")
    with contextlib.closing(connect(oslo.cluster)) as own:
        for statement in ("BEGIN", "INSERT INTO paid VALUES (1)", "PREPARE TRANSACTION 'pay-1'"):
            own.execute(statement)
    assert (await seen(hosts)).prepared == (), "one that is a second old is none that was forgotten"
    sql(hosts, "SELECT pg_switch_wal()")
    deadline = time.monotonic() + 30
    while (await seen(hosts)).archive_failed_at is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    found = await seen(hosts)
    assert found.archive_waiting >= 1
    assert found.logical.unmarked == ("cdc",) and found.logical.marked == ()
    monkeypatch.setattr(module, "_STATE", module._STATE.replace("interval '1 minute'", "interval '0'"))
    assert (await seen(hosts)).prepared == ("pay-1",)
    (ends,) = found.expiries
    assert ends.what.endswith("server.crt") and ends.at == pytest.approx(time.time() + 9 * 86400, abs=120)


def _give_to_postgres(path: Path) -> None:
    path.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
