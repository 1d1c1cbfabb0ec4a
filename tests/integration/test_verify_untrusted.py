"""What a table's owner has put in the way of a reader does not run with a superuser's rights."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from secondsite.database import lost
from secondsite.database.old_wal import Commit
from secondsite.database.verify import acts
from secondsite.errors import FinalError
from tests.integration.agent_pair import VERSION, Clusters, Throwaway, clusters, specification

pytestmark = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="the owner's part needs root")
STRIKE = """
CREATE FUNCTION shop.strike() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RESET SESSION AUTHORIZATION; RESET ROLE;
  COPY (SELECT 1) TO PROGRAM 'touch {mark}';
EXCEPTION WHEN insufficient_privilege THEN NULL;
END $$
"""
OWNED = (
    "CREATE TABLE shop.orders (id int PRIMARY KEY, what text)",
    "INSERT INTO shop.orders SELECT n, 'order ' || n FROM generate_series(1, 50) n",
    "CREATE FUNCTION shop.told(shop.orders) RETURNS text LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM shop.strike(); RETURN 'all is well'; END$$",
    "CREATE CAST (shop.orders AS text) WITH FUNCTION shop.told(shop.orders)",
    "CREATE FUNCTION shop.sound(int) RETURNS boolean LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM shop.strike(); RETURN true; END$$",
    "CREATE DOMAIN shop.number AS int CHECK (shop.sound(VALUE))",
    "CREATE TABLE shop.counted (id shop.number PRIMARY KEY)",
    "INSERT INTO shop.counted SELECT n FROM generate_series(1, 50) n",
    "CREATE TYPE shop.colour AS ENUM ('red', 'green')",
    "CREATE FUNCTION shop.painted(shop.colour) RETURNS json LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM shop.strike(); RETURN '1'; END$$",
    "CREATE CAST (shop.colour AS json) WITH FUNCTION shop.painted(shop.colour)",
    "CREATE FUNCTION shop.spoken(shop.colour) RETURNS text LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM shop.strike(); RETURN 'blue'; END$$",
    "CREATE CAST (shop.colour AS text) WITH FUNCTION shop.spoken(shop.colour)",
    "CREATE TABLE shop.paint (colour shop.colour PRIMARY KEY)",
    "INSERT INTO shop.paint VALUES ('green')",
    "CREATE TABLE shop.indexed (id int PRIMARY KEY)",
    "CREATE FUNCTION shop.always(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    " $$BEGIN PERFORM shop.strike(); RETURN 1; END$$",
    "CREATE INDEX ON shop.indexed (shop.always(1))",
)


@pytest.fixture(scope="module")
def both() -> Iterator[Clusters]:
    with clusters() as pair:
        pair.oslo.sql("CREATE ROLE shop LOGIN")
        pair.oslo.sql("CREATE SCHEMA shop AUTHORIZATION shop")
        with psycopg.connect(
            host=str(pair.oslo.socket_directory), port=pair.oslo.port, dbname="postgres", user="shop", autocommit=True
        ) as owner:
            for statement in (STRIKE.format(mark=pair.base / "struck"), *OWNED):
                owner.execute(statement.encode())
        yield pair


def look(cluster: Throwaway, act: str, **request: Any) -> Any:
    asked = {"database": "postgres", "schema": "shop", **request}
    database = {"cluster": f"{VERSION}/main", "port": 15432}
    statement = {"database": "postgres", "sql": "SELECT shop.sound(1)", "expect": True}
    return acts.perform(specification(database=database | {"verify": [statement]}), cluster, act, asked)


def digests(cluster: Throwaway, table: str, low: str | None = None) -> None:
    ends = {"low": [low]} if low else {}
    (seen,) = look(cluster, "digests", items=[{"name": table, **ends}])["looks"]
    assert seen["error"] is None and seen["seen"][0] in (0, 1, 41, 50)


def newest(cluster: Throwaway) -> None:
    look(cluster, "newest", name="paint", column="colour")


def statement(cluster: Throwaway) -> None:
    assert look(cluster, "statement", index=0)["seen"] == "true"


def lost_rows(cluster: Throwaway) -> None:
    xid = int(cluster.sql("SELECT xmin::text::bigint FROM shop.paint")[0])
    (row,) = lost.rows(cluster, (Commit("0/1", "2026-01-01T00:00:00Z", (xid,)),))
    assert row["table"] == "paint"


ATTACKS: dict[str, Callable[[Throwaway], None]] = {
    "a cast of the row": lambda cluster: digests(cluster, "orders"),
    "a domain's check": lambda cluster: digests(cluster, "counted", "10"),
    "an index's expression": lambda cluster: digests(cluster, "indexed", "1"),
    "the newest of a type with casts": newest,
    "a statement of the file": statement,
    "a cast to json in lost rows": lost_rows,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_an_owner_has_put_in_the_way_gets_no_superuser(both: Clusters, attack: str) -> None:
    mark = Path(both.base / "struck")
    mark.unlink(missing_ok=True)
    ATTACKS[attack](both.oslo)
    assert not mark.exists()


@pytest.mark.parametrize(("schema", "name"), [("pg_catalog", "pg_authid"), ("pg_catalog", "pg_roles")])
def test_nobody_is_told_the_newest_row_of_a_system_catalogue(both: Clusters, schema: str, name: str) -> None:
    with pytest.raises(FinalError) as refused:
        look(both.oslo, "newest", schema=schema, name=name, column="rolpassword")
    assert refused.value.slug == "verify-no-table"


def test_a_view_is_no_table_whose_newest_row_is_told(both: Clusters) -> None:
    both.oslo.sql("CREATE VIEW shop.seen AS SELECT id, 0 AS xmin FROM shop.orders")
    try:
        with pytest.raises(FinalError):
            look(both.oslo, "newest", name="seen", column="id")
    finally:
        both.oslo.sql("DROP VIEW shop.seen")
