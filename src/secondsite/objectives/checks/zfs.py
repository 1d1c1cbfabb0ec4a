"""Checks of the pools in which file sets lie: does each have its disks, and room?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.finding import Judged, Problem, Registry, Severity
from secondsite.spec.model import Spec

# Of what can be used, which is less than the disks have (spa_slop_shift, zfs(4)). ZFS slows down as it fills.
NEARLY_FULL, FULL = 80, 95
_MEANS = {
    "MISSING": ("the pool {pool} is not imported", "`zpool import` there; then the next round goes on"),
    "DEGRADED": (
        "the pool {pool} has lost a disk and still works: the next one may take it along",
        "`zpool status {pool}` names it; `zpool replace` or `zpool online`",
    ),
}


def _some(spec: Spec) -> bool:
    return any(fileset.engine != "rsync" for fileset in spec.files)


registry = Registry(sees=lambda state: state.pools is not None, named=_some)


def _pools(judged: Judged) -> Iterator[tuple[str, PoolState]]:
    for site in judged.situation.spec.site_names:
        state = judged.situation.present(site)
        for pool in (state.pools or ()) if state is not None else ():
            yield site, pool


def _sets(pool: PoolState) -> str:
    return f"file set{'s' if len(pool.sets) > 1 else ''} {', '.join(pool.sets)}"


@registry.check("zfs-pool", Severity.CRITICAL, "Does every pool of a file set have all its disks?")
def zfs_pool(judged: Judged) -> Iterator[Problem]:
    """Degraded is a warning; a pool that is not imported, or cannot be read or written, is no copy at all."""
    for site, pool in _pools(judged):
        if pool.health == "ONLINE":
            continue
        plain = (f"the pool {pool.name} is {pool.health}", f"`zpool status -x {pool.name}` says why")
        message, hint = _MEANS.get(pool.health, plain)
        severity = Severity.WARNING if pool.health == "DEGRADED" else None
        said = f"{message.format(pool=pool.name)} ({_sets(pool)})"
        yield Problem(site, said, hint.format(pool=pool.name), severity)


@registry.check("zfs-space", Severity.WARNING, "Is there room in every pool of a file set?")
def zfs_space(judged: Judged) -> Iterator[Problem]:
    """A full pool takes neither a snapshot nor a file, and on the primary it stops the application, too."""
    for site, pool in _pools(judged):
        if pool.used is None or pool.used < NEARLY_FULL:
            continue
        severity = Severity.CRITICAL if pool.used >= FULL else None
        message = f"the pool {pool.name} is {pool.used} % full ({_sets(pool)})"
        hint = f"`zfs list -o space -r {pool.name}` says by what; old snapshots and what went aside come first"
        yield Problem(site, message, hint, severity)


@registry.check("zfs-delegation", Severity.CRITICAL, "May secondsite do with each dataset what a round needs?")
def zfs_delegation(judged: Judged) -> Iterator[Problem]:
    """Only where it does not run as root: then `zfs allow` has to give it what it needs."""
    for site, pool in _pools(judged):
        for dataset, what in pool.lacking:
            message = f"its user may not {', '.join(what)} {dataset}"
            yield Problem(site, message, f"`zfs allow -u USER {','.join(what)} {dataset}` there, as root")
