"""The file sets' resources on one host: the same on both sites, whichever is primary."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondsite.converge.files import TextFile
from secondsite.converge.packages import Packages
from secondsite.converge.resource import Change, Resource
from secondsite.converge.units import Unit, UnitFile
from secondsite.errors import FinalError
from secondsite.events import Emit
from secondsite.files import store as records
from secondsite.files.engine import LOCK_SECONDS, give_up, note_lost
from secondsite.files.parting import Left, is_noted
from secondsite.files.rsync import daemon
from secondsite.files.store import SOURCE, STORE, locked, mount_of
from secondsite.files.stream.exclude import Excludes, understood
from secondsite.files.watch import config
from secondsite.files.watch import unit as watch
from secondsite.files.watch.place import inside, mounts_now
from secondsite.spec import FileSet, Spec
from secondsite.spec.paths import RSYNCD_CONF, WATCH_CONF


def resources(
    spec: Spec,
    site: str,
    *,
    release: str,
    demoted: bool = False,
    reached: Mapping[str, float | None] | None = None,
    left: Left | None = None,
) -> list[Resource]:
    """What offers ``site``'s folders to the peer (a daemon to read from, a watcher that tells what changed), and where
    each is mounted; nothing without sets.

    release: the installed program, or the one that will be.
    demoted: a copy that was the original becomes a copy again; what differs is kept aside by its first pull.
    reached: by set, how far the other site's copy had come when it became the original.
    left: the generation that the other site left then, and where; None where its database has left none.
    """
    if not spec.files:
        return []
    unit = UnitFile(daemon.UNIT, daemon.unit(spec.tunnel.interface))
    configuration = DependsOnMounts(spec, site, RSYNCD_CONF, _daemon)
    watcher = UnitFile(watch.UNIT, watch.unit(spec.tunnel.interface, release))
    watched = DependsOnMounts(spec, site, WATCH_CONF, _watcher)
    return [
        Packages(("rsync",)),
        *(Place(fileset) for fileset in spec.files),
        *(Demoted(fileset, (reached or {}).get(fileset.name), left) for fileset in spec.files if demoted),
        configuration,
        unit,
        Unit(daemon.UNIT, files=(RSYNCD_CONF, unit.file.path), written=(configuration, unit.file)),
        watched,
        watcher,
        Unit(watch.UNIT, files=(WATCH_CONF, watcher.file.path), written=(watched, watcher.file)),
    ]


def before_following(
    spec: Spec, reached: Mapping[str, float | None] | None = None, left: Left | None = None
) -> list[Resource]:
    """Of a site that is given up: what has to be done before its database follows the other one's, because from then
    on the agent pulls. reached, left: as for ``resources``."""
    return [Noted(fileset, (reached or {}).get(fileset.name), left) for fileset in spec.files]


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A set whose content here a person has given up by naming the site.

    reached, left: as for ``resources``.
    """

    fileset: FileSet
    reached: float | None = None
    left: Left | None = None
    store: Path = STORE

    def is_pulled_over(self) -> bool:
        """Whether a complete pull has gone over it since."""
        record = records.load(self.fileset.name, self.store)
        return record.role != SOURCE and record.settled

    def is_over(self) -> bool:
        """Whether it has been pulled over since, or will be as a copy that was given up."""
        record = records.load(self.fileset.name, self.store)
        return self.is_pulled_over() or (record.role != SOURCE and record.allow_deletions)


@dataclass(frozen=True, slots=True)
class Noted(_GivenUp):
    """What may be only here is written down while nobody pulls yet: the agent does as soon as the database here
    follows the other site. done: what this apply has noted; where no parting is known, an older note may be of another
    one."""

    done: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"files of {self.fileset.name} that may be only here"

    async def plan(self) -> Change | None:
        """Whether its content is still to be given up, and nobody has noted it at this parting."""
        known = self.left is not None and is_noted(self.fileset.name, self.left, self.store)
        over = self.is_pulled_over() or self.fileset.name in self.done or known
        return None if over else Change("note them before the first pull")

    async def apply(self, change: Change, emit: Emit) -> None:
        """Note them. Raises OSError."""
        await note_lost(self.fileset, self.store, reached=self.reached, left=self.left)
        self.done.add(self.fileset.name)


