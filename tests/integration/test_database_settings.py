"""Settings, access, role and slot on a running primary."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from secondsite.database.connect import local
from secondsite.database.facts import from_json, to_json
from secondsite.database.gather import gather
from secondsite.database.password import Password
from secondsite.database.reader import reader
from secondsite.database.slot import drop_others
from secondsite.errors import FinalError
from tests.integration.database_clusters import Pair, ThrowawayCluster, pair


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


def shown(hosts: Pair, name: str, site: str = "oslo") -> str:
    with local(hosts.nodes[site].cluster) as connection:
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


async def test_the_running_server_follows_the_file_and_keeps_what_is_higher(hosts: Pair) -> None:
    oslo = hosts.nodes["oslo"]
    with (oslo.cluster.config / "postgresql.conf").open("a") as own:
        own.write("max_wal_senders = 33\nmax_connections = 150\n")
    await oslo.control.restart()
    await hosts.primary()
    assert "on" in (shown(hosts, "wal_log_hints"), shown(hosts, "data_checksums")), "18 has checksums by default"
    assert shown(hosts, "max_wal_senders") == "33"
    assert shown(hosts, "max_slot_wal_keep_size") == "953MB"
    await hosts.standby()
    assert shown(hosts, "max_connections", "bergen") == "150"


async def test_a_standby_is_raised_when_its_primary_is(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    oslo = hosts.nodes["oslo"]
    with (oslo.cluster.config / "postgresql.conf").open("a") as own:
        own.write("max_connections = 170\n")
    assert await hosts.standby() == (), "the primary does not run with it yet"
    facts = await gather(hosts.spec, "oslo", node=oslo)
    assert facts.settings["max_connections"] == "100"
    await hosts.nodes["bergen"].control.stop()
    await oslo.control.restart()
    await hosts.standby()
    assert shown(hosts, "max_connections", "bergen") == "170"


async def test_a_setting_that_only_a_restart_brings_and_nobody_has_loaded_is_a_restart(hosts: Pair) -> None:
    oslo = hosts.nodes["oslo"]
    await hosts.primary()
    with (oslo.cluster.config / "postgresql.conf").open("a") as own:
        own.write("max_files_per_process = 900\n")
    assert shown(hosts, "max_files_per_process") != "900"
    made = await hosts.primary()
    assert any("max_files_per_process" in str(change) for change in made), made
    assert shown(hosts, "max_files_per_process") == "900"
    with (oslo.cluster.config / "postgresql.conf").open("a") as own:
        own.write("max_files_per_process = many\n")
    with pytest.raises(FinalError) as refused:
        await hosts.primary()
    assert refused.value.slug == "settings-refused"


async def test_a_setting_that_another_file_overrides_is_told_and_not_fought(hosts: Pair) -> None:
    await hosts.primary()
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute("ALTER SYSTEM SET wal_sender_timeout = '60s'")
    with pytest.raises(FinalError) as told:
        await hosts.primary()
    assert (told.value.slug, told.value.hint) == (
        "setting-overridden",
        f"ALTER SYSTEM RESET wal_sender_timeout; or remove the line from"
        f" {hosts.nodes['oslo'].cluster.data}/postgresql.auto.conf",
    )


async def test_a_configuration_that_does_not_include_our_folder_is_refused(hosts: Pair) -> None:
    path = hosts.nodes["oslo"].cluster.config / "postgresql.conf"
    path.write_text(path.read_text().replace("include_dir", "#include_dir"))
    with pytest.raises(FinalError) as refused:
        await hosts.primary()
    assert refused.value.slug == "conf-d-not-included"


async def test_the_role_streams_and_may_nothing_else_and_its_password_is_nowhere_in_the_log(hosts: Pair) -> None:
    oslo = hosts.nodes["oslo"]
    with local(oslo.cluster) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
        connection.execute("SELECT pg_reload_conf()")
    await hosts.primary()
    with local(oslo.cluster) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolpassword FROM pg_authid"
            " WHERE rolname = 'secondsite_replication'"
        ).fetchone()
    assert row is not None
    assert row[:4] == (False, False, False, True)
    cluster = oslo.cluster
    assert isinstance(cluster, ThrowawayCluster)
    log = (cluster.base / "log").read_text()
    assert "secondsite.heartbeat" in log
    assert hosts.password.reveal() not in log
    assert "SCRAM-SHA-256$" not in log


async def test_the_reader_may_read_every_table_from_this_host_and_nothing_else(hosts: Pair) -> None:
    await hosts.primary()
    oslo = hosts.nodes["oslo"]
    with local(oslo.cluster) as connection:
        connection.execute("CREATE TABLE orders (id int)")
        connection.execute("REVOKE CONNECT ON DATABASE postgres FROM public")
        connection.execute("ALTER ROLE secondsite_reader CREATEDB")
        connection.execute("GRANT pg_write_all_data TO secondsite_reader")
    (change,) = await hosts.primary()
    assert change.summary == "may do other than read"
    assert await hosts.primary() == ()
    with reader(oslo.cluster, step="read", secret=oslo.passfile) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)
        for refused in ("INSERT INTO orders VALUES (1)", "CREATE DATABASE more", "COPY orders TO PROGRAM 'cat'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused.encode())
    secret = hosts.password.reveal()
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(
            f"host=127.0.0.1 port={hosts.spec.database.port} user=secondsite_reader password={secret} dbname=postgres"
        )


async def test_another_password_replaces_the_first_and_the_role_reaches_no_database(hosts: Pair) -> None:
    await hosts.primary()
    hosts.password = Password.generate()
    assert {change.summary for change in await hosts.primary()} == {
        "has another password",
        "update the password or the address",
    }
    secret = hosts.password.reveal()
    login = f"host=127.0.0.1 port={hosts.spec.database.port} user=secondsite_replication password={secret}"
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(login, dbname="postgres")
    psycopg.connect(login, dbname="postgres", replication="yes").close()


async def test_a_standby_comes_to_the_new_password_without_a_new_copy(hosts: Pair) -> None:
    await hosts.primary()
    await hosts.standby()
    hosts.password = Password.generate()
    await hosts.primary()
    assert [change.summary for change in await hosts.standby()] == ["update the password or the address"]


async def test_facts_travel_as_json_and_hold_no_secret_and_nothing_of_ours(hosts: Pair) -> None:
    await hosts.primary()
    facts = await gather(hosts.spec, "oslo", node=hosts.nodes["oslo"])
    assert from_json(to_json(facts)) == facts
    assert hosts.password.reveal() not in str(to_json(facts))
    assert facts.role == "primary"
    assert facts.data_bytes > 10_000_000
    assert "secondsite" not in facts.config_files["pg_hba.conf"]
    assert "conf.d/secondsite.conf" not in facts.config_files
    assert facts.oldest_wal is not None
    nothing = await gather(hosts.spec, "bergen", node=hosts.nodes["bergen"])
    assert (nothing.role, nothing.system_identifier, nothing.config_files) == ("absent", None, {})


async def test_a_leftover_slot_of_ours_is_dropped_and_nobody_elses(hosts: Pair) -> None:
    await hosts.primary()
    with local(hosts.nodes["oslo"].cluster) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('secondsite_oslo', true)")
        connection.execute("SELECT pg_create_physical_replication_slot('backup', true)")
        assert drop_others(connection, keep="secondsite_bergen") == ("secondsite_oslo",)
        names = connection.execute("SELECT slot_name FROM pg_replication_slots ORDER BY 1").fetchall()
    assert names == [("backup",), ("secondsite_bergen",)]
