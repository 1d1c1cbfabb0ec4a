"""At the source: what is at a path now, read beneath the set's folder only (beneath.py says why)."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator

from secondsite.files.stream.beneath import GONE, Root, split
from secondsite.files.stream.entry import INLINE_BYTES, PARTIAL, TEMPORARY, Attributes, Entry, Kind, brought, kept_mode
from secondsite.files.stream.exclude import Excludes

NAMES_AT_ONCE = 1000  # of a folder's names in one entry
PARTS = 512  # of a sparse file; one with more is fetched
_NO_XATTRS = (errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM)


def look(root: Root, path: bytes) -> Entry:
    """What is at ``path``. A file's content is read where it is small. Raises OSError where it cannot be read."""
    try:
        with root.opened(path) as handle:
            found = os.fstat(handle)
            if stat.S_ISREG(found.st_mode):
                return _file(path, handle)
            if stat.S_ISDIR(found.st_mode):
                return Entry(path, Kind.FOLDER, _attributes(found, f"/proc/self/fd/{handle}"))
            if stat.S_ISLNK(found.st_mode):
                return _link(root, path, handle, found)
    except OSError as failed:
        if failed.errno not in GONE:
            raise
    return Entry(path, Kind.GONE)


def _attributes(found: os.stat_result, place: str, *, follow: bool = True) -> Attributes:
    return Attributes(
        kept_mode(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, xattrs(place, follow=follow)
    )


def xattrs(place: str | int, *, follow: bool = True) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes and ACLs that are part of a set; none where the file system has none."""
    try:
        names = [name for name in os.listxattr(place, follow_symlinks=follow) if brought(name)]
    except OSError as failed:
        if failed.errno in _NO_XATTRS:
            return ()
        raise
    found = []
    for name in sorted(names):
        try:
            found.append((name, os.getxattr(place, name, follow_symlinks=follow)))
        except OSError as failed:
            if failed.errno != errno.ENODATA:  # removed since it was listed
                raise
    return tuple(found)


def _link(root: Root, path: bytes, handle: int, found: os.stat_result) -> Entry:
    """A link is read by its descriptor; its attributes only by its folder and name (xattr(7))."""
    target = os.readlink(b"", dir_fd=handle)
    parent, name = split(path)
    with root.opened(parent, os.O_PATH | os.O_DIRECTORY) as folder:
        place = f"/proc/self/fd/{folder}/{os.fsdecode(name)}"
        return Entry(path, Kind.LINK, _attributes(found, place, follow=False), target=target)


def _file(path: bytes, handle: int) -> Entry:
    """Opened again by its descriptor: it is the very file that was looked at (proc(5), /proc/PID/fd)."""
    opened = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = os.fstat(opened)
        sparse = found.st_blocks * 512 < found.st_size
        attributes = _attributes(found, f"/proc/self/fd/{handle}")
        inode = (found.st_dev, found.st_ino) if found.st_nlink > 1 else None
        parts = _parts(opened, found.st_size) if sparse else _whole(found.st_size)
        if parts is None:
            return Entry(path, Kind.FILE, attributes, size=found.st_size, sparse=sparse, inode=inode)
        content = [os.pread(opened, length, offset) for offset, length in parts]
        read = tuple((offset, len(data)) for (offset, _), data in zip(parts, content, strict=True) if data)
        size = found.st_size
        if read != parts:  # cut while it was read: as long as it is now; it is dirty again, and told again
            size = min(size, os.fstat(opened).st_size)
            read = tuple(part for part in read if sum(part) <= size)
            content = [os.pread(opened, length, offset).ljust(length, b"\0") for offset, length in read]
        whole = b"".join(content)
        return Entry(path, Kind.FILE, attributes, size, read, whole, sparse=sparse, inode=inode)
    finally:
        os.close(opened)


def _whole(size: int) -> tuple[tuple[int, int], ...] | None:
    if size == 0:
        return ()
    return ((0, size),) if size <= INLINE_BYTES else None


def _parts(handle: int, size: int) -> tuple[tuple[int, int], ...] | None:
    """Where the data of a sparse file is (lseek(2), SEEK_DATA); None where it is too much to travel inline."""
    parts: list[tuple[int, int]] = []
    at = total = 0
    while at < size:
        try:
            begin = os.lseek(handle, at, os.SEEK_DATA)
        except OSError as failed:
            if failed.errno == errno.ENXIO:
                break  # only a hole is left
            raise
        at = min(os.lseek(handle, begin, os.SEEK_HOLE), size)
        if at <= begin:
            break  # cut while it was read
        parts.append((begin, at - begin))
        total += at - begin
        if total > INLINE_BYTES or len(parts) > PARTS:
            return None
    return tuple(parts)


def names(root: Root, path: bytes, excludes: Excludes) -> tuple[list[bytes], list[bytes]]:
    """Names in a folder, sorted, and which of them are folders, without what is excluded. Raises OSError."""
    handle = root.folder(path)
    try:
        found, folders = [], []
        with os.scandir(handle) as entries:
            for one in entries:
                name = os.fsencode(one.name)
                folder = one.is_dir(follow_symlinks=False)
                below = path + b"/" + name if path else name
                if ours(name) or excludes.excluded(below, folder=folder):
                    continue
                found.append(name)
                if folder:
                    folders.append(name)
    finally:
        os.close(handle)
    return sorted(found), sorted(folders)


def ours(name: bytes) -> bool:
    """Whether a name is that of something half-made here."""
    return name == PARTIAL or name.startswith(TEMPORARY)


def listing(path: bytes, found: list[bytes]) -> Iterator[Entry]:
    """A folder's names in pieces that together say that there are no others."""
    low = b""
    for begin in range(0, len(found), NAMES_AT_ONCE):
        piece = tuple(found[begin : begin + NAMES_AT_ONCE])
        last = begin + NAMES_AT_ONCE >= len(found)
        yield Entry(path, Kind.NAMES, names=piece, low=low, high=None if last else piece[-1])
        low = piece[-1]
    if not found:
        yield Entry(path, Kind.NAMES)


def walk(root: Root, path: bytes, excludes: Excludes) -> Iterator[Entry]:
    """A folder and everything below it, each folder before what is in it, and which names it has. Raises OSError.

    A folder is told again after what is in it: that may belong to a later batch, and changes its time.
    """
    first = look(root, path)
    yield first
    folders = [path] if first.kind is Kind.FOLDER else []
    while folders:
        folder = folders.pop()
        try:
            found, below = names(root, folder, excludes)
        except OSError as failed:
            if failed.errno in GONE:
                continue  # removed since; whoever did has made it dirty
            raise
        yield from listing(folder, found)
        prefix = folder + b"/" if folder else b""
        yield from (look(root, prefix + name) for name in found)
        yield look(root, folder)
        folders.extend(prefix + name for name in reversed(below))


def siblings(root: Root, inodes: Collection[tuple[int, int]], excludes: Excludes) -> dict[tuple[int, int], list[bytes]]:
    """Every path of the set for each of these files: reads all folders, but of the files only those it looks for."""
    wanted = {number for _, number in inodes}
    found: dict[tuple[int, int], list[bytes]] = {each: [] for each in inodes}
    folders = [b""]
    while folders:
        folder = folders.pop()
        try:
            handle = root.folder(folder)
        except OSError as failed:
            if failed.errno in GONE:
                continue
            raise
        try:
            with os.scandir(handle) as entries:
                for one in entries:
                    name = os.fsencode(one.name)
                    path = folder + b"/" + name if folder else name
                    if one.is_dir(follow_symlinks=False):
                        if not ours(name) and not excludes.excluded(path, folder=True):
                            folders.append(path)
                    elif one.inode() in wanted and not ours(name) and not excludes.excluded(path, folder=False):
                        seen = os.stat(name, dir_fd=handle, follow_symlinks=False)
                        if (seen.st_dev, seen.st_ino) in found:
                            found[seen.st_dev, seen.st_ino].append(path)
        except FileNotFoundError:
            continue  # removed meanwhile; whoever did has made it dirty
        finally:
            os.close(handle)
    return {each: sorted(paths) for each, paths in found.items()}
