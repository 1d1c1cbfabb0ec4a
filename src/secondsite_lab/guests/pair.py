"""Both guests together, with a cable between them: switched on, and gone without a trace afterwards."""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from secondsite.remote.bundle import Python, bundle_for
from secondsite_lab import lock
from secondsite_lab.errors import LabError
from secondsite_lab.guests.guest import Guest
from secondsite_lab.guests.image import Tell, ensure
from secondsite_lab.guests.wire import NAMES
from secondsite_lab.lab import cache_directory
from secondsite_lab.pack import PYTHON_OF_SUITE
from secondsite_lab.run import run

_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mmdebstrap": "mmdebstrap"}
PROGRAM = "/opt/secondsite"  # where the guests have it
PYTHON = f"env PYTHONPATH={PROGRAM}/release:{PROGRAM}/libraries:{PROGRAM}/more python3 -S"


@dataclass(frozen=True, slots=True)
class Guests:
    """The two machines."""

    oslo: Guest
    bergen: Guest


@contextmanager
def guests(tell: Tell, more: Sequence[Path] = ()) -> Iterator[Guests]:
    """Both, up, with secondsite at `PROGRAM` and ``more`` files beside it. One pair at a time on a machine."""
    missing = sorted({package for name, package in _PROGRAMS.items() if shutil.which(name) is None})
    if missing:
        raise LabError(f"missing on this machine: {', '.join(missing)}", f"apt-get install {' '.join(missing)}")
    image = ensure(tell)
    folder = cache_directory() / "openzfs-guests"
    with lock.held(folder.with_suffix(".lock"), "the guests", waiting=tell), ExitStack() as stack:
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, folder)
        program = _program_disk(folder, more)
        made = [Guest(name, image, folder, program) for name in NAMES]
        for each in made:
            stack.callback(each.power_cut)
            each.start()
        for each in made:
            each.wait_up()
            mount(each)
            tell(f"the guest {each.name} is up")
        yield Guests(*made)


def mount(guest: Guest) -> None:
    """Let it see the program; again after each start."""
    guest.run(f"mkdir -p {PROGRAM} && mount -o ro /dev/vdc {PROGRAM}")


def _program_disk(folder: Path, more: Sequence[Path]) -> Path:
    """A disk with the very bundle that hosts get: much faster than a copy into an emulated machine."""
    python = Python(PYTHON_OF_SUITE["bookworm"], platform.machine(), "/usr/bin/python3")
    bundle = asyncio.run(bundle_for(python))
    tree = folder / "program"
    for name, part in (("libraries", bundle.libraries), ("release", bundle.release)):
        (tree / name).mkdir(parents=True)
        run(["tar", "-xzf", part.archive, "-C", tree / name, "--no-same-owner"], timeout=120)
    (tree / "more").mkdir()
    for path in more:
        shutil.copy(path, tree / "more")
    run(["chmod", "-R", "a+rX", tree])
    disk = folder / "program.img"
    run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", tree, disk, "512M"], timeout=300)
    shutil.rmtree(tree)
    return disk
