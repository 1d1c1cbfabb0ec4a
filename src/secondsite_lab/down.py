"""Take a lab down, whatever state it is in: every step looks at what is there, and none minds that it is gone."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secondsite_lab import cgroups, disks, image, lock, mounts, network, record, shared
from secondsite_lab.hosts import forget, leader, supervisor
from secondsite_lab.lab import Lab, known_labs, runtime_directory
from secondsite_lab.record import Record
from secondsite_lab.storage import pool
from secondsite_lab.topology import HOSTS

Tell = Callable[[str], None]


@contextmanager
def machine_lock(tell: Tell) -> Iterator[None]:
    """Be the only one who mounts or unmounts what all labs share."""
    with lock.held(runtime_directory() / ".machine.lock", "the disks of all labs", waiting=tell):
        yield


def remove(lab: Lab, tell: Tell) -> None:
    """Remove a lab. The caller holds the lab's lock."""
    if lab.state.exists():
        if lab.record.exists():
            _remove_parts(lab, record.read(lab))
        shutil.rmtree(lab.state)
    close_shared(tell)


def _remove_parts(lab: Lab, made: Record) -> None:
    store = made.store()
    for host in HOSTS:
        for process in (leader(lab, host), supervisor(lab, host)):
            if process is not None:
                process.kill()
    cgroups.kill_and_remove(made.all_groups(lab))
    for host in HOSTS:
        forget(lab, host, store.root(lab, host))
    network.destroy(lab)
    if made.storage != "btrfs" or mounts.is_mounted(pool.mount_point()):
        for host in HOSTS:
            disks.detach(lab, host, store)
        store.destroy(lab)
        image.discard_abandoned(store, made.suite)
    mounts.unmount_below(lab.state)
    cgroups.remove_if_empty(Path(base) for base in made.cgroup_bases)


def close_shared(tell: Tell) -> None:
    """Unmount the pool when the last lab is gone."""
    with machine_lock(tell):
        if not known_labs():
            shared.close()


def tidy() -> None:
    """Remove the folder of all labs' state when nothing is in it any more. Called without any lock held."""
    try:
        runtime_directory().rmdir()
    except OSError:
        return
