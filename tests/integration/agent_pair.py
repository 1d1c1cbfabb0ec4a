"""A primary and a standby of throwaway clusters, and an agent for each, all on this machine's loopback."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from secondsite.agent.database import LocalDatabase
from secondsite.agent.peer import PeerWatch
from secondsite.agent.ports import Places, Ports
from secondsite.agent.program import Agent
from secondsite.clock import SystemClock
from secondsite.database.cluster import Cluster
from secondsite.database.commit_wait import Act
from secondsite.database.condition import condition
from secondsite.database.verify import acts
from secondsite.dns.state import RecordState
from secondsite.errors import FinalError
from secondsite.events import Emit, Event, Note, Result
from secondsite.files.state import FileSetState
from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.snapshot import UnitState
from secondsite.spec import Spec
from secondsite.tunnel.state import TunnelState

VERSION = max((path.name for path in Path("/usr/lib/postgresql").glob("[0-9][0-9]")), default="15")
TOKEN = "a-secret-of-the-two-sites"
_HEARTBEAT = (
    "CREATE SCHEMA secondsite",
    "CREATE TABLE secondsite.heartbeat (site text PRIMARY KEY, at timestamptz NOT NULL, generation integer NOT NULL)",
    "SELECT pg_create_physical_replication_slot('secondsite_bergen', true)",
    "CREATE ROLE secondsite_reader LOGIN BYPASSRLS IN ROLE pg_read_all_data",
)


@dataclass(frozen=True, slots=True)
class Throwaway(Cluster):
    """A cluster below one folder."""

    base: Path = Path("/nonexistent")

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def socket_directory(self) -> Path:
        return self.base / "run"

    def sql(self, statement: str) -> Any:
        with psycopg.connect(
            host=str(self.socket_directory), port=self.port, dbname="postgres", user="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchone() if cursor.description else None

    def control(self, *argv: str) -> None:
        command = [self.program("pg_ctl"), "-D", str(self.data), "-w", *argv]
        as_owner(["sh", "-c", '"$@" >/dev/null 2>&1 </dev/null', "sh", *command])

    def start(self) -> None:
        self.control("start", "-l", str(self.base / "log"), "-o", f"-k {self.socket_directory} -p {self.port}")


@dataclass(slots=True)
class Clusters:
    """Both, streaming."""

    oslo: Throwaway
    bergen: Throwaway
    base: Path

    def __getitem__(self, site: str) -> Throwaway:
        return {"oslo": self.oslo, "bergen": self.bergen}[site]


@contextmanager
def clusters() -> Iterator[Clusters]:
    """Oslo primary, bergen its standby."""
    if not Path(f"/usr/lib/postgresql/{VERSION}/bin/initdb").exists():
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL {VERSION} is not installed")
        pytest.skip(f"PostgreSQL {VERSION} is not installed")
    base = Path(tempfile.mkdtemp(prefix="ss-agent-"))
    base.chmod(0o755)
    oslo, bergen = (Throwaway(VERSION, "main", 15432, base / site) for site in ("oslo", "bergen"))
    try:
        for cluster in (oslo, bergen):
            cluster.socket_directory.mkdir(parents=True)
        give(base)
        as_owner([oslo.program("initdb"), "-D", str(oslo.data), "-U", "postgres", "-A", "trust", "-N"])
        with (oslo.data / "postgresql.conf").open("a") as file:
            file.write("fsync=off\nlisten_addresses=''\nwal_log_hints=on\nmax_slot_wal_keep_size=64MB\n")
        oslo.start()
        for statement in _HEARTBEAT:
            oslo.sql(statement)
        as_owner([
            oslo.program("pg_basebackup"), "-D", str(bergen.data), "-h", str(oslo.socket_directory),
            "-p", str(oslo.port), "-U", "postgres", "-c", "fast", "-R", "-S", "secondsite_bergen",
        ])  # fmt: skip
        bergen.start()
        yield Clusters(oslo, bergen, base)
    finally:
        for cluster in (bergen, oslo):
            if (cluster.data / "postmaster.pid").exists():
                cluster.control("stop", "-m", "immediate")
        shutil.rmtree(base)


def as_owner(argv: list[str]) -> None:
    user = "postgres" if os.geteuid() == 0 else None
    done = subprocess.run(argv, capture_output=True, text=True, user=user, cwd="/")
    assert done.returncode == 0, f"{argv}: {done.stderr}"


def give(base: Path) -> None:
    if os.geteuid() != 0:
        return
    entry = pwd.getpwnam("postgres")
    for path in (base, *base.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)


# Tests run side by side: each process has a loopback network of its own.
_LOOPBACK = f"127.{64 + os.getpid() // 256 % 128}.{os.getpid() % 256}"
ADDRESS, PORT = f"{_LOOPBACK}.1", 17433


def specification(**more: Any) -> Spec:
    """Sites whose tunnel is the loopback."""
    site = {"operator": "Example AS", "country": "NO", "location": [60, 10]}
    return Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "1m", "rto": "5m"},
            "sites": {
                "oslo": site | {"ssh": "root@192.0.2.11", "public": "192.0.2.11"},
                "bergen": site | {"ssh": "root@198.51.100.11", "public": "198.51.100.11"},
            },
            "tunnel": {"network": f"{_LOOPBACK}.0/24", "api_port": PORT},
            "database": {"cluster": f"{VERSION}/main", "port": 15432},
        }
        | more
    )


@dataclass(slots=True)
class NoFiles:
    """Nothing to mirror. may_pull: what the agent has said of that, asked by whoever keeps file sets."""

    may_pull: Callable[[], bool] = lambda: False

    def states(self) -> tuple[FileSetState, ...]:
        return ()

    async def keep(self, is_standby: Callable[[], bool], is_primary: Callable[[], bool]) -> None:
        self.may_pull = is_standby
        await asyncio.Event().wait()


@dataclass(slots=True)
class Rehearsed:
    """A procedure that says three things, waits for leave, and ends."""

    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        for number in range(3):
            emit(Note(f"{kind} {number}"))
        await self.leave.wait()
        return Result({"procedure": kind, **arguments})


@dataclass(slots=True)
class Calls:
    """What the agent asked of the world."""

    fenced: list[str] = field(default_factory=list)
    rehearsed: Rehearsed = field(default_factory=Rehearsed)
    announced: list[Event] = field(default_factory=list)


def ports(cluster: Throwaway, site: str, folder: Path, calls: Calls) -> Ports:
    async def tunnel(probe: bool) -> TunnelState:
        return TunnelState(up=True)

    async def dns() -> tuple[RecordState, ...]:
        return ()

    async def units() -> tuple[UnitState, ...]:
        return ()

    async def healthy() -> bool | None:
        return None

    async def nothing() -> None:
        return None

    async def fence(request: Mapping[str, Any]) -> Mapping[str, Any]:
        calls.fenced.append(str(request.get("why")))
        return {"site": site, "fenced": True}

    async def handover(act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if act == "refuse":
            raise FinalError("not now", slug="handover-refused", host=site, hint="look")
        return {"act": act, **request}

    async def fence_self(why: str) -> None:
        calls.fenced.append(why)

    async def no_pooler(_writable: bool, _beside: bool) -> None:
        return None

    async def no_delayed(_answers: bool) -> None:
        return None

    async def no_pools() -> tuple[PoolState, ...]:
        return ()

    database = LocalDatabase(cluster, site)

    async def change_waiting(act: Act) -> bool:
        await database.change_waiting(act, "bergen" if site == "oslo" else "oslo")
        return True

    async def look(act: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return await asyncio.to_thread(acts.perform, specification(), cluster, act, request)

    return Ports(
        database=database,
        tunnel=tunnel,
        dns=dns,
        units=units,
        healthy=healthy,
        condition=lambda: condition(cluster, time.time()),
        pooler=no_pooler,
        delayed=no_delayed,
        pools=no_pools,
        fence_commands=lambda: (),
        files=NoFiles(),
        history=lambda: (),
        ask_guard_again=nothing,
        fence=fence,
        unfence=fence,
        handover=handover,
        verify=look,
        fence_self=fence_self,
        procedures=calls.rehearsed,
        change_waiting=change_waiting,
        announce=calls.announced.append,
        places=Places(
            samples=folder / "samples.sqlite",
            last_primary=folder / "last-primary.json",
            socket=folder / "agent.sock",
            peer_token=folder / "token",
            active=folder / "active",
            guard_verdict=folder / "guard.json",
            quarantine=folder / "quarantine",
            fenced=folder / "fenced",
            uncovered=folder / "uncovered",
            journal=folder / "journal",
            lock=folder / "lock",
            verified=folder / "verified.json",
            disk=folder,
        ),
    )


@asynccontextmanager
async def agent(both: Clusters, site: str, calls: Calls | None = None) -> AsyncIterator[Agent]:
    """The agent of ``site``, running; stopped in order at the end."""
    folder = both.base / f"agent-{site}"
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(TOKEN + "\n")
    spec, clock = specification(), SystemClock()
    peer = PeerWatch(spec, site, clock, folder / "token")
    running = Agent(spec, site, "hash", ports(both[site], site, folder, calls or Calls()), clock, peer)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.run())
        await until(lambda: (folder / "agent.sock").exists())
        try:
            yield running
        finally:
            running.stop()


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.05)
