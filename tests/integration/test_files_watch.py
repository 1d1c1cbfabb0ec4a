"""A tree is changed in every way on every kind of file system, and the watcher has missed nothing."""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path, PurePosixPath

import pytest

from churn.changes import Churn
from churn.trees import State, state_of
from secondsite.events import ignore
from secondsite.files import store as records
from secondsite.files.converge import Place as Remembered
from secondsite.files.rsync.command import PARTIAL
from secondsite.files.store import mount_of
from secondsite.files.watch import fanotify, inotify
from secondsite.files.watch.journal import Dirty, DirtyJournal
from secondsite.files.watch.watched import Health, Kind, WatchedSet
from secondsite.files.watch.watcher import Watcher
from secondsite.spec import FileSet
from tests.integration.file_systems import BY_FOLDER, HAS_BTRFS, KINDS, file_system

WATCHED_AS = {"ext4": Kind.FANOTIFY, "tmpfs": Kind.FANOTIFY, "btrfs": Kind.INOTIFY, "overlay": Kind.INOTIFY}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def disk(kind: str, tmp_path: Path) -> Iterator[Path]:
    with file_system(tmp_path, kind) as ready:
        yield ready


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    with file_system(tmp_path, "ext4") as ready:
        yield ready


async def eventually(seen: Callable[[], bool]) -> None:
    """Wait until it is so."""
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError


def run(*argv: str) -> None:
    """A program, to its end."""
    subprocess.run(argv, check=True, capture_output=True)


class Watching:
    """A watcher of one set, ``uploads``, that runs beside the test."""

    def __init__(self, watcher: Watcher, folder: Path) -> None:
        self.watcher, self.folder = watcher, folder

    @property
    def journal(self) -> DirtyJournal:
        return self.watcher.journals["uploads"]

    @property
    def health(self) -> Health:
        return self.watcher.health("uploads")

    async def until(self) -> None:
        """Wait until it watches."""
        await eventually(lambda: self.health.watching)

    async def dirty(self) -> dict[bytes, bool]:
        """Path to tree, of all that is dirty now; it is clean afterwards."""
        await self.watcher.drained()
        found = self.journal.after(0, most=1_000_000)
        if found:
            self.journal.acknowledge(self.journal.epoch, found[-1].seq)
        return {each.path: each.tree for each in found}


@asynccontextmanager
async def watching(folder: Path, journals: Path, *, wait: bool = True) -> AsyncIterator[Watching]:
    watcher = Watcher([WatchedSet("uploads", os.fsencode(folder))], journals)
    task = asyncio.create_task(watcher.run())
    here = Watching(watcher, folder)
    try:
        if wait:
            await here.until()
        yield here
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def covered(path: bytes, before: dict[bytes, State], after: dict[bytes, State], dirty: dict[bytes, bool]) -> bool:
    """Whether whoever looks at what is dirty comes upon the difference at ``path``."""
    above = [path[:end] for end in range(len(path)) if path[end : end + 1] == b"/"] + ([b""] if path else [])
    if path in dirty or any(dirty.get(folder) for folder in above):
        return True
    if path not in after:  # it went with a folder that is gone, or is none any more
        gone = [each for each in above if each in dirty and (each not in after or not stat.S_ISDIR(after[each].mode))]
        return bool(gone)
    now = after[path]
    if any(
        each in dirty or any(each.startswith(top + b"/") for top, tree in dirty.items() if tree) for each in now.group
    ):
        return True  # a name of the same file is dirty; whoever sends it sends its siblings
    was = before.get(path)
    folder = was is not None and stat.S_ISDIR(now.mode) and stat.S_ISDIR(was.mode)
    if folder and was is not None and (was.mode, was.owner, was.attributes) == (now.mode, now.owner, now.attributes):
        # Only its times are others: that is so because of what came or went in it.
        return any(each.rpartition(b"/")[0] == path and each != path for each in dirty)
    return False


def differing(before: dict[bytes, State], after: dict[bytes, State]) -> list[bytes]:
    """Paths whose content or attributes differ, or that are only in one of both."""
    return [path for path in before.keys() | after.keys() if told(before.get(path)) != told(after.get(path))]


def told(state: State | None) -> object:
    """What a watcher can see of an entry: not which other names it has."""
    if state is None:
        return None
    return state.mode, state.owner, state.mtime_ns, state.content, state.attributes


