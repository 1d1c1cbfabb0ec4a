"""Our block at the top of pg_hba.conf: who may connect from where (manual 21.1); the first matching line decides."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.converge.block import with_block
from secondsite.converge.diff import unified
from secondsite.converge.resource import Change
from secondsite.converge.write import atomically
from secondsite.database.cluster import OWNER
from secondsite.database.connect import local
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.reload import is_loaded, reload
from secondsite.database.settings import READER_ROLE, REWIND_ROLE, ROLE, SLOT_DATABASE
from secondsite.database.state import Role
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.spec import Spec

LABEL = "database"


def body(spec: Spec, peer_address: str) -> str:
    """The block's lines: our roles from the peer's tunnel address only, the reader from this host only, what the peer's
    pooler is for, and the clients' networks of the file.

    The role for a rewind exists only while one lasts. The standby copies logical slots over an ordinary connection. The
    delayed standby comes through the unix socket, as the owner.
    """
    keep = spec.database.keep_logical_slots
    rows = [
        ("host", "replication", ROLE, f"{peer_address}/32", "scram-sha-256"),
        *([("host", SLOT_DATABASE, ROLE, f"{peer_address}/32", "scram-sha-256")] if keep else []),
        ("host", "postgres", REWIND_ROLE, f"{peer_address}/32", "scram-sha-256"),
        *([("local", "replication", OWNER, "", "peer")] if spec.database.delayed else []),
        ("local", "all", READER_ROLE, "", "scram-sha-256"),
        ("local", "all,replication", f"{ROLE},{REWIND_ROLE}", "", "reject"),
        ("host", "all,replication", f"{ROLE},{REWIND_ROLE},{READER_ROLE}", "all", "reject"),
        *(("host", name, "all", f"{peer_address}/32", "scram-sha-256") for name in _pooled(spec)),
        *(("host", "all", "all", str(network), "scram-sha-256") for network in spec.database.clients),
    ]
    return "\n".join(
        f"{kind:<7} {database:<16} {user:<40} {where:<18} {how}" for kind, database, user, where, how in rows
    )


def _pooled(spec: Spec) -> tuple[str, ...]:
    """What the clients of the other site's PgBouncer come for while the primary is here."""
    return spec.database.pooler.databases if spec.database.pooler else ()


@dataclass(frozen=True, slots=True)
class HbaBlock:
    """The block in place, and loaded by a server that runs."""

    node: Node
    body: str
    standby: bool = False

    @property
    def name(self) -> str:
        return f"block {LABEL} in {self.node.hba_file}"

    async def plan(self) -> Change | None:
        """What differs. Raises FinalError (``hba-refused``) where the server rejects a line of the file."""
        found = self._found()
        wanted = with_block(found, self.body, LABEL, place="top")
        if wanted != found:
            return Change("update who may connect", unified(found, wanted, str(self.node.hba_file)))
        if not self._live():
            return None
        with local(self.node.cluster, step=self.name) as connection:
            if not is_loaded(connection, self.node.hba_file):
                return Change("reload: the server has not read it yet")
            errors = connection.execute(
                "SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL"
            ).fetchall()
        if errors:
            raise FinalError(
                f"line {errors[0][0]} of {self.node.hba_file}: {errors[0][1]}", slug="hba-refused", step=self.name
            )
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it, keeping the file's mode and owner, and reload."""
        found = self._found()
        wanted = with_block(found, self.body, LABEL, place="top")
        if wanted != found:
            mode = self.node.hba_file.stat().st_mode & 0o7777
            atomically(self.node.hba_file, wanted.encode("utf-8", "surrogateescape"), mode=mode, owner=OWNER)
        if self._live():
            await reload(self.node, step=self.name)

    def _live(self) -> bool:
        """Whether a server runs that this file is for; one that is about to be replaced is left alone."""
        return self.node.running and (not self.standby or observe(self.node.cluster).role is Role.STANDBY)

    def _found(self) -> str:
        if not self.node.hba_file.exists():
            return ""
        return self.node.hba_file.read_text(errors="surrogateescape")
