"""The newest row of a table, and a statement of the file's."""

from __future__ import annotations

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow


def newest(connection: psycopg.Connection[TupleRow], schema: str, table: str, column: str) -> list[str] | None:
    """The highest value of the column and the transaction that wrote it; None in an empty table.

    Ordered so that an index serves it, whichever way that sorts nulls.
    """
    row = connection.execute(
        sql.SQL(
            "SELECT format('%s', r.{column}), r.xmin::text FROM {table} AS r WHERE r.{column} IS NOT NULL"
            " ORDER BY r.{column} DESC LIMIT 1"
        ).format(column=sql.Identifier(column), table=sql.Identifier(schema, table))
    ).fetchone()
    return None if row is None else [str(row[0]), str(row[1])]


def answer(connection: psycopg.Connection[TupleRow], text: str) -> str | None:
    """The first value of the first row, as text; None where there is no row or it is null.

    Prepared, because the extended protocol takes one statement only: none can follow that ends the read-only
    transaction (manual 55.2.3).
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute("SET LOCAL search_path TO DEFAULT")
        cursor = connection.execute(text.encode(), prepare=True)
        row = cursor.fetchone() if cursor.description else None
    return None if row is None or row[0] is None else written(row[0])


def written(value: object) -> str:
    """A value as the file would write it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
