"""Fill a site's data disk to the last block, and give the room back."""

import errno
import os
from pathlib import Path

from secondsite_lab import disks, mounts
from secondsite_lab.errors import LabError
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.topology import Host, site_of

_NAME = ".lab-filler"
_SMALLEST = 4096


def fill(lab: Lab, record: Record, host: Host) -> None:
    """Take all the room of the disk at /srv: the file sets', and the database's where it lies there too."""
    filler = _filler(lab, record, host)
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        _take_all(handle)
    finally:
        os.close(handle)


def empty(lab: Lab, record: Record, host: Host) -> None:
    """Give the room back; nothing happens where none was taken."""
    _filler(lab, record, host).unlink(missing_ok=True)


def _filler(lab: Lab, record: Record, host: Host) -> Path:
    site_of(host)
    point = record.store().root(lab, host) / disks.MOUNTED_AT
    if not mounts.is_mounted(point):
        raise LabError(f"{host.name} is off", f"secondsite-lab power-on {host.name} --name {lab.name}")
    return point / _NAME


def _take_all(handle: int) -> None:
    """By allocating, not by writing: at once, and the image file does not grow."""
    end, chunk = os.fstat(handle).st_size, 1 << 30
    while chunk >= _SMALLEST:
        try:
            os.posix_fallocate(handle, end, chunk)
            end += chunk
        except OSError as full:
            if full.errno != errno.ENOSPC:
                raise
            end = os.fstat(handle).st_size  # ext4 keeps what it could allocate
            chunk //= 2
