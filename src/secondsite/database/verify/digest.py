"""Look at a range of a table: how many rows, and a checksum of all of them or of each.

A row's version is hashed: its text and the transaction that wrote it (xmin, which replication copies as it is). The
hashes are added up, so the order in which rows lie does not matter. Collations are not asked: hashing is by bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from secondsite.database.verify.catalogue import types
from secondsite.database.verify.model import Key, Range, Table

MOST_ROWS = 20_000
# Values are written by their types' own output functions (record_out, format): ``::text`` would call an owner's cast.
_CONTENT = sql.SQL("textin(record_out(r.*)) || ' ' || r.xmin::text")
_COUNTED = sql.SQL("r.ctid::text || ' ' || r.xmin::text")  # without a key: that the row is there, not what it says


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as statements need it: its name, its key, the key's types."""

    table: Table
    casts: tuple[sql.SQL, ...]

    @classmethod
    def of(cls, connection: psycopg.Connection[TupleRow], table: Table) -> Shape:
        """Raises psycopg.Error where the server does not answer."""
        found = types(connection, table.schema, table.name)
        return cls(table, tuple(found[column] for column in table.key))

    @property
    def source(self) -> sql.Composed:
        return sql.SQL("ONLY {} AS r").format(sql.Identifier(self.table.schema, self.table.name))

    @property
    def keys(self) -> sql.Composed:
        if not self.table.key:
            return sql.Composed([sql.SQL("r.ctid")])
        return sql.SQL(", ").join(sql.Identifier("r", column) for column in self.table.key)

    @property
    def texts(self) -> sql.Composed:
        """The key as text, to be sent and given back."""
        if not self.table.key:
            return sql.Composed([sql.SQL("r.ctid::text")])
        return sql.SQL(", ").join(
            sql.SQL("format('%s', {})").format(sql.Identifier("r", one)) for one in self.table.key
        )

    def where(self, part: Range) -> sql.Composable:
        """The condition of a range: a row comparison, which the key's index serves (manual 9.24.5)."""
        ends = [
            sql.SQL("({}) {} ({})").format(self.keys, sql.SQL(sign), self._values(end))
            for sign, end in ((">=", part.low), ("<", part.high))
            if end is not None and self.table.key
        ]
        return sql.SQL(" AND ").join(ends) if ends else sql.SQL("true")

    def _values(self, key: Key) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), cast) for value, cast in zip(key, self.casts, strict=True)
        )

    @property
    def version(self) -> sql.SQL:
        return _CONTENT if self.table.key else _COUNTED


def digest(connection: psycopg.Connection[TupleRow], shape: Shape, part: Range) -> tuple[int, str]:
    """How many rows, and the sum of their hashes. One statement, so one snapshot."""
    row = connection.execute(
        sql.SQL(
            'SELECT count(*), coalesce(sum(hashtextextended(({version}) COLLATE "C", 0)), 0)::text'
            " FROM {source} WHERE {where}"
        ).format(version=shape.version, source=shape.source, where=shape.where(part))
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def versions(connection: psycopg.Connection[TupleRow], shape: Shape, part: Range) -> list[tuple[Key, str]] | None:
    """Each row's key and hash; None where there are too many to be told."""
    found = connection.execute(
        sql.SQL(
            'SELECT ARRAY[{texts}], hashtextextended(({version}) COLLATE "C", 0)::text FROM {source}'
            " WHERE {where} LIMIT {most}"
        ).format(
            texts=shape.texts,
            version=shape.version,
            source=shape.source,
            where=shape.where(part),
            most=sql.Literal(MOST_ROWS + 1),
        )
    ).fetchall()
    return None if len(found) > MOST_ROWS else [(tuple(key), told) for key, told in found]


def next_ranges(
    connection: psycopg.Connection[TupleRow], shape: Shape, part: Range, rows: int, count: int
) -> list[Range]:
    """Up to ``count`` ranges of ``rows`` rows each that follow one another; the last ends where ``part`` does."""
    found: list[Range] = []
    low = part.low
    while len(found) < count:
        high = _after(connection, shape, Range(low, part.high), rows) if shape.table.key else None
        found.append(Range(low, high or part.high))
        if high is None:
            break
        low = high
    return found


def sampled_ranges(
    connection: psycopg.Connection[TupleRow], shape: Shape, rows: int, count: int, seed: int
) -> list[Range]:
    """Up to ``count`` ranges that do not overlap: the newest keys, and others that begin at rows drawn at random.

    TABLESAMPLE ... REPEATABLE draws the same pages for the same seed while the table is the same (manual, SELECT).
    """
    first = next_ranges(connection, shape, Range(), rows, 1)[0]
    if first.high is None:
        return [first]
    newest = _newest(connection, shape, rows)
    lows = _drawn(connection, shape, newest, count - 1, seed) if newest is not None and count > 1 else []
    ends = [*lows[1:], newest]
    found = [next_ranges(connection, shape, Range(low, end), rows, 1)[0] for low, end in zip(lows, ends, strict=False)]
    return [*found, Range(newest)]  # the newest has no end: rows are added meanwhile


def _after(connection: psycopg.Connection[TupleRow], shape: Shape, part: Range, rows: int) -> Key | None:
    return _one(
        connection,
        sql.SQL("SELECT {texts} FROM {source} WHERE {where} ORDER BY {keys} OFFSET {rows} LIMIT 1").format(
            texts=shape.texts,
            source=shape.source,
            where=shape.where(part),
            keys=shape.keys,
            rows=sql.Literal(rows),
        ),
    )


def _newest(connection: psycopg.Connection[TupleRow], shape: Shape, rows: int) -> Key | None:
    downwards = sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier("r", one)) for one in shape.table.key)
    return _one(
        connection,
        sql.SQL("SELECT {texts} FROM {source} ORDER BY {keys} OFFSET {rows} LIMIT 1").format(
            texts=shape.texts, source=shape.source, keys=downwards, rows=sql.Literal(rows - 1)
        ),
    )


def _drawn(connection: psycopg.Connection[TupleRow], shape: Shape, below: Key, count: int, seed: int) -> list[Key]:
    """Keys of rows on pages drawn at random, in the key's order, evenly spread over what was drawn."""
    share = min(100.0, 100.0 * 4 * count / max(1, shape.table.pages))
    found = connection.execute(
        sql.SQL(
            "SELECT {texts} FROM (SELECT * FROM {source} TABLESAMPLE SYSTEM ({share}) REPEATABLE ({seed})"
            " WHERE {where} LIMIT 5000) AS r ORDER BY {keys}"
        ).format(
            texts=shape.texts,
            source=shape.source,
            share=sql.Literal(share),
            seed=sql.Literal(seed),
            where=shape.where(Range(None, below)),
            keys=shape.keys,
        )
    ).fetchall()
    return spread([tuple(row) for row in found], count)


def spread(keys: Sequence[Key], count: int) -> list[Key]:
    """``count`` of them, evenly apart. Pure."""
    if len(keys) <= count:
        return list(keys)
    return [keys[(2 * place + 1) * len(keys) // (2 * count)] for place in range(count)]


def _one(connection: psycopg.Connection[TupleRow], statement: sql.Composed) -> Key | None:
    row = connection.execute(statement).fetchone()
    return None if row is None else tuple(row)
