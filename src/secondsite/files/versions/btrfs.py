"""The few calls of btrfs that are needed, without its programs (linux/btrfs.h, ioctl numbers are part of its ABI)."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

_MAGIC = 0x9123683E  # statfs(2)
_SUBVOLUME_INODE = 256  # BTRFS_FIRST_FREE_OBJECTID: the top folder of every subvolume
_SNAP_CREATE_V2, _SNAP_DESTROY, _SUBVOL_ROOTREF = 0x50009417, 0x5000940F, 0xD000943D
_READ_ONLY = 1 << 1
_LIBC = ctypes.CDLL(None, use_errno=True)
FICLONE = 0x40049409  # ioctl_ficlone(2)
_NO_REFLINKS = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS)


def is_btrfs(folder: int) -> bool:
    """Whether the open folder lies on btrfs."""
    room = ctypes.create_string_buffer(256)
    if _LIBC.fstatfs(folder, room) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return bool(struct.unpack_from("l", room)[0] == _MAGIC)


def is_subvolume(folder: int) -> bool:
    """Whether the open folder is the top of a btrfs subvolume."""
    return os.fstat(folder).st_ino == _SUBVOLUME_INODE and is_btrfs(folder)


def is_plain_subvolume(folder: int) -> bool:
    """Whether it is one without another one in it, which a snapshot would leave out."""
    if not is_subvolume(folder):
        return False
    references = bytearray(4096)
    try:
        fcntl.ioctl(folder, _SUBVOL_ROOTREF, references)
    except OSError as unknown:
        if unknown.errno in (errno.ENOTTY, errno.EOVERFLOW):  # older than Linux 4.18, or more than it can list
            return False
        raise
    return references[8 + 255 * 16] == 0


def snapshot(source: int, place: int, name: str) -> None:
    """Make ``name`` in the open folder ``place`` a read-only snapshot of the open subvolume. Raises OSError."""
    _call(place, _SNAP_CREATE_V2, struct.pack("=qQQ32x4040s", source, 0, _READ_ONLY, os.fsencode(name)))


def delete(place: int, name: str) -> None:
    """Delete the subvolume ``name`` in the open folder ``place``. Raises OSError."""
    _call(place, _SNAP_DESTROY, struct.pack("=q4088s", 0, os.fsencode(name)))


def _call(folder: int, number: int, request: bytes) -> None:
    """Python copies what is longer than 1024 bytes only where it may be written to."""
    fcntl.ioctl(folder, number, bytearray(request))


def clone(source: int, target: int) -> bool:
    """Let the open file ``target`` share the blocks of ``source``; False where the file system cannot do that."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as refused:
        if refused.errno in _NO_REFLINKS:
            return False
        raise
    return True


def reflinks(folder: int) -> bool:
    """Whether files in the open folder can share blocks, found by doing it (btrfs, XFS, and what comes)."""
    flags = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
    try:
        one = os.open(".", flags, 0o600, dir_fd=folder)
    except OSError:
        return False  # no O_TMPFILE: none of the file systems that have reflinks
    try:
        other = os.open(".", flags, 0o600, dir_fd=folder)
        try:
            os.write(one, b"x" * 4096)
            return clone(one, other)
        finally:
            os.close(other)
    finally:
        os.close(one)
