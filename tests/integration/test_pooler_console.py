"""A real PgBouncer before two real databases: clients wait, go on elsewhere, and are let go where no pause ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from secondsite.clock import SystemClock
from secondsite.converge.resource import converge
from secondsite.database import door
from secondsite.database.hba import body as hba_body
from secondsite.database.node import Node, owner
from secondsite.database.pooler import act, include
from secondsite.database.pooler.console import console
from secondsite.database.pooler.converge import resources
from secondsite.database.pooler.state import look
from secondsite.errors import FinalError, RetryableError
from secondsite.recovery import pooling
from secondsite.spec import Pooler, Spec, paths
from tests.integration.database_clusters import ADDRESSES, Pair, create, free_port, pair, specification

HERE, THERE = ADDRESSES["oslo"], ADDRESSES["bergen"]
DATABASE = "postgres"


@dataclass(frozen=True)
class Bouncer:
    """A running PgBouncer that looks for the database at oslo's address."""

    spec: Spec
    pooler: Pooler
    pid: int

    def client(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.pooler.socket), port=self.pooler.port, user="postgres", dbname=DATABASE, autocommit=True,
            prepare_threshold=None,
        )  # fmt: skip


def where(client: psycopg.Connection) -> str:
    """The address of the database that answers."""
    row = client.execute("SELECT host(inet_server_addr())").fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture(scope="module")
def databases() -> Iterator[Pair]:
    """Two primaries that know nothing of one another, one at each site's address."""
    with pair() as both:
        create(both.nodes["bergen"])
        asyncio.run(both.nodes["bergen"].control.start())
        for node in both.nodes.values():
            hba = node.cluster.config / "pg_hba.conf"
            hba.write_text(hba.read_text().replace("scram-sha-256", "trust"))
            asyncio.run(node.control.reload())
        yield both


@pytest.fixture
def bouncer(databases: Pair) -> Iterator[Bouncer]:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: scripts/setup.sh tests")
    folder = databases.nodes["oslo"].cluster.socket_directory.parent / "pgbouncer"
    folder.mkdir()
    port = free_port()
    spec = specification(
        databases.spec.database.port,
        pooler={
            "databases": [DATABASE], "config": str(folder / "pgbouncer.ini"), "socket": str(folder), "port": port,
            "longest_transaction": "1s",
        },
    )  # fmt: skip
    assert spec.database.pooler is not None
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n[pgbouncer]\nlisten_port = {port}\nunix_socket_dir = {folder}\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = transaction\nlogfile = {folder}/log\n"
    )
    if owner() is not None:
        subprocess.run(["chown", "-R", "postgres:", str(folder)], check=True)
    running = subprocess.Popen(
        [program, "-q", str(folder / "pgbouncer.ini")], user=owner(), cwd="/", stderr=subprocess.DEVNULL
    )
    try:
        found = Bouncer(spec, spec.database.pooler, running.pid)
        deadline = time.monotonic() + 10
        while look(found.pooler).reason is not None:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        made(found, HERE)
        yield found
    finally:
        running.kill()
        running.wait(timeout=10)
        shutil.rmtree(folder)


def made(bouncer: Bouncer, address: str) -> int:
    """Bring our file, our line and PgBouncer to say ``address``; how many changes that took."""
    site = "oslo" if address == HERE else "bergen"
    wanted = resources(bouncer.spec, "oslo", site)
    return len(asyncio.run(converge(wanted, site="oslo", emit=lambda _: None, clock=SystemClock())))


def test_apply_brings_it_about_once_and_refuses_a_second_definition(bouncer: Bouncer) -> None:
    assert made(bouncer, HERE) == 0
    assert [(one.name, one.host, one.mode) for one in look(bouncer.pooler).databases] == [
        (DATABASE, HERE, "transaction")
    ]
    with bouncer.client() as client:
        assert where(client) == HERE
    config = Path(bouncer.pooler.config)
    config.write_text(config.read_text().replace("[databases]\n", f"[databases]\n{DATABASE} = host=/run\n"))
    with pytest.raises(FinalError) as refused:
        made(bouncer, HERE)
    assert refused.value.slug == "pooler-defined-twice"


def test_clients_wait_and_go_on_elsewhere_without_an_error(bouncer: Bouncer) -> None:
    with bouncer.client() as client:
        assert where(client) == HERE
        act.pause(bouncer.pooler)
        act.pause(bouncer.pooler)  # repeatable, as every act of a procedure
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(where(client)))
        asking.start()
        asking.join(0.5)
        assert answers == [] and look(bouncer.pooler).paused == (DATABASE,)
        assert act.resume(bouncer.spec, bouncer.pooler, THERE) == 0
        asking.join(5)
        assert answers == [THERE]
        assert act.resume(bouncer.spec, bouncer.pooler, HERE) == 0
        assert where(client) == HERE


def test_a_transaction_that_does_not_end_lets_everybody_go_on(bouncer: Bouncer) -> None:
    with bouncer.client() as busy, bouncer.client() as other, busy.transaction():
        busy.execute("SELECT 1")
        assert look(bouncer.pooler).busy
        with pytest.raises(RetryableError) as refused:
            act.pause(bouncer.pooler)
        assert refused.value.slug == "pooler-busy"
        assert look(bouncer.pooler).paused == ()
        assert where(other) == HERE
        busy.execute("SELECT 1")


