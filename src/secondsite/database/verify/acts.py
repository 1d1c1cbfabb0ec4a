"""What a site is asked while it is verified: small questions that end in seconds, plain data in and out.

The other site may ask them over the tunnel. So they take names and key values only, never a statement: names are looked
up in the catalogue here, and statements are those of this site's own file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from secondsite.database.cluster import Cluster
from secondsite.database.verify import catalogue, digest, order, statement
from secondsite.database.verify.digest import Shape
from secondsite.database.verify.model import Range, Table
from secondsite.database.verify.reading import reading, why
from secondsite.errors import FinalError, SecondsiteError, UsageError
from secondsite.spec import Spec

Document = Mapping[str, Any]
MOST_ITEMS = 64


def perform(spec: Spec, cluster: Cluster, act: str, request: Document) -> Document:
    """Take one look. Raises UsageError for an act that is none, else the errors of ``reading``."""
    known = _ACTS.get(act)
    if known is None:
        raise UsageError(f"there is no look {act} of a verification", slug="no-such-procedure")
    try:
        return known(spec, cluster, request)
    except psycopg.Error as refused:
        raise why(refused) from refused
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as strange:
        raise UsageError(
            f"the request for the look {act} is not understood: {strange!r}", slug="bad-request"
        ) from strange


def _tables(_: Spec, cluster: Cluster, __: Document) -> Document:
    return {"tables": [asdict(table) for table in catalogue.tables(cluster)]}


def _ranges(_: Spec, cluster: Cluster, request: Document) -> Document:
    rows, count = max(1, int(request["rows"])), min(MOST_ITEMS, int(request["count"]))
    with reading(cluster, request["database"]) as connection:
        shape = _shape(connection, request)
        if "seed" in request:
            found = digest.sampled_ranges(connection, shape, rows, count, int(request["seed"]))
        else:
            found = digest.next_ranges(connection, shape, _range(request), rows, count)
    return {"ranges": [asdict(part) for part in found]}


def _digests(_: Spec, cluster: Cluster, request: Document) -> Document:
    """A look at each range, with the position that belongs to it, or why there is none."""
    looks: list[Document] = []
    with reading(cluster, request["database"]) as connection:
        shapes: dict[tuple[str, str], Shape] = {}
        for item in request["items"][:MOST_ITEMS]:
            try:
                looks.append(_digest(connection, {**request, **item}, shapes))
            except (psycopg.Error, SecondsiteError) as refused:
                error = why(refused) if isinstance(refused, psycopg.Error) else refused
                if connection.closed:
                    raise error from refused
                looks.append({"error": error.as_json()})
    return {"looks": looks}


def _digest(
    connection: psycopg.Connection[TupleRow], item: Mapping[str, Any], shapes: dict[tuple[str, str], Shape]
) -> Document:
    name = item["schema"], item["name"]
    shape = shapes[name] = shapes.get(name) or _shape(connection, item)
    return _look(connection, lambda: digest.digest(connection, shape, _range(item)))


def _rows(_: Spec, cluster: Cluster, request: Document) -> Document:
    with reading(cluster, request["database"]) as connection:
        shape = _shape(connection, request)
        return _look(connection, lambda: digest.versions(connection, shape, _range(request)))


def _newest(_: Spec, cluster: Cluster, request: Document) -> Document:
    with reading(cluster, request["database"]) as connection:
        schema, table, column = (str(request[name]) for name in ("schema", "name", "column"))
        if column not in catalogue.types(connection, schema, table):
            raise FinalError(
                f"there is no table {schema}.{table} with a column {column} in {request['database']}",
                slug="verify-no-table", step="verify",
            )  # fmt: skip
        return _look(connection, lambda: statement.newest(connection, schema, table, column))


def _statement(spec: Spec, cluster: Cluster, request: Document) -> Document:
    wanted = spec.database.verify[int(request["index"])]
    assert wanted.sql is not None
    with reading(cluster, wanted.database, seconds=wanted.timeout) as connection:
        return _look(connection, lambda: statement.answer(connection, wanted.sql or ""))


def _position(_: Spec, cluster: Cluster, __: Document) -> Document:
    with reading(cluster, "postgres") as connection:
        standby, lsn = order.position(connection)
    return {"standby": standby, "lsn": lsn}


def _horizon(_: Spec, cluster: Cluster, __: Document) -> Document:
    with reading(cluster, "postgres") as connection:
        return {"horizon": order.horizon(connection)}


def _running(_: Spec, cluster: Cluster, request: Document) -> Document:
    with reading(cluster, "postgres") as connection:
        return {"transactions": order.running(connection, str(int(request["horizon"])))}


def _committed(_: Spec, cluster: Cluster, request: Document) -> Document:
    with reading(cluster, "postgres") as connection:
        return {"transactions": order.committed(connection, [str(one) for one in request["transactions"]])}


_ACTS: Mapping[str, Callable[[Spec, Cluster, Document], Document]] = {
    "tables": _tables, "ranges": _ranges, "digests": _digests, "rows": _rows, "newest": _newest,
    "statement": _statement, "position": _position, "horizon": _horizon,
    "running": _running, "committed": _committed,
}  # fmt: skip


def _look(connection: psycopg.Connection[TupleRow], take: Callable[[], object]) -> Document:
    """lsn: at a primary everything seen lies before it, at a standby everything before it was seen (``order``)."""
    standby, before = order.position(connection)
    seen = take()
    lsn = before if standby else order.position(connection)[1]
    return {"standby": standby, "lsn": lsn, "seen": seen, "error": None}


def _shape(connection: psycopg.Connection[TupleRow], request: Document) -> Shape:
    table = catalogue.known(connection, request["database"], request["schema"], request["name"])
    if table is None:
        raise FinalError(
            f"there is no table {request['schema']}.{request['name']} in {request['database']}",
            slug="verify-no-table", step="verify", hint="secondsite verify again: it may have been dropped meanwhile",
        )  # fmt: skip
    return Shape.of(connection, _same_key(table, request.get("key")))


def _same_key(table: Table, key: Sequence[str] | None) -> Table:
    """Both sites must mean the same by a range."""
    if key is not None and tuple(key) != table.key:
        raise FinalError(f"the key of {table} has changed meanwhile", slug="verify-busy", step="verify")
    return table


def _range(item: Document) -> Range:
    return Range(_key(item.get("low")), _key(item.get("high")))


def _key(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(str(value) for value in values)
