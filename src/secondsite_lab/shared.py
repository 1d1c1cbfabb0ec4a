"""What all labs share: a folder whose mounts are the same in every mount namespace, and the pool of disks in it.

`ip netns exec` and systemd-nspawn copy the machine's mount namespace. Where mounts are private, as on a machine without
systemd, such a copy keeps a disk mounted after it was unmounted here: not written out, and open to a second mount. So
the labs' folder is a shared mount, and what is unmounted in it is unmounted everywhere.
"""

from secondsite_lab import mounts
from secondsite_lab.lab import runtime_directory
from secondsite_lab.run import run
from secondsite_lab.storage import Store, pool


def open_for(store: Store) -> None:
    """Make the folder and a store ready. The caller holds the machine-wide lock."""
    directory = runtime_directory()
    if not mounts.any_below(directory):
        run(["mount", "--bind", directory, directory])
        run(["mount", "--make-shared", directory])
    store.open()


def close() -> None:
    """Unmount everything, as the last one to leave. The caller holds the machine-wide lock."""
    pool.close_pool()
    if mounts.is_mounted(runtime_directory()):
        # Lazily: our own locks are open in it, and it holds nothing but this folder itself.
        run(["umount", "--lazy", runtime_directory()])