def test_a_pooler_that_freezes_while_it_is_paused_is_let_go_when_it_is_back(
    bouncer: Bouncer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUN", "LOCK", "FENCED", "POOLER_PAUSED"):
        monkeypatch.setattr(paths, name, tmp_path if name == "RUN" else tmp_path / name)
    with bouncer.client() as busy, busy.transaction():
        busy.execute("SELECT 1")
        freeze = threading.Timer(0.5, lambda: os.kill(bouncer.pid, signal.SIGSTOP))
        freeze.start()
        try:
            with pytest.raises(RetryableError) as silent:
                asyncio.run(pooling.hold(bouncer.spec))
            freeze.join()
            assert silent.value.slug == "pooler-unreachable"
            assert paths.POOLER_PAUSED.exists()
            told = asyncio.run(pooling.go_on(bouncer.spec, "oslo", "oslo"))
            assert "does not answer" in told["warning"] and paths.POOLER_PAUSED.exists()
        finally:
            freeze.join()
            os.kill(bouncer.pid, signal.SIGCONT)
    keep = pooling.keep(bouncer.spec, "oslo", writable=True, peer_writable=False)
    assert asyncio.run(keep) == "oslo"
    assert not paths.POOLER_PAUSED.exists() and look(bouncer.pooler).paused == ()
    with bouncer.client() as client:
        assert where(client) == HERE


def test_a_transaction_that_ends_in_time_is_waited_for(bouncer: Bouncer) -> None:
    with bouncer.client() as busy:
        sleeping = threading.Thread(target=lambda: busy.execute("SELECT pg_sleep(0.4)"))
        sleeping.start()
        time.sleep(0.1)
        assert 0.1 < act.pause(bouncer.pooler) < 1
        sleeping.join(5)
        act.resume(bouncer.spec, bouncer.pooler, HERE)
        assert where(busy) == HERE


def test_a_server_that_failed_a_moment_ago_keeps_nobody_waiting(bouncer: Bouncer, databases: Pair) -> None:
    answers: list[str] = []
    with bouncer.client() as client:
        assert where(client) == HERE
        asyncio.run(databases.nodes["oslo"].control.stop())
        try:
            asking = threading.Thread(target=lambda: answers.append(where(client)))
            asking.start()
            time.sleep(1)  # PgBouncer has tried by now, and will not try again for a while
            assert answers == []
            began = time.monotonic()
            act.resume(bouncer.spec, bouncer.pooler, THERE)
            asking.join(14)
            assert answers == [THERE]
            assert time.monotonic() - began < 5  # server_login_retry is 15 s
        finally:
            asyncio.run(databases.nodes["oslo"].control.start())
    with console(bouncer.pooler) as line:
        config = {row["key"]: row["value"] for row in line.ask("SHOW CONFIG")}
    assert float(config[act.RETRY]) == 15


def test_whoever_is_in_the_middle_of_something_with_a_server_that_is_gone_is_sent_away(bouncer: Bouncer) -> None:
    with bouncer.client() as stuck:
        stuck.execute("BEGIN")
        stuck.execute("SELECT 1")
        assert act.resume(bouncer.spec, bouncer.pooler, THERE) == 1
        with pytest.raises(psycopg.Error):
            stuck.execute("SELECT 1")
    with bouncer.client() as another:
        assert where(another) == THERE


def test_a_pooler_that_does_not_include_our_file_is_told_and_nobody_is_let_go(bouncer: Bouncer) -> None:
    act.pause(bouncer.pooler)
    config = Path(bouncer.pooler.config)
    config.write_text(config.read_text().replace(include.include_line(config), "; gone"))
    with pytest.raises(FinalError) as told:
        act.resume(bouncer.spec, bouncer.pooler, THERE)
    assert told.value.slug == "pooler-not-ours"
    assert look(bouncer.pooler).paused == (DATABASE,)


def test_the_door_of_a_database_is_seen_from_outside(databases: Pair) -> None:
    port = databases.spec.database.port
    assert act.admits(HERE, port, DATABASE) is None
    assert act.admits("127.0.0.3", port, DATABASE) is not None
    assert act.admits(HERE, port, "no_such_database") is None


def test_a_narrow_pg_hba_conf_lets_clients_go_and_our_closed_door_does_not(databases: Pair) -> None:
    node, port = databases.nodes["oslo"], databases.spec.database.port
    hba = node.cluster.config / "pg_hba.conf"
    before = hba.read_text()
    local = "".join(f"{row}\n" for row in before.splitlines() if row.startswith("local"))
    try:
        for lines in (f"host {DATABASE} postgres {HERE}/32 scram-sha-256\n", f"hostssl all all {HERE}/32 trust\n"):
            said(node, local + lines)
            assert act.admits(HERE, port, DATABASE) is None
        door.lock(node.cluster)
        said(node, hba.read_text())
        shut = act.admits(HERE, port, DATABASE)
        assert shut is not None and shut.by_line
    finally:
        said(node, before)


def test_at_the_other_site_nothing_but_our_closed_door_keeps_the_knock_out(databases: Pair) -> None:
    node, port = databases.nodes["bergen"], databases.spec.database.port
    hba = node.cluster.config / "pg_hba.conf"
    before = hba.read_text()
    ours = hba_body(databases.spec, HERE) + "\n"
    try:
        said(node, ours + "host all all all reject\n")
        assert act.admits(THERE, port, DATABASE) is None
        door.lock(node.cluster)
        said(node, hba.read_text())
        shut = act.admits(THERE, port, DATABASE)
        assert shut is not None and shut.by_line
    finally:
        said(node, before)


def said(node: Node, lines: str) -> None:
    """Write pg_hba.conf, and have the server read it."""
    (node.cluster.config / "pg_hba.conf").write_text(lines)
    asyncio.run(node.control.reload())
    time.sleep(0.3)


def test_silence_is_a_state_and_not_an_error(tmp_path: Path) -> None:
    nobody = Pooler.model_validate({"databases": ["shop"], "socket": str(tmp_path)})
    assert "does not answer" in (look(nobody).reason or "")
