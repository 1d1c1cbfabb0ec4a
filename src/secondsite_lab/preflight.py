"""Look before anything is made whether this machine can carry a lab."""

import os
import shutil
from pathlib import Path

from secondsite_lab.errors import LabError
from secondsite_lab.lab import cache_directory

_LEAST_FREE = 3 * 2**30

_PACKAGE_OF = {
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ssh-keygen": "openssh-client",
    "sysctl": "procps",
    "systemd-nspawn": "systemd-container",
    "tc": "iproute2",
}


def require_root() -> None:
    """Everything the lab does needs root."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes mounts, namespaces and control groups", "run it with sudo")


def _require_space() -> None:
    """Disks are sparse files: a full file system would show as errors inside the hosts."""
    place = next(path for path in (cache_directory(), *cache_directory().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < _LEAST_FREE:
        raise LabError(
            f"only {free / 2**30:.1f} GiB are free where {cache_directory()} is; a lab needs {_LEAST_FREE >> 30}",
            "set SECONDSITE_LAB_CACHE to a folder with more space",
        )


def check() -> None:
    """Raise with the one line that helps, when something is missing."""
    require_root()
    missing = sorted({package for name, package in _PACKAGE_OF.items() if shutil.which(name) is None})
    if missing:
        raise LabError(f"missing on this machine: {', '.join(missing)}", f"apt-get install {' '.join(missing)}")
    for device in ("/dev/net/tun", "/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            raise LabError(f"this machine has no {device}", "load the kernel's tun, fuse and loop modules")
    _require_space()
