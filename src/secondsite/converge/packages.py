"""Debian packages: installed with apt-get, without recommendations, without questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secondsite.converge import apt
from secondsite.converge.files import TextFile
from secondsite.converge.resource import Change
from secondsite.events import Emit

CREATECLUSTER = Path("/etc/postgresql-common/createcluster.d/secondsite.conf")
_NO_CLUSTER = TextFile(
    CREATECLUSTER,
    "# Written by secondsite: a cluster is created on purpose or not at all.\ncreate_main_cluster = false\n",
)


@dataclass(frozen=True, slots=True)
class Packages:
    """Packages that must be installed; others are left alone, versions as apt chooses them."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return "packages"

    async def plan(self) -> Change | None:
        """Which are missing, or that an interrupted installation has to be finished.

        Raises FinalError (``postgresql-version``) where apt knows now that it has no such server.
        """
        missing = await apt.missing(self.names)
        nowhere = await apt.without_candidate([name for name in missing if re.fullmatch(r"postgresql-\d+", name)])
        if nowhere:
            raise apt.no_server(nowhere)
        if missing:
            return Change(f"install {' '.join(missing)}", "\n".join(f"+{name}" for name in missing))
        broken = await apt.half_installed()
        return Change(f"finish the interrupted installation of {' '.join(broken)}") if broken else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Install what is missing. Raises FinalError (``package-unavailable``, ``apt-failed``, ``apt-locked``)."""
        if await apt.half_installed():
            await apt.repair()
        missing = await apt.missing(self.names)
        if any(re.match(r"postgresql-\d", name) for name in missing):
            await _NO_CLUSTER.apply(change, emit)
        if missing:
            await apt.install(missing, emit)


def wanted(first: Sequence[str], *more: str) -> Packages:
    """Packages by name, each once, in a stable order."""
    return Packages(tuple(dict.fromkeys([*first, *more])))
