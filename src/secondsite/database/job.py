"""Long work that outlives whoever began it: a dropped SSH session must not end an hour of copying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from secondsite import process

ORDER_SECONDS = 30


class JobState(StrEnum):
    """What systemd says about the work."""

    NONE = "none"  # never begun, or ended well and forgotten
    RUNNING = "running"
    FAILED = "failed"


class Job(Protocol):
    """One piece of work at a time, under a fixed name."""

    async def state(self) -> JobState:
        """How it is now."""

    async def start(self, argv: Sequence[str], *, user: str, log: Path, env: Mapping[str, str]) -> None:
        """Begin it, its standard error going to ``log``. Raises SecondsiteError where it cannot begin."""

    async def stop(self) -> None:
        """End it; not running is fine."""


class SystemdJob:
    """A transient unit (systemd-run)."""

    def __init__(self, unit: str, description: str) -> None:
        self.unit = f"{unit}.service"
        self._description = description

    async def state(self) -> JobState:
        done = await process.run(
            ["systemctl", "show", "--property=ActiveState", "--value", self.unit], timeout=ORDER_SECONDS, check=False
        )
        match done.stdout.strip():
            case "active" | "activating" | "deactivating" | "reloading":
                return JobState.RUNNING
            case "failed":
                return JobState.FAILED
            case _:
                return JobState.NONE

    async def start(self, argv: Sequence[str], *, user: str, log: Path, env: Mapping[str, str]) -> None:
        await process.run(["systemctl", "reset-failed", self.unit], timeout=ORDER_SECONDS, check=False)
        await process.run(
            [
                "systemd-run",
                f"--unit={self.unit}",
                "--quiet",
                f"--description={self._description}",
                f"--uid={user}",
                "--property=Type=exec",
                f"--property=StandardError=truncate:{log}",
                "--property=StandardOutput=null",
                *(f"--setenv={key}={value}" for key, value in env.items()),
                "--",
                *argv,
            ],
            timeout=ORDER_SECONDS,
            step=self.unit,
        )

    async def stop(self) -> None:
        await process.run(["systemctl", "stop", self.unit], timeout=ORDER_SECONDS, check=False)