@pytest.mark.parametrize("seed", [1, 3])
async def test_whatever_is_changed_the_journal_covers_every_difference(
    disk: Path, kind: str, seed: int, tmp_path: Path
) -> None:
    folder, outside = disk / "uploads", disk / "outside"
    folder.mkdir()
    outside.mkdir()
    churn = Churn(folder, outside, seed)
    churn.steps(150)
    async with watching(folder, tmp_path / "journals") as here:
        assert here.health.kind is WATCHED_AS[kind]
        epoch = here.journal.epoch
        for _ in range(4):
            before = state_of(folder)
            await here.dirty()
            await asyncio.to_thread(churn.steps, 150)
            dirty = await here.dirty()
            after = state_of(folder)
            missed = [path for path in differing(before, after) if not covered(path, before, after, dirty)]
            assert [path for path in missed if path not in after or after[path].inode not in churn.linked] == []
            assert len(after) > 20, "the churn leaves something to look at"
        assert (here.journal.epoch, here.health.overflows) == (epoch, 0), "a new epoch would have covered everything"


async def test_a_file_with_several_names_is_dirty_by_that_through_which_it_was_written(
    disk: Path, tmp_path: Path
) -> None:
    """Whoever copies it asks for its other names. A name that is gone by then, or outside, tells nothing of them."""
    folder = disk / "uploads"
    folder.mkdir()
    (folder / "one").write_text("x")
    os.link(folder / "one", folder / "two")
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        (folder / "two").write_text("y")
        assert set(await here.dirty()) == {b"two"}
        os.link(folder / "one", folder / "three")
        assert b"three" in await here.dirty()


async def test_files_in_folders_that_are_made_at_the_same_moment_are_not_missed(
    disk: Path, kind: str, tmp_path: Path
) -> None:
    folder = disk / "uploads"
    folder.mkdir()

    def make() -> None:
        for number in range(300):
            deep = folder / f"{number}" / "a" / "b"
            deep.mkdir(parents=True)
            (deep / "file").write_text("x")

    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        await asyncio.to_thread(make)
        after = state_of(folder)
        dirty = await here.dirty()
        assert [path for path in after if path and not covered(path, {}, after, dirty)] == []
        if kind in ("ext4", "tmpfs"):
            assert set(after) - {b""} <= set(dirty), "each by its own name, and no tree has to be walked"
            assert not any(dirty.values())


async def test_all_that_happened_before_the_queue_was_drained_is_noted_however_long_it_is(
    disk: Path, tmp_path: Path
) -> None:
    folder = disk / "uploads"
    folder.mkdir()
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        before = time.time()
        for number in range(4000):  # the loop does not turn meanwhile, so nobody else reads
            (folder / f"file-{number}").touch()
        moment = await here.watcher.drained()
        assert moment >= before
        assert here.journal.pending == 4000


async def test_a_change_is_told_at_once_and_not_before_it_was_made(disk: Path, tmp_path: Path) -> None:
    folder = disk / "uploads"
    folder.mkdir()
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        for number in range(5):
            await asyncio.sleep(0.05)
            seq, epoch = here.journal.last, here.journal.epoch
            before = time.time()
            await asyncio.to_thread((folder / f"file-{number}").write_text, "x")
            await asyncio.wait_for(here.journal.changed(seq, epoch), 2)
            found: tuple[Dirty, ...] = here.journal.after(seq, most=10)
            assert [each.path for each in found] == [b"file-%d" % number]
            assert before - 0.05 <= found[0].first_at <= time.time()


async def test_a_tree_that_is_moved_in_is_dirty_as_a_whole_and_by_its_new_name_ever_after(
    disk: Path, tmp_path: Path
) -> None:
    folder, outside = disk / "uploads", disk / "outside"
    folder.mkdir()
    (outside / "tree" / "sub").mkdir(parents=True)
    (outside / "tree" / "sub" / "file").write_text("x")
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        (outside / "tree").rename(folder / "first")
        assert (await here.dirty()) == {b"first": True}
        (folder / "first" / "sub" / "file").write_text("y")
        assert (await here.dirty()) == {b"first/sub/file": False}
        (folder / "first").rename(folder / "second")
        assert (await here.dirty()) == {b"first": True, b"second": True}
        (folder / "second" / "sub" / "file").write_text("z")
        assert (await here.dirty()) == {b"second/sub/file": False}
        (folder / "second").rename(outside / "back")
        assert (await here.dirty()) == {b"second": True}
        (outside / "back" / "sub" / "file").write_text("elsewhere")
        assert (await here.dirty()) == {}


