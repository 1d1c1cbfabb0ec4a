"""Where the delayed standby is, and what its configuration says: pure functions of the specification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from secondsite.database.cluster import OWNER, Cluster
from secondsite.database.conffile import quote
from secondsite.database.control import SystemdControl
from secondsite.database.job import SystemdJob
from secondsite.database.node import Node
from secondsite.database.settings import AT_LEAST_PRIMARYS, HEADER
from secondsite.database.source import Source
from secondsite.spec import Delayed, paths

SLOT = "delayed_secondsite"  # not one of ``slot.PREFIX``: those are dropped where a site changes its role
SEED_UNIT = "secondsite-seed-delayed"


def node(delayed: Delayed) -> Node:
    """Its cluster on this host, with a seed and a memory of its own."""
    cluster = Cluster.parse(delayed.cluster, delayed.port)
    job = SystemdJob(SEED_UNIT, "secondsite: base backup for the delayed standby")
    return Node(cluster, SystemdControl(cluster), seed_job=job, state=paths.STATE / "delayed")


def source(upstream: Cluster) -> Source:
    """This site's own cluster, as its owner: the kernel vouches for who asks (manual 21.9, peer)."""
    parts = {
        "host": upstream.socket_directory,
        "port": upstream.port,
        "user": OWNER,
        "application_name": SLOT,
        "connect_timeout": 5,
        "options": "-clc_messages=C",  # what it answers is read in the log, see ``parted``
    }
    return Source(" ".join(f"{key}={value}" for key, value in parts.items()), SLOT, f"{upstream}", remote=False)


def settings(delayed: Delayed, cluster: Cluster, upstream: Cluster, its_settings: Mapping[str, str]) -> dict[str, str]:
    """Name to value: the whole configuration. Nobody reaches it from the network, and it never archives."""
    minimums = {name: its_settings[name] for name in AT_LEAST_PRIMARYS if name in its_settings}
    return {
        "data_directory": str(cluster.data),
        "hba_file": str(cluster.config / "pg_hba.conf"),
        "ident_file": str(cluster.config / "pg_ident.conf"),
        "cluster_name": str(cluster),
        "port": str(cluster.port),
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.socket_directory),
        "hot_standby": "on",
        "recovery_min_apply_delay": f"{int(delayed.delay)}s",
        "primary_conninfo": source(upstream).conninfo,
        "primary_slot_name": SLOT,
        "wal_retrieve_retry_interval": "1s",
        "archive_mode": "off",
        "lc_messages": "C",
        **minimums,
    }


def files(
    delayed: Delayed, cluster: Cluster, upstream: Cluster, its_settings: Mapping[str, str], its_hba: str
) -> dict[Path, str]:
    """The configuration as Debian lays it out; who may log in locally there may log in here."""
    told = settings(delayed, cluster, upstream, its_settings)
    main = HEADER + "".join(f"{name} = {quote(value)}\n" for name, value in told.items())
    return {
        cluster.config / "postgresql.conf": main,
        cluster.config / "pg_hba.conf": HEADER + local_lines(its_hba),
        cluster.config / "pg_ident.conf": HEADER,
        cluster.config / "start.conf": "auto\n",
    }


def local_lines(hba: str) -> str:
    """The lines of a pg_hba.conf that are about the unix socket."""
    return "".join(f"{line}\n" for line in hba.splitlines() if line.split()[:1] == ["local"])
