"""Keep versions beside the set: btrfs snapshots, copies that share blocks, or links, whichever the file system can."""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from secondsite.converge.write import sync_directory
from secondsite.errors import FinalError
from secondsite.files.durable import syncfs
from secondsite.files.versions import btrfs, manifest, place, tree
from secondsite.files.versions.entry import Entry
from secondsite.files.versions.remove import remove_tree
from secondsite.files.versions.version import MARKER, Report, Version, read
from secondsite.files.versions.walk import FOLDER_FLAGS, names_in

SNAPSHOT, REFLINK, LINKS = "snapshot", "reflink", "links"
FLOOR_SHARE = 0.05  # of the file system's blocks and inodes: below that no version is made
_BROKEN = (OSError, EOFError, zlib.error, ValueError)


@dataclass(frozen=True, slots=True)
class Reading:
    """A version that is open: it stays as long as this is."""

    root: int
    version: Version
    manifest: Path

    def entries(self, path: str = "", *, ancestors: bool = False) -> Iterator[Entry]:
        """Raises FinalError (``version-damaged``) where the manifest cannot be read."""
        try:
            yield from manifest.below(self.manifest, path, ancestors=ancestors)
        except _BROKEN as broken:
            raise FinalError(
                f"the manifest of version {self.version.id} cannot be read: {broken}",
                slug="version-damaged",
                hint="take another version: secondsite files list " + self.version.set,
            ) from broken

    def untouched(self, entry: Entry, seen: os.stat_result, *, promotions: int) -> bool:
        """A link shares its content with the set's own file. No pull writes into a file, but an application may: where
        this site was the original since, another time or size means that the content may be another."""
        if seen.st_size != entry.size:
            return False
        shared = self.version.kind == LINKS and promotions != self.version.promotions
        return not shared or seen.st_mtime_ns == entry.mtime_ns


