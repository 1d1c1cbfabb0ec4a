"""systemd units: files and drop-ins of ours, and whether a unit is enabled and runs with what is on the disk."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge.files import TextFile
from secondsite.converge.resource import Change, Resource
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.process import run

UNITS = Path("/etc/systemd/system")
START_SECONDS = 90.0
LOOK_SECONDS = 10.0
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload",
               "ActiveEnterTimestampMonotonic")  # fmt: skip


@dataclass(frozen=True, slots=True)
class UnitLook:
    """A unit as ``systemctl show`` tells it. active_since: unix seconds, None where it never was."""

    load: str
    active: str
    sub: str
    enabled: str
    needs_reload: bool
    active_since: float | None

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")


async def look(unit: str) -> UnitLook:
    """The unit now; ``load`` is "not-found" where there is none. Raises SecondsiteError where systemd is silent."""
    argv = ["systemctl", "show", unit, *(f"--property={name}" for name in _PROPERTIES)]
    done = await run(argv, timeout=LOOK_SECONDS, step=f"look at {unit}")
    return parse_show(done.stdout, wall=time.time(), monotonic=time.clock_gettime(time.CLOCK_MONOTONIC))


def parse_show(text: str, *, wall: float, monotonic: float) -> UnitLook:
    """From the lines of ``systemctl show``; systemd's times are microseconds of CLOCK_MONOTONIC."""
    told = dict(row.split("=", 1) for row in text.splitlines() if "=" in row)
    since = int(told.get("ActiveEnterTimestampMonotonic") or 0)
    return UnitLook(
        load=told.get("LoadState", "not-found"),
        active=told.get("ActiveState", "inactive"),
        sub=told.get("SubState", "dead"),
        enabled=told.get("UnitFileState", ""),
        needs_reload=told.get("NeedDaemonReload") == "yes",
        active_since=wall - (monotonic - since / 1e6) if since else None,
    )


async def daemon_reload() -> None:
    """Make systemd read its files again. Raises SecondsiteError."""
    await run(["systemctl", "daemon-reload"], timeout=START_SECONDS, step="systemctl daemon-reload")


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit file or drop-in of ours, known to systemd. path is relative to /etc/systemd/system."""

    path: str
    content: str
    disrupts: str | None = None

    @property
    def name(self) -> str:
        return f"unit file {self.path}"

    @property
    def file(self) -> TextFile:
        return TextFile(UNITS / self.path, self.content, disrupts=self.disrupts)

    async def plan(self) -> Change | None:
        """Whether the file differs, or systemd has not read it yet."""
        change = await self.file.plan()
        if change is not None:
            return change
        owner = self.path.split("/", 1)[0].removesuffix(".d")
        if "@." in owner:  # a template has no state of its own
            return None
        return Change("make systemd read it") if (await look(owner)).needs_reload else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it and reload systemd."""
        await self.file.apply(change, emit)
        await daemon_reload()


@dataclass(frozen=True, slots=True)
class Unit:
    """Whether a unit is enabled and runs. None leaves that as it is.

    files: restarted where one of them is newer than the running unit (never reloaded half-way: what runs is what
    is on the disk). written: the resources that write them before the unit's turn comes: in a plan they are not newer
    yet, and will be. disrupts: what users notice at a restart or stop.
    """

    unit: str
    enabled: bool | None = True
    running: bool | None = True
    files: tuple[Path, ...] = ()
    written: tuple[Resource, ...] = ()
    disrupts: str | None = None
    timeout: float = START_SECONDS

    @property
    def name(self) -> str:
        return f"unit {self.unit}"

    async def plan(self) -> Change | None:
        """What differs. A unit that another resource will bring is planned as if it were there."""
        now = await look(self.unit)
        wanted: list[str] = []
        if self.enabled is not None and self.enabled != (now.enabled in ("enabled", "enabled-runtime", "static")):
            wanted.append("enable" if self.enabled else "disable")
        if self.running is True and not now.running:
            wanted.append("start")
        elif self.running is True and (self._outdated(now) or await self._about_to_be_outdated()):
            wanted.append("restart (its files are newer)")
        elif self.running is False and now.active not in ("inactive", "failed"):
            wanted.append("stop")
        disrupts = self.disrupts if any(act.startswith(("restart", "stop")) for act in wanted) else None
        return Change(", ".join(wanted), disrupts=disrupts) if wanted else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Enable, start, restart or stop. Raises FinalError (``unit-missing``, ``unit-failed``)."""
        now = await look(self.unit)
        if now.needs_reload or now.load == "not-found":
            await daemon_reload()
            now = await look(self.unit)
        if now.load == "not-found":
            raise FinalError(f"there is no unit {self.unit}", slug="unit-missing", step=self.name)
        if self.enabled is not None and self.enabled != (now.enabled in ("enabled", "enabled-runtime", "static")):
            await self._control("enable" if self.enabled else "disable")
        if self.running is True and (not now.running or self._outdated(now)):
            await self._control("restart")
        elif self.running is False:
            await self._control("stop")

    def _outdated(self, now: UnitLook) -> bool:
        if now.active_since is None:
            return False
        return any(path.exists() and path.stat().st_mtime > now.active_since for path in self.files)

    async def _about_to_be_outdated(self) -> bool:
        return any([await resource.plan() is not None for resource in self.written])

    async def _control(self, verb: str) -> None:
        done = await run(["systemctl", verb, self.unit], timeout=self.timeout, check=False, step=self.name)
        if done.ok:
            return
        told = await run(
            ["journalctl", "-u", self.unit, "-n", "12", "--no-pager", "-o", "cat"],
            timeout=LOOK_SECONDS, check=False,
        )  # fmt: skip
        raise FinalError(
            f"systemctl {verb} {self.unit} failed; its log ends: {last_words(told.stdout) or done.why()}",
            slug="unit-failed",
            step=self.name,
            hint=f"systemctl status {self.unit}; journalctl -u {self.unit}",
        )


def last_words(log: str) -> str:
    """The end of a unit's log on one line, without systemd's own remarks."""
    rows = [row.strip() for row in log.splitlines() if row.strip()]
    own = [row for row in rows if not re.match(r"\S+\.service: |(Starting|Started|Stopped|Failed to start) ", row)]
    return " / ".join((own or rows)[-4:])[-600:]
