"""Bring our settings file into effect: write, reload or restart, and see what the running server says."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from secondsite.converge.diff import unified
from secondsite.converge.resource import Change
from secondsite.converge.write import atomically
from secondsite.database import conffile
from secondsite.database.cluster import OWNER
from secondsite.database.connect import local
from secondsite.database.control import answering
from secondsite.database.controldata import read
from secondsite.database.facts import Facts
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.reload import is_loaded, reload
from secondsite.database.settings import NEED_RESTART, Observed, render, wanted
from secondsite.database.state import Role
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit
from secondsite.spec import Spec

START_SECONDS = 120
RESTARTS = "PostgreSQL restarts: connections break, and writes fail for some seconds"
STANDBY_RESTARTS = "PostgreSQL restarts: replication pauses, and connections to the standby break, for some seconds"
_PENDING = "SELECT name FROM pg_settings WHERE pending_restart ORDER BY name"
_FAULTS = "SELECT name, sourcefile, sourceline, error FROM pg_file_settings WHERE error IS NOT NULL ORDER BY seqno"
_OVERRIDDEN = """
SELECT o.name, w.sourcefile FROM pg_file_settings o JOIN pg_file_settings w ON w.name = o.name AND w.applied
 WHERE o.sourcefile = %s AND NOT o.applied AND o.error IS NULL AND w.sourcefile <> o.sourcefile
   AND o.name NOT IN ('primary_conninfo', 'primary_slot_name')
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Our file in conf.d, and a running server that follows it. standby: it must not have less than its primary."""

    node: Node
    spec: Spec
    site: str
    facts: Facts
    standby: bool

    @property
    def name(self) -> str:
        return f"settings {self.node.settings_file}"

    async def plan(self) -> Change | None:
        """What differs.

        Raises FinalError: ``conf-d-not-included``, ``settings-refused`` (an error in any of the server's files),
        ``setting-overridden`` (another file, such as postgresql.auto.conf, says otherwise).
        """
        text = await self._wanted()
        path = self.node.settings_file
        found = path.read_text() if path.exists() else ""
        if found != text:
            restart = self._live() and _needs_restart(found, text)
            diff = unified(found, text, str(path))
            return Change("update" if found else "create", diff, self._noticed if restart else None)
        if not self._live():
            return None
        with local(self.node.cluster, step=self.name) as connection:
            return self._unloaded(connection)

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it and have the server follow it."""
        path = self.node.settings_file
        text = await self._wanted()
        if not path.exists() or path.read_text() != text:
            atomically(path, text.encode(), mode=0o644, owner=OWNER)
        if not self._live():
            return
        await reload(self.node, step=self.name)
        with local(self.node.cluster, step=self.name) as connection:
            self._refuse_faults(connection)
            restart = self._restart_reason(connection)
        if restart:
            await self.node.control.restart()
            await answering(self.node.cluster, seconds=START_SECONDS)

    @property
    def _noticed(self) -> str:
        return STANDBY_RESTARTS if self.standby else RESTARTS

    def _live(self) -> bool:
        """Whether a server runs that this file is for; one that is about to be replaced is left alone."""
        return self.node.running and (not self.standby or observe(self.node.cluster).role is Role.STANDBY)

    def _unloaded(self, connection: psycopg.Connection[Any]) -> Change | None:
        if not is_loaded(connection, self.node.settings_file):
            return Change("reload: the server has not read it yet")
        self._refuse_faults(connection)
        reason = self._restart_reason(connection)
        if reason:
            return Change(reason, "", self._noticed)
        stronger = connection.execute(_OVERRIDDEN, (str(self.node.settings_file),)).fetchone()
        if stronger:
            name, file = stronger
            raise FinalError(
                f"{name} is set otherwise in {file}, which is read after our file",
                slug="setting-overridden",
                step=self.name,
                hint=f"ALTER SYSTEM RESET {name}; or remove the line from {file}",
            )
        return None

    def _refuse_faults(self, connection: psycopg.Connection[Any]) -> None:
        """Raises FinalError (``settings-refused``) for a fault in any file: with it the server would not start again.

        What only a restart brings stands there as a fault, too ("setting could not be applied", as of a wrong value).
        Reading the files has marked it pending_restart in this session, whether or not anybody has reloaded.
        """
        faults = connection.execute(_FAULTS).fetchall()
        pending = {row[0].lower() for row in connection.execute(_PENDING).fetchall()}
        for name, file, line, error in faults:
            if (name or "").lower() not in pending:
                raise FinalError(f"{file} line {line}: {error}", slug="settings-refused", step=self.name)

    def _restart_reason(self, connection: psycopg.Connection[Any]) -> str | None:
        names = [row[0] for row in connection.execute(_PENDING).fetchall()]
        if names:
            return f"restart for {', '.join(names)}"
        if not _listening(self.facts.own_address, self.node.cluster.port):
            return f"restart: the server does not listen on {self.facts.own_address}"
        return None

    async def _wanted(self) -> str:
        beneath, checksums = await self._observed()
        primary = self.facts.primary
        observed = Observed(beneath, checksums, primary.settings if primary and self.standby else {})
        lines = wanted(
            self.spec,
            self.site,
            observed,
            own_address=self.facts.own_address,
            peer_address=self.facts.peer_address,
            passfile=str(self.node.passfile),
        )
        return render(lines)

    async def _observed(self) -> tuple[Mapping[str, str], bool]:
        """The cluster's other files, and whether it has checksums; the primary's where nothing is here yet."""
        primary = self.facts.primary
        config, data = self.node.cluster.config, self.node.cluster.data
        if not (config / "postgresql.conf").exists():
            text = primary.config_files.get("postgresql.conf", "") if primary else ""
            return conffile.effective(conffile.parse(text)), bool(primary and primary.data_checksums)
        lines = conffile.load(config / "postgresql.conf", without=[self.node.settings_file])
        if not conffile.includes_folder(lines, config / "conf.d"):
            raise FinalError(
                f"{config}/postgresql.conf does not include the folder conf.d, so our settings would have no effect",
                slug="conf-d-not-included",
                step=self.name,
                hint=f"add the line  include_dir = 'conf.d'  to {config}/postgresql.conf",
            )
        try:
            checksums = (await read(self.node.cluster)).checksums if (data / "PG_VERSION").exists() else None
        except SecondsiteError:
            checksums = None
        if checksums is None:
            checksums = bool(primary and primary.data_checksums)
        return conffile.effective(lines), checksums


def _needs_restart(old: str, new: str) -> bool:
    """Whether a line changes that only a restart brings into effect."""
    before, after = (conffile.effective(conffile.parse(text)) for text in (old, new))
    return any(before.get(name) != after.get(name) for name in NEED_RESTART)


def _listening(address: str, port: int) -> bool:
    """Whether the port answers on our tunnel address; an address this host does not have yet is passed over."""
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError:
        return True
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