class Beside:
    """The versions of one set in a folder beside it."""

    def __init__(self, fileset: place.Located) -> None:
        self._set = fileset
        self._source = Path(os.path.realpath(fileset.path))

    def list(self) -> tuple[Version, ...]:
        """The oldest first. What has no sound marker of ours is none. Raises OSError, FinalError."""
        home, found = place.home(self._set), []
        try:
            with place.opened(home) as folder:
                for name in names_in(folder):
                    if place.ID.fullmatch(name):
                        with contextlib.suppress(OSError, ValueError):
                            found.append(self._marked(read((home / name / MARKER).read_text()), name))
        except FileNotFoundError:
            return ()
        return tuple(sorted(found, key=lambda version: version.number))

    def make(self, *, made_at: float, complete_at: float | None, promotions: int, report: Report) -> Version | None:
        """The new version; None where the newest holds the same. Nobody may change the set meanwhile.

        Raises FinalError (``versions-no-place``, ``versions-not-ours``, ``versions-no-room``), OSError.
        """
        home = place.made(self._set)
        self.sweep(report)
        before = self.list()
        source = os.open(self._source, FOLDER_FLAGS)
        try:
            total = before[-1].entries if before else None
            now = manifest.summary(source, lambda count: report("look for changes", count, total))
            if before and before[-1].digest == now.digest:
                return None
            enough_room(home)
            number = before[-1].number + 1 if before else 1
            version = Version(
                place.new_id(made_at), self._set.name, number, self._kind(source, home), made_at, complete_at,
                now.entries, now.bytes, now.digest, promotions,
            )  # fmt: skip
            return self._make(version, source, home, report)
        except BaseException:
            with contextlib.suppress(OSError):
                self.sweep(report)  # a disk that is full must not stay so because of it
            raise
        finally:
            os.close(source)

    def remove(self, version: Version, report: Report) -> bool:
        """Renamed first, so that a half-removed one is none; False where somebody reads it. Raises OSError."""
        home = place.home(self._set)
        with place.opened(home) as folder:
            with (home / version.id / MARKER).open("rb") as marker:
                self._marked(read(marker.read().decode()), version.id)
                try:
                    fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                os.rename(version.id, place.REMOVING + version.id, src_dir_fd=folder, dst_dir_fd=folder)
            report("remove an old version", 0, version.entries)
            _remove(folder, place.REMOVING + version.id)
        return True

    @contextmanager
    def open(self, version: Version) -> Iterator[Reading]:
        """Raises FinalError (``no-such-version``) where it has gone since it was listed."""
        folder = place.home(self._set) / version.id
        with ExitStack() as stack:
            try:
                marker = stack.enter_context((folder / MARKER).open("rb"))
                fcntl.flock(marker, fcntl.LOCK_SH | fcntl.LOCK_NB)
                root = os.open(folder / place.TREE, FOLDER_FLAGS)
            except (FileNotFoundError, BlockingIOError) as gone:
                raise FinalError(
                    f"version {version.id} of {self._set.name} has just been removed",
                    slug="no-such-version",
                    hint=f"secondsite files list {self._set.name}",
                ) from gone
            stack.callback(os.close, root)
            yield Reading(root, version, folder / manifest.NAME)

    def home(self) -> Path:
        """Raises FinalError (``versions-no-place``, ``versions-not-ours``)."""
        return place.made(self._set)

    @contextmanager
    def now(self) -> Iterator[int]:
        """The set's folder. Raises OSError."""
        root = os.open(self._source, FOLDER_FLAGS)
        try:
            yield root
        finally:
            os.close(root)

    def lend(self, version: Version, to: Path) -> bool:
        """Never: its attributes may be another time's, which only a copy can have."""
        return False

    def take_back(self, to: Path) -> bool:
        """There is nothing."""
        return False

    def refuse(self, to: Path) -> None:
        """Any folder will do that is new or empty."""

    def sweep(self, report: Report) -> int:
        """Remove what a process that died has left half made or half removed; how many. Only what bears our names, lies
        in our folder, and belongs to nobody else."""
        count = 0
        with contextlib.suppress(FileNotFoundError), place.opened(place.home(self._set)) as folder:
            for name in names_in(folder):
                prefix = next((one for one in (place.MAKING, place.REMOVING) if name.startswith(one)), None)
                if prefix is not None and place.ID.fullmatch(name.removeprefix(prefix)):
                    report("remove what was left half made", count, None)
                    _remove(folder, name)
                    count += 1
        return count

    def _kind(self, source: int, home: Path) -> str:
        with place.opened(home) as folder:
            if btrfs.is_plain_subvolume(source) and btrfs.is_btrfs(folder):
                return SNAPSHOT
            return REFLINK if btrfs.reflinks(folder) else LINKS

    def _make(self, version: Version, source: int, home: Path, report: Report) -> Version:
        draft = home / f"{place.MAKING}{version.id}"
        draft.mkdir(mode=0o700)
        with ExitStack() as stack:
            folder, above = stack.enter_context(place.opened(draft)), stack.enter_context(place.opened(home))
            writer = manifest.Writer(draft / manifest.NAME)
            stack.callback(writer.close)

            def counted(count: int) -> None:
                report("make a version", count, version.entries)
                if count % 10_000 == 0:
                    enough_room(home)

            if version.kind == SNAPSHOT:
                btrfs.snapshot(source, folder, place.TREE)
                _written(folder, writer, counted)
            else:
                os.mkdir(place.TREE, 0o700, dir_fd=folder)
                top = os.open(place.TREE, FOLDER_FLAGS, dir_fd=folder)
                try:
                    tree.fill(source, top, writer, linked=version.kind == LINKS, counted=counted)
                finally:
                    os.close(top)
            writer.close()
            found = writer.summary
            complete = replace(version, entries=found.entries, bytes=found.bytes, digest=found.digest)
            (draft / MARKER).write_text(complete.text())
            _durable(folder)
            os.rename(draft.name, version.id, src_dir_fd=above, dst_dir_fd=above)
        sync_directory(home)
        return complete

    def _marked(self, version: Version, name: str) -> Version:
        """Raises ValueError where a marker is of another set, or was moved."""
        if (version.id, version.set) != (name, self._set.name):
            raise ValueError(f"the marker in {name} is of {version.id} of {version.set}")
        return version


def enough_room(folder: Path) -> None:
    """Raises FinalError (``versions-no-room``) where little is left: a standby that is full keeps nothing current."""
    seen = os.statvfs(folder)
    for left, of, what in ((seen.f_bavail, seen.f_blocks, "room"), (seen.f_favail, seen.f_files, "inodes")):
        if of and left < FLOOR_SHARE * of:
            raise FinalError(
                f"{left / of:.1%} of the {what} is left beside {folder}; below {FLOOR_SHARE:.0%} no version is made",
                slug="versions-no-room",
                step="keep versions",
                hint="make room, or keep fewer versions",
            )


def _written(folder: int, writer: manifest.Writer, counted: tree.Counted) -> None:
    """The manifest of a snapshot, which nobody can change any more."""
    root = os.open(place.TREE, FOLDER_FLAGS, dir_fd=folder)
    try:
        for entry, _ in manifest.entries(root, counted):
            writer.add(entry)
    finally:
        os.close(root)


def _durable(folder: int) -> None:
    """Everything of the version is on the disk before it gets its name."""
    if (number := syncfs(folder)) != 0:
        raise OSError(number, os.strerror(number))


def _remove(folder: int, name: str) -> None:
    """The tree first: the marker says whose it is until nothing else is left."""
    inner = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    try:
        for one in sorted(names_in(inner), key=lambda entry: entry == MARKER):
            remove_tree(inner, one)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
