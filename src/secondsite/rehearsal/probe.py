"""A customer during a game day: a program of the file's choice that prints every attempt as a JSON line.

Protocol: ``PROGRAM --log FILE`` acts as a customer until SIGTERM and appends a line for each attempt, {kind, id,
sent_at, acknowledged_at, error, site_address}; ``PROGRAM verify --log FILE`` prints {orders_acknowledged,
orders_lost, files_acknowledged, files_lost}. Without a program a plain visitor reads ``gameday.url``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.errors import FinalError, UsageError
from secondsite.process import run
from secondsite.rehearsal.felt import Attempt
from secondsite.spec import Spec

VERIFY_SECONDS = 60.0
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A running customer and its log."""

    argv: tuple[str, ...]
    log: Path
    child: asyncio.subprocess.Process

    async def end(self) -> None:
        """Stop the customer, so that its list is complete; doing it twice changes nothing."""
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.child.wait()
        except TimeoutError:
            self.child.kill()
            await self.child.wait()

    def attempts(self) -> list[Attempt]:
        """Everything attempted so far; a line that is still being written is left out."""
        try:
            text = self.log.read_text()
        except FileNotFoundError:
            return []
        return [Attempt.parse(json.loads(line)) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    async def verify(self) -> Mapping[str, Any]:
        """Which acknowledged work is gone. Raises FinalError (``probe-failed``)."""
        done = await run(
            [*self.argv, "verify", "--log", str(self.log)], timeout=VERIFY_SECONDS, step="ask the customer"
        )
        try:
            found = json.loads(done.stdout)
        except ValueError as strange:
            raise FinalError("the probe's verify printed no JSON", slug="probe-failed") from strange
        return dict(found)


def program(spec: Spec) -> tuple[str, ...]:
    """The probe the file names, or the plain visitor. Raises UsageError (``no-probe``) where it names neither."""
    if spec.gameday.probe:
        return spec.gameday.probe
    if spec.gameday.url:
        return (sys.executable, "-m", "secondsite.rehearsal.visitor", "--url", spec.gameday.url)
    raise UsageError(
        "a game day measures what a customer feels, and the file names no customer",
        slug="no-probe",
        hint='add [gameday] url = "http://NAME/" (through the DNS name) or probe = ["PROGRAM", ...]',
    )


@asynccontextmanager
async def customer(argv: Sequence[str], log: Path) -> AsyncIterator[Probe]:
    """A customer at work; ended with the block, whatever happens. Raises FinalError where it does not start."""
    try:
        child = await asyncio.create_subprocess_exec(
            *argv, "--log", str(log), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
        )
    except OSError as missing:
        raise FinalError(f"the probe {argv[0]} does not start: {missing.strerror}", slug="probe-failed") from missing
    probe = Probe(tuple(argv), log, child)
    try:
        yield probe
    finally:
        await probe.end()
