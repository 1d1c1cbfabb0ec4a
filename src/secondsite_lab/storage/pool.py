"""The pool: one btrfs file system in a file, shared by all labs, mounted while any of them exists."""

from pathlib import Path

from secondsite_lab import mounts
from secondsite_lab.errors import CommandFailed, LabError
from secondsite_lab.lab import cache_directory, runtime_directory
from secondsite_lab.run import run, succeeds

_SIZE = "64G"  # sparse: only what is written takes space


def kernel_has(file_system: str) -> bool:
    """Whether the kernel can mount this kind of file system, loading the module if need be."""
    known = Path("/proc/filesystems")
    if file_system in known.read_text().split():
        return True
    return succeeds(["modprobe", file_system]) and file_system in known.read_text().split()


def file() -> Path:
    """The file that holds the pool."""
    return cache_directory() / "pool.btrfs"


def mount_point() -> Path:
    """Where the pool is mounted."""
    return runtime_directory() / ".pool"


def open_pool() -> bool:
    """Mount the pool, making it first if need be; whether it was not mounted before. The caller holds the lock."""
    if mounts.is_mounted(mount_point()):
        return False
    if not file().exists():
        _create()
    # Discard gives the space of deleted snapshots back to the machine's own file system.
    try:
        mounts.mount_loop(file(), mount_point(), "noatime,discard=async,user_subvol_rm_allowed")
    except CommandFailed as error:
        raise LabError(error.message, f"{file()} only holds what can be made again: remove it") from error
    for name in ("images", "labs", "saves"):
        (mount_point() / name).mkdir(exist_ok=True)
    return True


def _create() -> None:
    cache_directory().mkdir(parents=True, exist_ok=True)
    unfinished = file().with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    run(["truncate", "--size", _SIZE, unfinished])
    run(["mkfs.btrfs", "--quiet", "--metadata", "single", "--nodiscard", unfinished])
    unfinished.rename(file())


def close_pool() -> None:
    """Unmount the pool and free its loop device. The caller holds the machine-wide lock."""
    mounts.unmount_below(mount_point())
    mounts.detach_loops(file())
    if mount_point().is_dir():
        mount_point().rmdir()