async def test_what_happens_beside_the_set_and_in_the_partial_folder_is_nobodys_affair(
    disk: Path, tmp_path: Path
) -> None:
    folder = disk / "uploads"
    (folder / "sub").mkdir(parents=True)
    (disk / "uploads-of-others").mkdir()
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        (disk / "uploads-of-others" / "file").write_text("x")
        for at in (folder, folder / "sub"):
            (at / PARTIAL).mkdir()
            (at / PARTIAL / "file").write_text("x")
        (folder / "sub" / "file").write_text("x")
        assert (await here.dirty()) == {b"sub/file": False}


async def test_a_path_that_is_longer_than_the_kernel_can_tell_is_covered(disk: Path, tmp_path: Path) -> None:
    folder = disk / "uploads"
    folder.mkdir()

    def make() -> None:
        here = os.open(folder, os.O_RDONLY)
        for _ in range(25):
            os.mkdir("n" * 200, dir_fd=here)
            below = os.open("n" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        for name in ("file", "other"):
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here))
        os.close(here)

    async with watching(folder, tmp_path / "journals") as here:
        await asyncio.to_thread(make)
        epoch = here.journal.epoch
        dirty = await here.dirty()
        deepest = b"/".join([b"n" * 200] * 25 + [b"file"])
        assert deepest in dirty or any(tree and deepest.startswith(path + b"/") for path, tree in dirty.items())
        assert (here.journal.epoch, here.health.watching) == (epoch, True)
    run("rm", "-rf", str(folder))


async def test_two_sets_on_one_file_system_share_a_mark_and_hear_of_their_own_only(ext4: Path, tmp_path: Path) -> None:
    sets = []
    for name in ("first", "second"):
        (ext4 / name).mkdir()
        sets.append(WatchedSet(name, os.fsencode(ext4 / name)))
    watcher = Watcher(sets, tmp_path / "journals")
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(0.1)
    for each in sets:
        assert watcher.health(each.name).kind is Kind.FANOTIFY
    marks = [line for line in _fdinfo() if line.startswith("fanotify sdev:")]
    assert len(marks) == 1
    (ext4 / "first" / "tree").mkdir()
    (ext4 / "first" / "tree" / "file").write_text("x")
    (ext4 / "first" / "tree").rename(ext4 / "second" / "tree")
    await watcher.drained()
    found = {name: {each.path: each.tree for each in journal.peek()} for name, journal in watcher.journals.items()}
    assert found == {"first": {b"tree": True}, "second": {b"tree": True, b"tree/file": False}}
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _fdinfo() -> list[str]:
    found = []
    for each in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += each.read_text().splitlines()
    return found


async def test_a_file_system_that_is_mounted_inside_the_set_is_watched_too(ext4: Path, tmp_path: Path) -> None:
    folder = ext4 / "uploads"
    (folder / "inner").mkdir(parents=True)
    async with watching(folder, tmp_path / "journals") as here:
        epoch = here.journal.epoch
        run("mount", "-t", "tmpfs", "tmpfs", str(folder / "inner"))
        try:
            await here.watcher.drained()
            assert here.journal.epoch != epoch, "another tree is seen below it now"
            await here.until()
            await here.dirty()
            (folder / "inner" / "file").write_text("x")
            (folder / "file").write_text("x")
            assert set(await here.dirty()) == {b"inner/file", b"file"}
        finally:
            run("umount", str(folder / "inner"))


async def test_what_is_mounted_inside_a_set_is_remembered_and_a_plan_says_what_it_means_that_it_is_gone(
    ext4: Path, tmp_path: Path
) -> None:
    folder = ext4 / "uploads"
    for name in ("media", "cache"):
        (folder / name).mkdir(parents=True)
    fileset = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads", "exclude": ["/cache/"]})
    place = Remembered(fileset.model_copy(update={"path": PurePosixPath(folder)}), tmp_path / "store")
    with ExitStack() as undo:
        for name in ("media", "cache"):
            run("mount", "-t", "tmpfs", "tmpfs", str(folder / name))
            undo.callback(subprocess.run, ["umount", str(folder / name)], check=False, stderr=subprocess.DEVNULL)
        change = await place.plan()
        assert change is not None and change.summary.endswith(f", with {folder}/media inside")
        await place.apply(change, ignore)
        assert await place.plan() is None
        assert records.load("uploads", place.store).inner == (f"{folder}/media",)
        run("umount", str(folder / "media"))
        change = await place.plan()
        assert change is not None and f"{folder}/media is not mounted inside it any more" in change.summary
        await place.apply(change, ignore)
        assert await place.plan() is None
        assert records.load("uploads", place.store).inner == ()


