"""The process ``secondsite files watch`` as systemd starts it: how soon it watches, what it holds, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from secondsite.errors import RetryableError
from secondsite.files.offer.call import call
from secondsite.files.offer.seal import read_line
from secondsite.files.watch import config
from tests.integration.database_clusters import free_port
from tests.integration.file_systems import file_system

TOKEN = b"what both sites know"
_PROGRAM = (
    "import sys; from pathlib import Path; from secondsite.files.watch.program import main;"
    "sys.exit(main(*map(Path, sys.argv[1:])))"
)


@dataclass(slots=True)
class Program:
    """One life of the process."""

    child: subprocess.Popen[bytes]
    port: int
    began: float
    log: Path
    status: socket.socket

    async def health(self) -> dict[str, Any]:
        """What it says of the set, as soon as it says something."""
        for _ in range(400):
            try:
                line = await call("127.0.0.1", self.port, lambda: TOKEN, {"do": "health"}, timeout=2)
            except RetryableError:
                assert self.child.poll() is None, self.log.read_text()
                await asyncio.sleep(0.02)
                continue
            with line:
                found: dict[str, Any] = json.loads(await read_line(line))["sets"]["uploads"]
                return found
        raise TimeoutError(self.log.read_text())

    async def watching(self) -> float:
        """Seconds from its start until it watches."""
        for _ in range(400):
            if (await self.health())["watching"]:
                return time.monotonic() - self.began
            await asyncio.sleep(0.02)
        raise TimeoutError(self.log.read_text())

    def resident(self) -> int:
        """Bytes of memory that are its own and in use (proc(5), VmRSS)."""
        rows = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return int(next(row for row in rows if row.startswith("VmRSS")).split()[1]) * 1024

    def processor(self) -> float:
        """Seconds of processor time so far."""
        told = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def program(folder: Path, base: Path) -> Iterator[Program]:
    port = free_port()
    settings, token, log = base / "watch.json", base / "token", base / "log"
    settings.write_text(config.text("127.0.0.1", port, [("uploads", str(folder))], {"uploads": ""}))
    token.write_bytes(TOKEN)
    status = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    status.bind(f"\0secondsite-test-{os.getpid()}-{port}")
    status.settimeout(10)
    environment = {**os.environ, "NOTIFY_SOCKET": f"@secondsite-test-{os.getpid()}-{port}"}
    argv = [sys.executable, "-c", _PROGRAM, str(settings), str(base / "journals"), str(token)]
    with status, log.open("ab") as errors:
        child = subprocess.Popen(argv, stderr=errors, env=environment)
        try:
            yield Program(child, port, time.monotonic(), log, status)
        finally:
            child.kill()
            child.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with file_system(tmp_path, "ext4") as ready:
        yield ready


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000}").mkdir(parents=True)
        (folder / f"{number // 1000}" / f"file-{number}").touch()


async def test_it_watches_at_once_and_is_small_whatever_the_number_of_files(disk: Path, tmp_path: Path) -> None:
    fill(disk / "uploads", 15_000)
    with program(disk / "uploads", tmp_path) as running:
        assert await running.watching() < 10, "its start, and no walk over the files"
        status = running.status.recv(1000)
        assert status == b"READY=1\nSTATUS=uploads: watched by fanotify"
        for each in (disk / "uploads" / "7").iterdir():
            each.write_text("x")
        seen = await running.health()
        assert (seen["kind"], seen["pending"], seen["problem"], seen["overflows"]) == ("fanotify", 1000, None, 0)
        assert seen["oldest_at"] == pytest.approx(time.time(), abs=10)
        assert running.resident() < 60 * 1024 * 1024
        assert "uploads: watched by fanotify" in running.log.read_text()


async def test_while_nothing_happens_it_hardly_runs(disk: Path, tmp_path: Path) -> None:
    (disk / "uploads").mkdir()
    with program(disk / "uploads", tmp_path) as running:
        await running.watching()
        await asyncio.sleep(1)
        before = running.processor()
        await asyncio.sleep(8)
        assert running.processor() - before <= 0.08


async def test_it_ends_when_told_to_and_a_new_life_is_a_new_epoch(disk: Path, tmp_path: Path) -> None:
    (disk / "uploads").mkdir()
    epochs: set[str] = set()
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        with program(disk / "uploads", tmp_path) as running:
            await running.watching()
            (disk / "uploads" / f"file-{len(epochs)}").write_text("x")
            epochs.add((await running.health())["epoch"])
            running.child.send_signal(number)
            assert running.child.wait(10) == (0 if number == signal.SIGTERM else -number)
            assert "Traceback" not in running.log.read_text()
    assert len(epochs) == 3, "nobody has watched in between"


async def test_a_port_that_is_taken_does_not_keep_it_from_watching(disk: Path, tmp_path: Path) -> None:
    (disk / "uploads").mkdir()
    with program(disk / "uploads", tmp_path) as first:
        await first.watching()
        (tmp_path / "second").mkdir()
        settings = json.loads((tmp_path / "watch.json").read_text())
        (tmp_path / "second" / "watch.json").write_text(json.dumps(settings))
        argv = [sys.executable, "-c", _PROGRAM, str(tmp_path / "second" / "watch.json"), str(tmp_path / "second")]
        second = await asyncio.create_subprocess_exec(*argv, str(tmp_path / "token"), stderr=asyncio.subprocess.PIPE)
        assert second.stderr is not None
        told = [await asyncio.wait_for(second.stderr.readline(), 10) for _ in range(2)]
        second.kill()
        await second.wait()
        assert any(b"cannot listen on 127.0.0.1" in line for line in told)
        assert any(b"uploads: watched by fanotify" in line for line in told)


def test_nothing_heavy_is_loaded() -> None:
    """What a small process holds for ever is what it has imported."""
    code = "import sys, secondsite.files.watch.program; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"pydantic", "cyclopts", "rich", "psycopg", "asyncssh", "starlette", "uvicorn", "jinja2", "cryptography"}
    assert heavy & set(done.stdout.split()) == set()
