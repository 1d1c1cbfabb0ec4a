"""Two throwaway hosts for PostgreSQL on one machine: folders of their own, loopback addresses, one port."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from secondsite import process
from secondsite.clock import SystemClock
from secondsite.converge.resource import Change, Resource, converge
from secondsite.database.cluster import Cluster
from secondsite.database.converge import primary_resources, standby_resources
from secondsite.database.facts import Facts
from secondsite.database.gather import gather
from secondsite.database.job import JobState
from secondsite.database.node import Node, owner
from secondsite.database.password import Password
from secondsite.events import Event
from secondsite.spec import Spec

VERSION = max((path.name for path in Path("/usr/lib/postgresql").glob("[0-9][0-9]")), default="15")
ADDRESSES = {"oslo": "127.0.0.1", "bergen": "127.0.0.2"}


@dataclass(frozen=True, slots=True)
class ThrowawayCluster(Cluster):
    """A cluster whose parts are all below one folder."""

    base: Path = Path("/nonexistent")

    @property
    def data(self) -> Path:
        return self.base / "data" / self.version / self.name

    @property
    def config(self) -> Path:
        return self.base / "etc" / self.version / self.name

    @property
    def socket_directory(self) -> Path:
        return self.base / "run"


@dataclass(frozen=True, slots=True)
class PgCtl:
    """Start and stop through pg_ctl, where no systemd runs. log: its name in the cluster's base."""

    cluster: ThrowawayCluster
    log: str = "log"

    async def start(self) -> None:
        done = await self._order("status", check=False)
        if not done.ok:
            config = self.cluster.config / "postgresql.conf"
            options = " ".join(
                f"-c {name}={value}"
                for name, value in (
                    ("config_file", config),
                    ("hba_file", self.cluster.config / "pg_hba.conf"),
                    ("ident_file", self.cluster.config / "pg_ident.conf"),
                    ("unix_socket_directories", self.cluster.socket_directory),
                )
            )
            await self._order("start", "-w", "-l", str(self.cluster.base / self.log), "-o", options, check=False)

    async def stop(self) -> None:
        if (self.cluster.data / "postmaster.pid").exists():
            await self._order("stop", "-m", "fast", "-w")

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def reload(self) -> None:
        await self._order("reload")

    async def _order(self, verb: str, *more: str, check: bool = True) -> process.Completed:
        # pg_ctl's child keeps the pipes open: through a shell that closes them
        argv = [self.cluster.program("pg_ctl"), verb, "-D", str(self.cluster.data), *more]
        return await process.run(
            ["sh", "-c", '"$@" >/dev/null 2>&1 </dev/null', "sh", *argv], timeout=60, user=owner(), check=check
        )


class Detached:
    """A job in a session of its own, as systemd-run would start it."""

    def __init__(self) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        self.started: list[Sequence[str]] = []

    async def state(self) -> JobState:
        code = self.child.poll() if self.child else 0
        if self.child is not None and code is None:
            return JobState.RUNNING
        return JobState.FAILED if code else JobState.NONE

    async def start(self, argv: Sequence[str], *, user: str, log: Path, env: Mapping[str, str]) -> None:
        self.started.append(argv)
        with log.open("wb") as told:
            self.child = subprocess.Popen(  # noqa: ASYNC220 - returns at once, and has to outlive this loop
                argv, stderr=told, start_new_session=True, env=dict(os.environ) | dict(env), user=owner(), cwd="/"
            )

    def freeze(self) -> None:
        """It neither goes on nor ends until it is stopped."""
        assert self.child is not None
        os.killpg(self.child.pid, signal.SIGSTOP)

    async def stop(self) -> None:
        if self.child is not None and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)  # as systemd ends a unit: everything in it
            await asyncio.to_thread(self.child.wait)