@pytest.mark.parametrize("kind", [each for each in KINDS if each != "tmpfs"])  # what is unmounted from tmpfs is gone
async def test_an_unmounted_source_is_a_new_epoch_and_is_not_watched_until_it_is_back(
    kind: str, tmp_path: Path
) -> None:
    """An administrator's umount is not kept from happening by our looking."""
    with file_system(tmp_path, kind) as disk:
        point = disk if kind != "btrfs" else disk.parent
        folder = disk / "uploads"
        folder.mkdir()
        mount = mount_of(folder)
        watcher = Watcher([WatchedSet("uploads", os.fsencode(folder), os.fsencode(mount))], tmp_path / "journals")
        task = asyncio.create_task(watcher.run())
        here = Watching(watcher, folder)
        await here.until()
        epoch = here.journal.epoch
        (folder / "file").write_text("x")
        await asyncio.sleep(0.1)
        layers = tmp_path / "layers"
        options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work"
        how = {"overlay": ["-t", "overlay", "-o", options, "overlay"]}.get(
            kind, ["-o", "loop", str(tmp_path / f"{kind}.image")]
        )
        run("umount", str(point))
        await watcher.drained()
        assert here.journal.epoch != epoch
        assert not here.health.watching
        assert here.health.problem
        run("mount", *how, str(point))
        await here.until()
        epoch = here.journal.epoch
        (folder / "again").write_text("x")
        assert set(await here.dirty()) == {b"again"}
        assert here.journal.epoch == epoch
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_folder_that_takes_the_place_of_the_sets_own_is_a_new_epoch(disk: Path, tmp_path: Path) -> None:
    folder = disk / "above" / "uploads"
    folder.mkdir(parents=True)
    async with watching(folder, tmp_path / "journals") as here:
        for _ in range(2):
            epoch = here.journal.epoch
            (disk / "above").rename(disk / f"old-{epoch}")
            folder.mkdir(parents=True)
            (folder / "file").write_text("x")
            await here.watcher.drained()
            assert here.journal.epoch != epoch
            await here.until()
            epoch = here.journal.epoch
            await here.dirty()
            (folder / "later").write_text("x")
            assert set(await here.dirty()) == {b"later"}
            assert here.journal.epoch == epoch


async def test_a_folder_that_is_removed_and_made_again_at_once_is_a_new_epoch(disk: Path, tmp_path: Path) -> None:
    """It may have the same inode. What was in the old one is told by nothing that can still be found."""
    folder = disk / "uploads"
    for number in range(3):
        (folder / f"sub-{number}").mkdir(parents=True)
        (folder / f"sub-{number}" / "file").write_text("x")
    async with watching(folder, tmp_path / "journals") as here:
        for _ in range(3):
            epoch = here.journal.epoch
            run("rm", "-rf", str(folder))
            folder.mkdir()
            await here.watcher.drained()
            assert here.journal.epoch != epoch
            await eventually(lambda epoch=epoch: here.health.watching and here.journal.epoch != epoch)  # type: ignore[misc]
            (folder / "file").write_text("x")


async def test_what_happens_while_the_folder_is_somewhere_else_for_a_moment_is_not_missed(
    disk: Path, tmp_path: Path
) -> None:
    folder = disk / "above" / "uploads"
    (folder / "sub").mkdir(parents=True)
    async with watching(folder, tmp_path / "journals") as here:
        for away in (disk / "above", folder):
            (folder / "sub" / "known").write_text("x")
            await here.dirty()
            epoch = here.journal.epoch
            away.rename(disk / "elsewhere")
            inner = disk / "elsewhere" / folder.relative_to(away) / "sub"
            (inner / "file").write_text(str(away))
            (inner / "known").write_text(str(away))
            (disk / "elsewhere").rename(away)
            dirty = await here.dirty()
            assert here.journal.epoch != epoch or {b"sub/file", b"sub/known"} <= set(dirty)
            await here.until()
            await here.dirty()
            (folder / "sub" / "file").write_text("again")
            assert set(await here.dirty()) == {b"sub/file"}


