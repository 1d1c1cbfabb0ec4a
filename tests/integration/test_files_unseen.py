"""What no watcher sees (docs/explanation/file-sets.md) reaches the copy all the same: by the comparison of each day, or
when the file is closed."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import pytest

from secondsite.clock import SystemClock
from secondsite.files.keeper import COMPARE_SECONDS
from secondsite.files.stream.entry import INLINE_BYTES
from tests.integration.file_daemon import mirror
from tests.integration.file_systems import file_system, image, mounted
from tests.integration.stream_pair import Pair, pair


class Ahead(SystemClock):
    """The standby's clock, which a test sets ahead."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Ahead:
    return Ahead()


@pytest.fixture
def ends(tmp_path: Path, clock: Ahead) -> Iterator[Pair]:
    with file_system(tmp_path, "ext4") as disk, mirror(disk) as ready:
        yield pair(ready, disk, clock=clock)


async def a_day_later(ends: Pair, clock: Ahead) -> None:
    """The set is compared once, and its changes are followed again."""
    pulls = ends.record.pulls
    clock.seconds = COMPARE_SECONDS + 1
    await ends.until(lambda: ends.record.pulls > pulls)
    clock.seconds = 0.0
    await ends.until_followed()


async def stays_unseen(ends: Pair, name: str) -> None:
    """Nothing is told of it, while everything else is."""
    pulls = ends.record.pulls
    (ends.source / "beside").write_text("told")
    await ends.until((ends.target / "beside").exists)
    await asyncio.sleep(0.5)
    assert (ends.target / name).read_bytes() != (ends.source / name).read_bytes(), "a watcher sees it: say so"
    assert ends.record.pulls == pulls


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """The file stays open by its map alone."""
    with path.open("r+b") as file:
        held = mmap.mmap(file.fileno(), 0)
    with held:
        yield held


async def test_what_was_written_through_a_map_that_stays_is_found_by_the_comparison_of_the_day(
    ends: Pair, clock: Ahead
) -> None:
    (ends.source / "mapped").write_bytes(bytes(8192))
    async with ends.telling(), ends.keeping():
        await ends.until_followed()
        with mapped(ends.source / "mapped") as held:
            held[:5] = b"hello"
            await stays_unseen(ends, "mapped")
            clock.seconds = COMPARE_SECONDS - 60
            await stays_unseen(ends, "mapped")
            await a_day_later(ends, clock)
            assert (ends.target / "mapped").read_bytes().startswith(b"hello")


async def test_what_the_kernel_itself_writes_is_found_by_the_comparison_of_the_day(
    ends: Pair, clock: Ahead, tmp_path: Path
) -> None:
    """A disk image that is mounted: its writer is a thread of the kernel, of which nobody is told and which closes
    nothing; so are the threads of other servers within it."""
    inside = Path(image(ends.source, "ext4", "8M"))
    with ExitStack() as undo:
        point = mounted(undo, tmp_path / "point", "-o", "loop", str(inside))
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            (point / "file").write_bytes(os.urandom(100_000))
            subprocess.run(["sync", "-f", point], check=True)  # noqa: ASYNC221
            await stays_unseen(ends, inside.name)
            await a_day_later(ends, clock)
            await ends.until_equal()


async def test_a_large_file_that_was_written_through_a_map_is_read_when_the_map_goes(tmp_path: Path) -> None:
    """A page that is dirty already takes more writes without another time: size and time tell nothing then."""
    with file_system(tmp_path, "ext4") as disk, mirror(disk) as ready:
        # On another disk: what is made durable there writes no page of the source's out.
        ready.fileset = ready.fileset.model_copy(update={"path": PurePosixPath(tmp_path / "copy" / "uploads")})
        ends = pair(ready, disk)
        source, copy = ends.source / "large", ends.target / "large"
        source.write_bytes(os.urandom(3 * INLINE_BYTES))
        async with ends.telling(), ends.keeping():
            await ends.until_followed()
            with mapped(source) as held:
                held[:5] = b"first"
                when = source.stat().st_mtime_ns
                source.open("ab").close()  # somebody else has it told
                await ends.until(lambda: copy.read_bytes()[:5] == b"first")
                await ends.until(lambda: ends.keeper.states()[0].queue == 0)
                held[:5] = b"later"
                assert source.stat().st_mtime_ns == when
            await ends.until(lambda: copy.read_bytes()[:5] == b"later", 10)
            await ends.until_equal()