@dataclass(frozen=True, slots=True)
class Demoted(_GivenUp):
    """The folder here is a copy: it pulls. The deletion budget does not hold up the first pull, since a person has
    given its content up; all that it takes away goes aside."""

    @property
    def name(self) -> str:
        return f"role of the file set {self.fileset.name}"

    async def plan(self) -> Change | None:
        """Whether it still counts as the original, or has never been pulled over."""
        return None if self.is_over() else Change("pull again: the other site has the original")

    async def apply(self, change: Change, emit: Emit) -> None:
        await give_up(self.fileset, self.store, reached=self.reached, left=self.left)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the folder is mounted, remembered: a file system that is not there must not look like an empty folder."""

    fileset: FileSet
    store: Path = STORE

    @property
    def name(self) -> str:
        return f"mount point of the file set {self.fileset.name}"

    async def plan(self) -> Change | None:
        """Whether it is to be remembered. Raises FinalError (``source-not-mounted``) where it has come loose."""
        record = records.load(self.fileset.name, self.store)
        if record.engine == "zfs":
            return None  # a copy's dataset is not mounted, and nothing is ever written below its mount point
        known = record.mount
        now = mount_of(Path(self.fileset.path))
        inner = inner_of(self.fileset)
        gone = [each for each in record.inner if each not in inner]
        if known == now and gone:
            return Change(
                f"{', '.join(gone)} is not mounted inside it any more: what was there goes from the copy, too"
            )
        if known == now and inner == record.inner:
            return None
        if known is not None and Path(known).is_relative_to(now):
            raise FinalError(
                f"{self.fileset.path} belongs to the file system at {known}, which is not mounted",
                slug="source-not-mounted",
                step=self.name,
                hint=f"mount {known}; if it is gone for good, remove {self.store / self.fileset.name}.json",
            )
        return Change(f"remember that it is on {now}" + (f", with {', '.join(inner)} inside" if inner else ""))

    async def apply(self, change: Change, emit: Emit) -> None:
        """Remember it. Raises RetryableError (``files-busy``) while a pull runs that takes its time."""
        mount, inner = mount_of(Path(self.fileset.path)), inner_of(self.fileset)
        async with locked(self.fileset.name, seconds=LOCK_SECONDS, store=self.store):  # a pull would be forgotten
            record = records.load(self.fileset.name, self.store)
            records.save(self.fileset.name, replace(record, mount=mount, inner=inner), self.store)


def inner_of(fileset: FileSet) -> tuple[str, ...]:
    """The mount points inside the set's folder, as they are now, without those that the set leaves out."""
    folder = os.path.realpath(os.fsencode(fileset.path))
    excludes = Excludes(fileset.patterns if understood(fileset.patterns) else ())
    found = [each for each in mounts_now(folder) if not excludes.excluded(inside(each, folder) or b"", folder=True)]
    return tuple(os.fsdecode(each) for each in found if _is_text(each))


def _is_text(path: bytes) -> bool:
    """Whether it can stand in a line of a file."""
    try:
        return path.decode().isprintable()
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True, slots=True)
class DependsOnMounts:
    """A file whose text depends on the mount points that are known when it is written. text: what makes it of them."""

    spec: Spec
    site: str
    path: Path
    text: Callable[[Spec, str, Mapping[str, str], Mapping[str, Sequence[str]]], str]
    store: Path = STORE

    @property
    def name(self) -> str:
        return f"file {self.path}"

    async def plan(self) -> Change | None:
        """What differs."""
        return await self._file().plan()

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write it."""
        await self._file().apply(change, emit)

    def _file(self) -> TextFile:
        known = {each.name: records.load(each.name, self.store) for each in self.spec.files}
        mounts = {each.name: known[each.name].mount or mount_of(Path(each.path)) for each in self.spec.files}
        inner = {each.name: inner_of(each) if known[each.name].engine != "zfs" else () for each in self.spec.files}
        return TextFile(self.path, self.text(self.spec, self.site, mounts, inner))


def _daemon(spec: Spec, site: str, mounts: Mapping[str, str], inner: Mapping[str, Sequence[str]]) -> str:
    return daemon.configuration(
        spec.files,
        mounts,
        inner,
        own_address=str(spec.tunnel_address(site)),
        peer_address=str(spec.tunnel_address(spec.peer_of(site))),
        port=spec.tunnel.files_port,
    )


def _watcher(spec: Spec, site: str, mounts: Mapping[str, str], inner: Mapping[str, Sequence[str]]) -> str:
    sets = [(each.name, str(each.path)) for each in spec.files]
    return config.text(str(spec.tunnel_address(site)), spec.tunnel.watch_port, sets, mounts, inner)