@pytest.mark.parametrize("kind", [each for each in KINDS if each in ("ext4", "btrfs")])
async def test_a_file_system_that_is_unmounted_and_back_before_anybody_looks_is_watched_anew(
    kind: str, tmp_path: Path
) -> None:
    """The mark went with it, and device, inode and handle are what they were."""
    with file_system(tmp_path, kind) as disk:
        point = disk if kind == "ext4" else disk.parent
        folder = disk / "uploads"
        folder.mkdir()
        async with watching(folder, tmp_path / "journals") as here:
            epoch = here.journal.epoch
            run("umount", str(point))
            run("mount", "-o", "loop", str(tmp_path / f"{kind}.image"), str(point))
            (folder / "first").write_text("x")
            dirty = await here.dirty()
            # Where another mount namespace still has it, the file system has never gone, and its mark neither.
            assert here.journal.epoch != epoch or set(dirty) == {b"first"}
            await eventually(lambda: here.health.watching)
            await asyncio.sleep(0.1)
            await here.until()
            await here.dirty()
            (folder / "file").write_text("x")
            assert set(await here.dirty()) == {b"file"}


if HAS_BTRFS:

    async def test_the_top_of_a_btrfs_with_a_subvolume_in_the_set_misses_nothing(tmp_path: Path) -> None:
        with file_system(tmp_path, "btrfs") as disk:
            folder = disk.parent / "uploads"
            folder.mkdir()
            run("btrfs", "-q", "subvolume", "create", str(folder / "inner"))
            async with watching(folder, tmp_path / "journals") as here:
                await here.dirty()
                epoch = here.journal.epoch
                (folder / "inner" / "file").write_text("x")
                (folder / "file").write_text("x")
                dirty = await here.dirty()
                assert {b"inner/file", b"file"} <= set(dirty) or here.journal.epoch != epoch
                run("btrfs", "-q", "subvolume", "create", str(folder / "new"))
                (folder / "new" / "file").write_text("x")
                dirty = await here.dirty()
                assert b"new/file" in dirty or dirty.get(b"new") or here.journal.epoch != epoch


async def test_a_set_whose_folder_is_not_there_yet_is_watched_as_soon_as_it_is(ext4: Path, tmp_path: Path) -> None:
    folder = ext4 / "uploads"
    async with watching(folder, tmp_path / "journals", wait=False) as here:
        await asyncio.sleep(0.2)
        assert (here.health.kind, "no folder" in str(here.health.problem)) == (Kind.NOT, True)
        folder.mkdir()
        await here.until()
        assert here.health.problem is None


async def test_an_overflow_of_the_kernels_queue_is_a_new_epoch_and_nothing_stays_unwatched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """inotify's queue has an end (fs.inotify.max_queued_events); fanotify's was asked for without one."""
    limit = Path("/proc/sys/fs/inotify/max_queued_events")
    before = limit.read_text()
    with file_system(tmp_path, BY_FOLDER) as disk:
        folder = disk / "uploads"
        folder.mkdir()
        limit.write_text("50")
        try:
            async with watching(folder, tmp_path / "journals") as here:
                epoch = here.journal.epoch
                for number in range(300):  # the loop does not turn meanwhile, so nobody reads
                    (folder / f"folder-{number}").mkdir()
                await asyncio.sleep(0.3)
                await here.until()
                assert here.journal.epoch != epoch
                assert here.health.overflows >= 1
                await here.dirty()
                (folder / "folder-299" / "file").write_text("x")
                assert set(await here.dirty()) == {b"folder-299/file"}
        finally:
            limit.write_text(before)


