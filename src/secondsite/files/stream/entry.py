"""What is at one path of a set, as the source tells it. Pure data; the standby trusts none of it."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from enum import StrEnum

INLINE_BYTES = 262_144  # content up to this travels with the entry; what has more is fetched by rsync
PARTIAL = b".secondsite-partial"  # rsync's folder of half-made files (files/rsync/command.py)
TEMPORARY = b".secondsite-new-"  # begins the name under which a file is made before it is renamed

# As rsync does it (files/rsync/command.py): what would give rights to whoever finds it is not brought here.
FILE_MODE = 0o1777
ENTRY_MODE = 0o7777  # of a folder: its setgid only hands down its group
ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_NEVER = ("system.", "security.capability")


class Kind(StrEnum):
    """Devices, sockets and FIFOs are told as gone: they are no part of a set."""

    GONE = "gone"
    FOLDER = "folder"
    LINK = "link"
    FILE = "file"
    NAMES = "names"  # of a folder: between two names there are exactly these


@dataclass(frozen=True, slots=True)
class Attributes:
    """mode: permission bits. mtime: nanoseconds. xattrs: with the ACLs, sorted by name."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One path. Only what belongs to its kind is set.

    size, parts: of a file; parts are (offset, length) of its data, the rest are holes; ``content`` is all parts in a
    row. parts is None where the content is to be fetched. links: every path of the set that is this very file, itself
    included; empty where it has one name. target: of a link. names, low, high: of a folder, all the names greater than
    ``low`` and up to ``high``; no ``high`` means to the end.
    """

    path: bytes
    kind: Kind
    attributes: Attributes | None = None
    size: int = 0
    parts: tuple[tuple[int, int], ...] | None = None
    content: bytes = b""
    links: tuple[bytes, ...] = ()
    target: bytes = b""
    names: tuple[bytes, ...] = ()
    low: bytes = b""
    high: bytes | None = None
    sparse: bool = False
    inode: tuple[int, int] | None = field(default=None, compare=False)  # of a file with several names; never sent

    @property
    def fetched(self) -> bool:
        """Whether rsync has to bring its content."""
        return self.kind is Kind.FILE and self.parts is None


def brought(name: str) -> bool:
    """Whether an extended attribute of that name is part of a set."""
    return name in ACLS or not name.startswith(_NEVER)


def kept_mode(mode: int) -> int:
    """The bits of a st_mode that are part of a set."""
    return mode & (ENTRY_MODE if stat.S_ISDIR(mode) else FILE_MODE)
