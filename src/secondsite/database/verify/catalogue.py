"""The tables that hold users' data."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from secondsite.database.cluster import Cluster
from secondsite.database.verify.model import Table
from secondsite.database.verify.reading import reading

# What a domain is over, at the end: a value that is cast to the domain itself would be checked by its owner's code.
_BASE = """
WITH RECURSIVE base(oid, type, typnamespace) AS (
    SELECT oid, oid, typnamespace FROM pg_type WHERE typtype <> 'd'
    UNION ALL SELECT t.oid, base.type, base.typnamespace FROM pg_type t JOIN base ON t.typbasetype = base.oid
     WHERE t.typtype = 'd'
)
"""
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
# A key is used for ranges only where its order and its types are PostgreSQL's own, or domains over those: operators,
# casts and input functions of other types might be anybody's. Unlogged tables are empty at a
# standby by design (manual, CREATE TABLE).
_TABLES = (
    _BASE
    + """
SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, c.relpages,
       CASE WHEN (SELECT bool_and(o.opcnamespace = 'pg_catalog'::regnamespace)
                    FROM unnest(i.indclass::oid[]) used(class) JOIN pg_opclass o ON o.oid = used.class)
             AND (SELECT bool_and(b.typnamespace = 'pg_catalog'::regnamespace)
                    FROM unnest(i.indkey::int2[]) used(number)
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = used.number
                    JOIN base b ON b.oid = a.atttypid)
            THEN (SELECT array_agg(a.attname::text ORDER BY k.place)
                    FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts)
       END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary AND i.indisvalid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
 ORDER BY 1, 2
"""
)
_TYPES = (
    _BASE
    + """
SELECT a.attname, format_type(b.type, -1) FROM pg_attribute a JOIN base b ON b.oid = a.atttypid
 WHERE a.attrelid = (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'm', 'p')
                        AND n.nspname NOT IN ('pg_catalog', 'information_schema')
                        AND n.nspname !~ '^pg_(toast|temp)')
   AND a.attnum > 0 AND NOT a.attisdropped
"""
)


def databases(cluster: Cluster) -> tuple[str, ...]:
    """Those that can be connected to."""
    with reading(cluster, "postgres") as connection:
        return tuple(str(name) for (name,) in connection.execute(_DATABASES).fetchall())


def tables(cluster: Cluster) -> tuple[Table, ...]:
    """Of every database. psycopg.Error is the caller's."""
    found: list[Table] = []
    for database in databases(cluster):
        with reading(cluster, database) as connection:
            found += _of(connection, database)
    return tuple(found)


def _of(connection: psycopg.Connection[TupleRow], database: str) -> list[Table]:
    return [
        Table(database, schema, name, tuple(key or ()), rows, max(0, pages))
        for schema, name, rows, pages, key in connection.execute(_TABLES).fetchall()
    ]


def known(connection: psycopg.Connection[TupleRow], database: str, schema: str, name: str) -> Table | None:
    """The table of that name as it is now; a name that comes from elsewhere is looked up, never trusted."""
    return next((one for one in _of(connection, database) if (one.schema, one.name) == (schema, name)), None)


def types(connection: psycopg.Connection[TupleRow], schema: str, name: str) -> dict[str, sql.SQL]:
    """The type of each column (of a domain, what that is over), written so that it can stand in a cast; the server
    itself has quoted it. Empty where there is no such table of users' data."""
    found = connection.execute(_TYPES, (schema, name)).fetchall()
    return {column: sql.SQL(kind) for column, kind in found}