async def test_an_overflow_that_fanotify_tells_of_is_a_new_epoch(
    ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limit that the kernel sets where none is asked away (fs.fanotify.max_queued_events)."""
    limit = Path("/proc/sys/fs/fanotify/max_queued_events")
    before = limit.read_text()
    monkeypatch.setattr(fanotify, "_UNLIMITED_QUEUE", 0)
    limit.write_text("50")
    try:
        (ext4 / "uploads").mkdir()
        async with watching(ext4 / "uploads", tmp_path / "journals") as here:
            epoch = here.journal.epoch
            for number in range(300):
                (ext4 / "uploads" / f"file-{number}").write_text("x")
            await here.dirty()
            assert (here.journal.epoch != epoch, here.health.overflows) == (True, 1)
            (ext4 / "uploads" / "later").write_text("x")
            assert set(await here.dirty()) == {b"later"}
    finally:
        limit.write_text(before)


async def test_more_folders_than_the_kernel_watches_is_a_problem_that_is_told(tmp_path: Path) -> None:
    limit = Path("/proc/sys/fs/inotify/max_user_watches")
    before = limit.read_text()
    with file_system(tmp_path, BY_FOLDER) as disk:
        for number in range(60):
            (disk / "uploads" / f"folder-{number}").mkdir(parents=True)
        try:
            limit.write_text("50")
            async with watching(disk / "uploads", tmp_path / "journals", wait=False) as here:
                await eventually(lambda: here.health.problem is not None and here.health.kind is Kind.NOT)
                assert "max_user_watches" in str(here.health.problem)
                await here.watcher.drained()
        finally:
            limit.write_text(before)


async def test_where_fanotify_is_not_allowed_at_all_folders_are_watched_one_by_one(
    ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(fanotify, "open_group", refused)  # as in a container without CAP_SYS_ADMIN
    (ext4 / "uploads" / "sub").mkdir(parents=True)
    async with watching(ext4 / "uploads", tmp_path / "journals") as here:
        assert (here.health.kind, here.health.problem) == (Kind.INOTIFY, "the kernel does not allow it")
        await here.dirty()
        (ext4 / "uploads" / "sub" / "file").write_text("x")
        assert set(await here.dirty()) == {b"sub/file"}


async def test_a_folder_that_the_kernel_cannot_find_any_more_is_a_new_epoch_and_the_end_of_trust(
    ext4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ext4 / "uploads").mkdir()
    async with watching(ext4 / "uploads", tmp_path / "journals") as here:
        epoch = here.journal.epoch

        def lost(mount: int, handle: bytes) -> int:
            raise OSError(12, "Cannot allocate memory")

        monkeypatch.setattr(fanotify, "open_folder", lost)
        (ext4 / "uploads" / "file").write_text("x")
        await here.watcher.drained()
        assert here.journal.epoch != epoch
        await eventually(lambda: here.health.kind is Kind.INOTIFY)
        assert "could not be found" in str(here.health.problem)
        await here.dirty()
        (ext4 / "uploads" / "later").write_text("x")
        assert set(await here.dirty()) == {b"later"}


async def test_a_file_that_is_written_all_the_time_is_dirty_once_and_costs_little(disk: Path, tmp_path: Path) -> None:
    folder = disk / "uploads"
    folder.mkdir()
    (folder / "log").touch()
    async with watching(folder, tmp_path / "journals") as here:
        await here.dirty()
        first = here.journal.last

        def write() -> int:
            count, until = 0, time.monotonic() + 1.0
            while time.monotonic() < until:
                log.write(b"x" * 100)
                count += 1
            return count

        with (folder / "log").open("ab", buffering=0) as log:  # and it stays open
            count = await asyncio.to_thread(write)
            assert count > 500
            assert list(await here.dirty()) == [b"log"]
            assert here.journal.last - first < 30


async def test_what_is_written_is_told_although_its_file_is_never_closed(disk: Path, tmp_path: Path) -> None:
    folder = disk / "uploads"
    folder.mkdir()
    async with watching(folder, tmp_path / "journals") as here:
        with (folder / "log").open("wb", buffering=0) as log:
            for _ in range(3):
                await here.dirty()
                log.write(b"a line")
                assert await here.dirty() == {b"log": False}
            await here.dirty()
            log.truncate(2)
            assert await here.dirty() == {b"log": False}


async def test_a_write_through_a_memory_map_is_told_when_the_map_goes_and_not_before(
    disk: Path, tmp_path: Path
) -> None:
    """No watcher can see it earlier: that is why there is a daily comparison."""
    folder = disk / "uploads"
    folder.mkdir()
    (folder / "mapped").write_bytes(bytes(8192))
    async with watching(folder, tmp_path / "journals") as here:
        with (folder / "mapped").open("r+b") as file:
            held = mmap.mmap(file.fileno(), 8192)
        await here.dirty()
        held[:5] = b"hello"
        held.flush()
        assert await here.dirty() == {}, "then the page of explanation is wrong"
        held.close()
        assert await here.dirty() == {b"mapped": False}


def test_numbers_of_the_kernels_header_files_are_as_they_are_here() -> None:
    """The two interfaces share these bits (fanotify.h, inotify.h); a wrong one would watch something else."""
    for name in ("MOVED_FROM", "MOVED_TO", "CREATE", "DELETE", "OVERFLOW"):
        assert getattr(fanotify, name) == getattr(inotify, name)