@dataclass(slots=True)
class Pair:
    """Both hosts, and what an operator would do with them."""

    spec: Spec
    nodes: dict[str, Node]
    jobs: dict[str, Detached]
    password: Password
    events: list[Event]

    async def facts(self, site: str) -> Facts:
        peer = self.spec.peer_of(site)
        primary = await gather(self.spec, peer, node=self.nodes[peer])
        return Facts(ADDRESSES[site], ADDRESSES[peer], self.password, primary)

    async def primary(
        self, site: str = "oslo", *, rewinding: bool = False, dry_run: bool = False
    ) -> tuple[Change, ...]:
        # Both hosts share the loopback, where every connection comes from its first address.
        facts = Facts(ADDRESSES[site], "127.0.0.1", self.password)
        resources = primary_resources(self.spec, site, facts, rewinding=rewinding, node=self.nodes[site])
        return await self.converge(site, resources, dry_run)

    async def standby(
        self, site: str = "bergen", *, replace: bool = False, dry_run: bool = False, facts: Facts | None = None
    ) -> tuple[Change, ...]:
        facts = facts or await self.facts(site)
        resources = standby_resources(self.spec, site, facts, replace=replace, node=self.nodes[site])
        return await self.converge(site, resources, dry_run)

    async def converge(self, site: str, resources: Sequence[Resource], dry_run: bool) -> tuple[Change, ...]:
        return await converge(resources, site=site, emit=self.events.append, clock=SystemClock(), dry_run=dry_run)


def specification(port: int, **database: object) -> Spec:
    """Two sites in Norway whose database listens on ``port``."""
    site = {"operator": "Example AS", "country": "NO", "location": [60, 10]}
    return Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "1m", "rto": "5m"},
            "sites": {
                "oslo": site | {"ssh": "root@192.0.2.11", "public": "192.0.2.11"},
                "bergen": site | {"ssh": "root@198.51.100.11", "public": "198.51.100.11"},
            },
            "tunnel": {"network": "10.10.0.0/24"},
            "database": {"cluster": f"{VERSION}/main", "port": port, "max_slot_wal": "1GB"} | database,
        }
    )


@contextmanager
def pair() -> Iterator[Pair]:
    """Oslo with a running cluster as a package's installation leaves it, bergen with nothing."""
    if not Path(f"/usr/lib/postgresql/{VERSION}/bin/initdb").exists():
        if os.environ.get("CI"):
            pytest.fail(f"PostgreSQL {VERSION} is not installed")
        pytest.skip(f"PostgreSQL {VERSION} is not installed")
    base = Path(tempfile.mkdtemp(prefix="ss-", dir="/tmp"))
    base.chmod(0o755)
    spec = specification(free_port())
    jobs = {site: Detached() for site in ADDRESSES}
    nodes = {site: _node(base / site, spec, jobs[site]) for site in ADDRESSES}
    both = Pair(spec, nodes, jobs, Password.generate(), [])
    try:
        create(nodes["oslo"])
        asyncio.run(nodes["oslo"].control.start())
        yield both
    finally:
        for node in nodes.values():
            asyncio.run(node.control.stop())
            asyncio.run(node.seed_job.stop())
        shutil.rmtree(base)


def create(node: Node, *options: str) -> None:
    """initdb, and a configuration laid out as Debian's."""
    cluster = node.cluster
    assert isinstance(cluster, ThrowawayCluster)
    argv = [cluster.program("initdb"), "-D", str(cluster.data), "-U", "postgres", "-A", "trust", "-N", *options]
    subprocess.run(argv, check=True, capture_output=True, user=owner(), cwd="/")
    (cluster.config / "conf.d").mkdir(parents=True)
    (cluster.config / "pg_hba.conf").write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    (cluster.config / "pg_ident.conf").write_text("")
    (cluster.config / "start.conf").write_text("auto\n")
    (cluster.config / "postgresql.conf").write_text(_main_file(cluster))
    _give(cluster.base)


def _main_file(cluster: ThrowawayCluster) -> str:
    lines = {
        "port": str(cluster.port),
        "listen_addresses": f"'{ADDRESSES[cluster.base.name]}'",
        "fsync": "off",
        "shared_buffers": "16MB",
        "max_wal_size": "64MB",
        "min_wal_size": "32MB",
        "include_dir": "'conf.d'",
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items())


def _node(base: Path, spec: Spec, job: Detached) -> Node:
    cluster = ThrowawayCluster(VERSION, "main", spec.database.port, base)
    for folder in (cluster.data.parent, cluster.config.parent, cluster.socket_directory, base / "state"):
        folder.mkdir(parents=True)
    _give(base)
    return Node(cluster, PgCtl(cluster), job, Detached(), base / "pgpass", base / "state")


def _give(base: Path) -> None:
    if owner() is None:
        return
    entry = pwd.getpwnam("postgres")
    for path in (base, *base.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


__all__ = ["ADDRESSES", "Pair", "ThrowawayCluster", "create", "free_port", "pair", "specification"]
