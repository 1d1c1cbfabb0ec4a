"""The standby's configuration folder, made once from the primary's files so that a failover finds the same settings.

Later differences are not overwritten (the administrator may have reasons): ``gather`` shows both sides' files, and
readiness reports what differs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondsite import process
from secondsite.converge.resource import Change
from secondsite.converge.write import aside, ids, sync_directory
from secondsite.database import conffile
from secondsite.database.cluster import OWNER
from secondsite.database.controldata import read
from secondsite.database.facts import Facts
from secondsite.database.gather import config_files
from secondsite.database.node import Node
from secondsite.errors import FinalError
from secondsite.events import Emit, Note

PRIVATE = frozenset({"pg_hba.conf", "pg_ident.conf"})
CREATE = "create from the primary's files"
FILE_SETTINGS = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file")


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """/etc/postgresql/V/N, from the primary's files where it is missing or belongs to a cluster nobody ever used."""

    node: Node
    facts: Facts

    @property
    def name(self) -> str:
        return f"cluster configuration {self.node.cluster.config}"

    async def plan(self) -> Change | None:
        """Whether it is missing. Raises FinalError (``primary-unknown``, ``config-unsuited``)."""
        config = self.node.cluster.config
        there = (config / "postgresql.conf").exists()
        if there and not await self._unused():
            return None
        files = self._files()
        if there and config_files(self.node.cluster) == files:
            return None
        self._refuse_unsuited(files)
        summary = "replace by the primary's files (nobody has used this cluster; moved aside)" if there else CREATE
        return Change(summary, "\n".join(f"+ {config / name}" for name in sorted(files)))

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write every file into a side folder and rename it, so that a half-made configuration is never seen."""
        config = self.node.cluster.config
        side = config.with_name(f".{config.name}.secondsite")
        if side.exists():
            shutil.rmtree(side)
        (side / "conf.d").mkdir(parents=True)
        for name, text in self._files().items():
            path = side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            path.chmod(0o640 if path.name in PRIVATE else 0o644)
        if os.geteuid() == 0:
            _give(side.parent, side)
        if config.exists() and any(config.iterdir()):
            emit(Note(f"{config} is now {aside(config, store=self.node.state.parent / 'aside')}", level="warning"))
        elif config.exists():
            config.rmdir()
        side.rename(config)
        sync_directory(config.parent)
        if Path("/run/systemd/system").is_dir():
            await process.run(["systemctl", "daemon-reload"], timeout=60, step=self.name)

    async def _unused(self) -> bool:
        """The cluster here is what a package's installation leaves: no object of anybody's, never a standby."""
        data = self.node.cluster.data
        primary = self.facts.primary
        if not (data / "PG_VERSION").exists() or primary is None:
            return False
        control = await read(self.node.cluster)
        return control.untouched and control.system_identifier != primary.system_identifier

    def _files(self) -> Mapping[str, str]:
        primary = self.facts.primary
        if primary is None or "postgresql.conf" not in primary.config_files:
            raise FinalError(
                "the primary's configuration files are unknown, so this host's cannot be made from them",
                slug="primary-unknown",
                step=self.name,
            )
        return primary.config_files

    def _refuse_unsuited(self, files: Mapping[str, str]) -> None:
        """The primary's files name other files; those must be here too, and the data where Debian puts it."""
        settings = conffile.effective(conffile.parse(files["postgresql.conf"]))
        data = settings.get("data_directory", str(self.node.cluster.data))
        if Path(data) != self.node.cluster.data:
            raise FinalError(
                f"the primary keeps its data in {data}, not in {self.node.cluster.data}",
                slug="config-unsuited",
                step=self.name,
                hint="secondsite supports clusters laid out as pg_createcluster does it",
            )
        for name in FILE_SETTINGS:
            path = settings.get(name, "")
            if path.startswith("/") and not Path(path).exists() and settings.get("ssl") == "on":
                raise FinalError(
                    f"the primary's postgresql.conf names {path} ({name}), which this host does not have",
                    slug="config-unsuited",
                    step=self.name,
                    hint="copy the file here, or install the package that brings it (ssl-cert)",
                )


def _give(version_folder: Path, side: Path) -> None:
    """Everything belongs to PostgreSQL's owner, as pg_createcluster leaves it."""
    owner = ids(OWNER, None)
    os.chown(version_folder, *owner)
    for path in (side, *side.rglob("*")):
        os.chown(path, *owner)
