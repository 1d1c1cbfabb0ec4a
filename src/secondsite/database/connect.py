"""Connect to the local cluster as its owner, over the unix socket, without a password and without a new role.

PostgreSQL's ``peer`` method asks the kernel who called connect(2) (PostgreSQL manual, 21.9). Root may
become the owner for the length of that call, so no superuser role of ours and no change of pg_hba is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import platform
import pwd
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString

import psycopg

from secondsite.database.bounded import STATEMENT_SECONDS, Bounded, apart, asking
from secondsite.database.cluster import OWNER, Cluster
from secondsite.errors import FinalError, RetryableError

CONNECT_SECONDS = 3
CANCEL_SECONDS = 5.0
_OUR_DISK = " -c synchronous_commit=local"
_SETRESUID = {"x86_64": 117, "aarch64": 147}  # linux: arch/*/syscalls; elsewhere the wrapper


@contextlib.contextmanager
def local(
    cluster: Cluster, database: str = "postgres", *, step: str | None = None, as_set: bool = False
) -> Iterator[Bounded]:
    """An autocommit connection to the local cluster as its owner; closed at the end.

    Its commits wait for this disk only: no bookkeeping of ours may hang because a standby is lost, and no
    statement_timeout ends that wait. as_set: they wait as the server's settings say, like a customer's.
    Raises RetryableError (slug ``database-unreachable``) where the cluster does not answer, FinalError
    (``database-refused``) where it says no to a statement. A coroutine uses ``elsewhere``, or calls what uses this
    by ``bounded.apart``: a server that is frozen would hold up the whole process until the time of a statement is over.
    """
    connection = connect(cluster, database, step=step, as_set=as_set)
    try:
        with asked(cluster, step):
            yield connection
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def elsewhere(cluster: Cluster, *, step: str | None = None) -> AsyncIterator[Bounded]:
    """As ``local``, for a coroutine: it is made in a thread, and used by ``bounded.asking``."""
    connection = await apart(connect, cluster, step=step)
    try:
        with asked(cluster, step):
            yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def asked(cluster: Cluster, step: str | None = None) -> Iterator[None]:
    """What the server says against a statement, as ``local`` raises it."""
    try:
        yield
    except psycopg.OperationalError as lost:
        raise RetryableError(
            f"{cluster} stopped answering: {_first_line(lost)}", slug="database-unreachable", step=step
        ) from lost
    except psycopg.Error as refused:
        raise FinalError(f"{cluster} refused: {_first_line(refused)}", slug="database-refused", step=step) from refused


async def in_thread(connection: Bounded, statement: LiteralString) -> None:
    """Execute what may take minutes in a thread. Where the task is cancelled the statement is too, as far as the
    server still listens: its thread must have let go of the connection before that is closed."""
    limit, connection.patience = connection.patience, None
    work = asyncio.create_task(asking(connection, connection.execute, statement))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        with contextlib.suppress(psycopg.Error):
            await asyncio.to_thread(connection.cancel_safe, timeout=CANCEL_SECONDS)
        await asyncio.wait({work}, timeout=CANCEL_SECONDS)
        work.cancel()  # gives the connection up, where the server did not listen
        await asyncio.wait({work})
        raise
    finally:
        connection.patience = limit


def connect(
    cluster: Cluster, database: str = "postgres", *, step: str | None = None, as_set: bool = False,
    user: str = OWNER, hint: str | None = None, **more: Any,
) -> Bounded:  # fmt: skip
    """As ``local``, but the caller closes the connection. user: another role than the owner; hint: what
    else may help where it does not answer."""
    try:
        with as_user(OWNER):
            return Bounded.connect(
                host=str(cluster.socket_directory),
                port=cluster.port,
                dbname=database,
                user=user,
                application_name="secondsite",
                connect_timeout=CONNECT_SECONDS,
                autocommit=True,
                options=f"-c statement_timeout={STATEMENT_SECONDS}s{'' if as_set else _OUR_DISK}",
                **more,
            )
    except psycopg.OperationalError as refused:
        raise RetryableError(
            f"{cluster} does not answer: {_first_line(refused)}",
            slug="database-unreachable",
            step=step,
            hint=f"systemctl status {cluster.unit}{f'; {hint}' if hint else ''}",
        ) from refused


@contextlib.contextmanager
def as_user(name: str) -> Iterator[None]:
    """Be ``name`` for the length of a call, where this process is root; otherwise nothing changes."""
    if os.geteuid() != 0:
        yield
        return
    _become(pwd.getpwnam(name).pw_uid)
    try:
        yield
    finally:
        _become(0)


def _become(uid: int) -> None:
    """Change the effective user of this thread only, by the bare system call: glibc's wrapper changes every thread,
    and another one may be writing a file of root's just then (nptl(7))."""
    number = _SETRESUID.get(platform.machine())
    if number is None:
        os.seteuid(uid)
    elif ctypes.CDLL(None, use_errno=True).syscall(number, -1, uid, -1) != 0:
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
