"""A control group of its own for every host, in every hierarchy the machine has.

Hosts that share a group see their units die (219/CGROUP) when they boot side by side: each systemd believes that the
group it starts in is its own. Groups are made below the group of the caller, so its limits hold for the hosts too; on a
machine with only the unified hierarchy they are made at its root, because a group with processes cannot delegate.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from secondsite_lab.errors import LabError
from secondsite_lab.processes import process_of

_ROOT = Path("/sys/fs/cgroup")
_NAME = "secondsite-lab"


def bases() -> list[Path]:
    """Where, in each hierarchy, the groups of the lab go."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers:
            name = controllers.removeprefix("name=")
            found.append(_ROOT / name / path.lstrip("/"))
        elif (_ROOT / "unified").is_dir():
            found.append(_ROOT / "unified" / path.lstrip("/"))
        else:
            found.append(_ROOT)
    return [base / _NAME for base in found if base.is_dir()]


def create(groups: Iterable[Path]) -> None:
    """Make the groups, and those of the lab above them; never a group that is not the lab's own."""
    for group in groups:
        ours = [path for path in (group, *group.parents) if _NAME in path.parts]
        if not ours[-1].parent.is_dir():
            raise LabError(f"the control group {ours[-1].parent}, in which the lab was brought up, is gone")
        for level in reversed(ours):
            level.mkdir(exist_ok=True)
            _inherit_cpuset(level)


def _inherit_cpuset(group: Path) -> None:
    """A new group of the old cpuset controller admits nobody until it has processors and memory."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        own, parent = group / name, group.parent / name
        if own.exists() and parent.exists() and "cpuset" in group.parts and not own.read_text().strip():
            own.write_text(parent.read_text())


def members(group: Path) -> set[int]:
    """The processes in a group and below it."""
    found: set[int] = set()
    for directory, _, _ in os.walk(group):
        try:
            found.update(map(int, (Path(directory) / "cgroup.procs").read_text().split()))
        except OSError:
            continue
    return found


def kill_and_remove(groups: Iterable[Path], timeout: float = 15) -> None:
    """End whatever lives in the groups and remove them; what is already gone is fine."""
    remaining = [group for group in groups if group.exists()]
    deadline = time.monotonic() + timeout
    while remaining:
        for group in remaining:
            _kill_members(group)
            _remove_tree(group)
        remaining = [group for group in remaining if group.exists()]
        if remaining and time.monotonic() > deadline:
            raise LabError(f"control groups are still busy: {', '.join(map(str, remaining))}")
        if remaining:
            time.sleep(0.01)


def remove_if_empty(groups: Iterable[Path]) -> None:
    """Remove the parents that no other lab uses any more."""
    for group in groups:
        try:
            group.rmdir()
        except OSError:
            continue


def _kill_members(group: Path) -> None:
    # Membership is the identity here: only processes that `enter` put into this group, and their children, are in it.
    for pid in members(group):
        if (process := process_of(pid)) is not None:
            process.kill()


def _remove_tree(group: Path) -> None:
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            Path(directory).rmdir()
        except OSError:
            continue
