"""This host's part of the database: the cluster, how it is started and stopped, and where our files for it are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.control import Control, SystemdControl
from secondsite.database.job import Job, SystemdJob
from secondsite.spec import Spec, paths

PASSFILE = Path("/var/lib/postgresql/.secondsite-pgpass")
SEED_UNIT = "secondsite-seed"
REWIND_UNIT = "secondsite-rewind"


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster on this host. The defaults are a real host's; tests bring a throwaway cluster of their own.

    state: folder for what we remember about the seed and for its log.
    """

    cluster: Cluster
    control: Control
    seed_job: Job = field(default_factory=lambda: SystemdJob(SEED_UNIT, "secondsite: base backup from the primary"))
    rewind_job: Job = field(default_factory=lambda: SystemdJob(REWIND_UNIT, "secondsite: rewind of a former primary"))
    passfile: Path = PASSFILE
    state: Path = paths.STATE / "database"

    @classmethod
    def of(cls, spec: Spec) -> Node:
        """The cluster the file names."""
        cluster = Cluster.parse(spec.database.cluster, spec.database.port)
        return cls(cluster, SystemdControl(cluster))

    @property
    def settings_file(self) -> Path:
        return self.cluster.config / "conf.d" / "secondsite.conf"

    @property
    def hba_file(self) -> Path:
        return self.cluster.config / "pg_hba.conf"

    @property
    def running(self) -> bool:
        """A postmaster has the data directory, or died without tidying up."""
        return (self.cluster.data / "postmaster.pid").exists()


def owner() -> str | None:
    """Whom to run PostgreSQL's programs as: its owner where this process is root, else this process's user."""
    return OWNER if os.geteuid() == 0 else None
