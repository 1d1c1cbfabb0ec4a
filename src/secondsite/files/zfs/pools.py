"""The pools in which file sets are: an engine that works today fails on one that is full, or has no disk left to lose.

Also what this user may do with a set's dataset, where it is not root's: zfs-allow(8).
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondsite.files import store as records
from secondsite.files.store import STORE
from secondsite.files.zfs.host import HERE, Host
from secondsite.files.zfs.parse import number
from secondsite.spec import FileSet

SOURCE_MAY = frozenset({"send", "hold", "release", "bookmark", "snapshot"})
_GIVEN = re.compile(r"^\s+(?:user (?P<user>\S+)|(?P<all>everyone)) (?P<what>\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PoolState:
    """health: ONLINE, DEGRADED, FAULTED, UNAVAIL, SUSPENDED (zpoolconcepts(7)); MISSING where it is not imported.

    used: percent of its space, None where it cannot be read. sets: file sets in it. lacking: what zfs-allow(8) would
    have to give this program's user, by dataset; empty for root.
    """

    name: str
    health: str
    used: int | None = None
    sets: tuple[str, ...] = ()
    lacking: tuple[tuple[str, tuple[str, ...]], ...] = ()


async def look(filesets: Iterable[FileSet], store: Path = STORE, host: Host | None = None) -> tuple[PoolState, ...]:
    """Of each pool in which a set lies. Raises RetryableError (``program-timeout``)."""
    if host is None and shutil.which("zfs") is None:
        return ()
    here = host or HERE
    found: dict[str, list[tuple[str, str]]] = {}
    for each in filesets:
        dataset = await _dataset(each, here, store)
        if dataset is not None:
            found.setdefault(dataset.partition("/")[0], []).append((each.name, dataset))
    return tuple([await _pool(here, name, sets) for name, sets in found.items()])


async def _dataset(fileset: FileSet, host: Host, store: Path) -> str | None:
    """Where the set is, or would be; an earlier pull has noted it, which counts where its pool is not imported."""
    if fileset.engine == "rsync":
        return None
    record = records.load(fileset.name, store)
    return record.dataset or (None if record.engine == "rsync" else await host.dataset_at(str(fileset.path)))


async def _pool(host: Host, name: str, sets: Iterable[tuple[str, str]]) -> PoolState:
    done = await host.run("zpool", "list", "-H", "-o", "health", name, check=False)
    health = done.stdout.strip()
    named = tuple(fileset for fileset, _ in sets)
    if not done.ok or not health:
        return PoolState(name, "MISSING", None, named)
    wanted = () if os.geteuid() == 0 else tuple(dataset for _, dataset in sets)
    lacking = [(each, await missing(host, each, getpass.getuser())) for each in wanted]
    return PoolState(name, health, await _used(host, name), named, tuple(one for one in lacking if one[1]))


async def _used(host: Host, pool: str) -> int | None:
    """Percent of what can be used: zpool's own capacity also counts what ZFS keeps for itself."""
    done = await host.run("zfs", "get", "-Hp", "-o", "value", "used,available", pool, check=False)
    used, free = ([number(each) for each in done.stdout.split()] + [None, None])[:2]
    return None if used is None or free is None or not used + free else used * 100 // (used + free)


async def missing(host: Host, dataset: str, user: str) -> tuple[str, ...]:
    """What the source's part needs and ``user`` may not do with the dataset. Groups are not looked at."""
    done = await host.run("zfs", "allow", dataset, check=False)
    given = {
        word
        for line in _GIVEN.finditer(done.stdout)
        if line["all"] or line["user"] == user
        for word in line["what"].split(",")
    }
    return tuple(sorted(SOURCE_MAY - given))
