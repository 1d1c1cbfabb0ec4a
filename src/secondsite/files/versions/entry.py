"""All that is known of a file, folder or link but its content: read from a tree, put onto a copy, a manifest's line."""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import stat
from dataclasses import dataclass, replace

FILE, FOLDER, LINK = "file", "folder", "link"
_UNSUPPORTED = (errno.ENOTSUP, errno.ENODATA)


@dataclass(frozen=True, slots=True)
class Entry:
    """path: relative to the set's folder, "" for the folder itself; bytes that are no text as ``os.fsdecode`` has them.

    size: bytes of a file, 0 for others. mtime_ns: nanoseconds since 1970. xattrs: POSIX ACLs are among them
    (acl(5): system.posix_acl_access, system.posix_acl_default). target: of a link. group: the first path of those that
    are one file (hard links); None where there is one name.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    xattrs: tuple[tuple[str, bytes], ...] = ()
    target: str | None = None
    group: str | None = None

    def line(self) -> bytes:
        """One line of a manifest, without its end. The path comes first: whoever looks for one finds it unparsed."""
        body: dict[str, object] = {
            "p": self.path, "k": self.kind, "m": self.mode, "u": self.uid, "g": self.gid, "s": self.size,
            "t": self.mtime_ns,
        }  # fmt: skip
        if self.xattrs:
            body["x"] = {name: base64.b64encode(value).decode() for name, value in self.xattrs}
        if self.target is not None:
            body["l"] = self.target
        if self.group is not None:
            body["h"] = self.group
        return json.dumps(body, separators=(",", ":")).encode()


def parsed(line: bytes) -> Entry:
    """The inverse of ``Entry.line``. Raises ValueError."""
    try:
        body = json.loads(line)
        xattrs = tuple((name, base64.b64decode(value)) for name, value in body.get("x", {}).items())
        return Entry(
            body["p"], body["k"], body["m"], body["u"], body["g"], body["s"], body["t"], xattrs, body.get("l"),
            body.get("h"),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as strange:
        raise ValueError(f"no line of a manifest: {line[:80]!r}") from strange


def read(path: str, name: str, folder: int, seen: os.stat_result) -> Entry | None:
    """The entry ``name`` of the open folder ``folder``; None for what a file set does not hold (devices, sockets).

    name: "." for the folder itself. Raises OSError, FileNotFoundError where it went meanwhile.
    """
    kind = kind_of(seen.st_mode)
    if kind is None:
        return None
    target = os.readlink(name, dir_fd=folder) if kind == LINK else None
    return Entry(
        path,
        kind,
        stat.S_IMODE(seen.st_mode),
        seen.st_uid,
        seen.st_gid,
        seen.st_size if kind == FILE else 0,
        seen.st_mtime_ns,
        xattrs_of(folder, name),
        target,
    )


def kind_of(mode: int) -> str | None:
    """file, folder or link; None for anything else."""
    kinds = {stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
    return kinds.get(stat.S_IFMT(mode))


def within(folder: int, name: str) -> str:
    """A path for calls that take no descriptor: nobody can lead it elsewhere, for its folder is held open (proc(5)).
    It ends with the name, so such a call must not follow links."""
    return f"/proc/self/fd/{folder}/{name}"


def xattrs_of(folder: int, name: str) -> tuple[tuple[str, bytes], ...]:
    """Every extended attribute, by name; none where the file system has none."""
    path = within(folder, name)
    try:
        names = os.listxattr(path, follow_symlinks=name == ".")
        return tuple((one, os.getxattr(path, one, follow_symlinks=name == ".")) for one in sorted(names))
    except OSError as refused:
        if refused.errno in _UNSUPPORTED:
            return ()
        raise


def put(entry: Entry, folder: int, name: str) -> None:
    """Give ``name`` in the open folder what ``entry`` says: owner, mode, attributes, time. Raises OSError.

    In this order: chown(2) clears set-id bits, an ACL changes the mode's group bits, and everything changes no mtime.
    """
    os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
    path, itself = within(folder, name), name == "."
    wanted = dict(entry.xattrs)
    for one, _ in xattrs_of(folder, name):
        if one not in wanted and not one.startswith("security."):  # a label is the host's own
            with contextlib.suppress(FileNotFoundError):
                os.removexattr(path, one, follow_symlinks=itself)
    for one, value in entry.xattrs:
        os.setxattr(path, one, value, follow_symlinks=itself)
    if entry.kind != LINK:
        os.chmod(name, entry.mode, dir_fd=folder)
    os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)


class Groups:
    """Finds which names of one tree are one file. Only ever asked in the order of a walk."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], str] = {}

    def told(self, entry: Entry, seen: os.stat_result) -> Entry:
        """The entry with its group: the path of the name that was seen first; the first itself has none."""
        if entry.kind == FOLDER or seen.st_nlink < 2:
            return entry
        first = self._first.setdefault((seen.st_dev, seen.st_ino), entry.path)
        return entry if first == entry.path else replace(entry, group=first)
