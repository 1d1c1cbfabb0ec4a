"""A connection that only reads, yields to everybody, and writes every value the same way at both sites."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import psycopg
from psycopg.rows import TupleRow

from secondsite.database.cluster import Cluster
from secondsite.database.reader import reader
from secondsite.errors import FinalError, RetryableError, SecondsiteError

STATEMENT_SECONDS = 10.0
LOCK_SECONDS = 1.0
NICE = 10
# How values are written as text depends on these (manual 8.1.3, 8.4, 8.5, 20.11.2); a role or database may set them.
_SAME = {
    "timezone": "UTC", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "extra_float_digits": "1",
    "bytea_output": "hex", "lc_monetary": "C", "xmlbinary": "base64", "client_encoding": "UTF8",
}  # fmt: skip
_CALM = {
    "default_transaction_read_only": "on", "jit": "off", "max_parallel_workers_per_gather": "0",
    "search_path": "pg_catalog", "application_name": "secondsite verify",
    "client_connection_check_interval": "1s",
}  # fmt: skip
_SINCE_14 = ("client_connection_check_interval",)

_BUSY = ("40001", "40P01", "57014", "55P03", "57P01", "42P01", "42703", "3F000")  # manual, appendix A
_DAMAGED = ("XX001", "XX002")


@contextlib.contextmanager
def reading(
    cluster: Cluster, database: str, *, seconds: float = STATEMENT_SECONDS
) -> Iterator[psycopg.Connection[TupleRow]]:
    """A read-only session of low priority, of a role that may only read (``reader``), whose statements end after
    ``seconds``; psycopg.Error is told by ``why``."""
    with reader(cluster, database, step="verify") as connection:
        limits = {"statement_timeout": f"{seconds:g}s", "lock_timeout": f"{LOCK_SECONDS:g}s"}
        wanted = _SAME | _CALM | limits
        if connection.info.server_version < 140000:
            wanted = {name: value for name, value in wanted.items() if name not in _SINCE_14}
        connection.execute(  # one round trip, not one a setting
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) setting(name, value)",
            (list(wanted), list(wanted.values())),
        )
        stand_back(connection.info.backend_pid)
        yield connection


def stand_back(pid: int) -> None:
    """Have a server process yield the processor to every other one; only root may, and only for the cluster here."""
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, NICE)


def why(error: psycopg.Error) -> SecondsiteError:
    """What a refusal of the server means: ``verify-busy`` may be tried again, ``verify-damaged`` is a page or row that
    cannot be read (manual, appendix A, class XX), ``verify-refused`` is anything else."""
    told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if error.sqlstate in _DAMAGED:
        return FinalError(told, slug="verify-damaged", step="verify")
    if error.sqlstate in _BUSY or isinstance(error, psycopg.OperationalError):
        return RetryableError(told, slug="verify-busy", step="verify")
    return FinalError(told, slug="verify-refused", step="verify")
