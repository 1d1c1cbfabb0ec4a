"""Run rsync: progress as it goes, a deadline, and no process left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secondsite.errors import FinalError
from secondsite.files.rsync.output import progress
from secondsite.files.store import Held

LINE_BYTES = 65536
KEPT_BYTES = 262144  # of what it prints; a listing may be longer and only its end matters


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. code: None where its deadline passed."""

    code: int | None
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return f"{self.stdout}\n{self.stderr}"


Watch = Callable[[int, int | None, float, int], None]


async def run(argv: Sequence[str], *, seconds: float, held: Held | None = None, watch: Watch | None = None) -> Ended:
    """Run ``argv`` for ``seconds`` at most. Raises FinalError (slug ``program-missing``) where rsync is not here."""
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
            env=dict(os.environ) | {"LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError as missing:
        raise FinalError(
            "rsync is not installed here", slug="program-missing", step="pull files", hint="apt-get install rsync"
        ) from missing
    try:
        if held is not None:
            held.running(child.pid)
        async with asyncio.timeout(seconds):
            assert child.stdout is not None and child.stderr is not None
            out, err = await asyncio.gather(_read(child.stdout, watch), _read(child.stderr, None))
            return Ended(await child.wait(), out, err)
    except TimeoutError:
        return Ended(None, "", "")
    finally:
        await _end(child)
        if held is not None:
            held.running(None)


async def _read(stream: asyncio.StreamReader, watch: Watch | None) -> str:
    kept = bytearray()
    while chunk := await stream.read(LINE_BYTES):
        kept += chunk
        del kept[:-KEPT_BYTES]
        if watch is not None and (seen := progress(chunk.decode("utf-8", "replace"))):
            watch(*seen)
    return kept.decode("utf-8", "surrogateescape").replace("\r", "\n")


async def _end(child: asyncio.subprocess.Process) -> None:
    """The generator, the receiver and whoever else is in its group."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
