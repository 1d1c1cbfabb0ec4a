"""Which folders may be mirrored: nothing that belongs to the system, to PostgreSQL or to secondsite itself."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from secondsite.spec import paths
from secondsite.spec.faults import refuse

CLUSTERS = PurePosixPath("/var/lib/postgresql")  # where Debian keeps every cluster's data

# A host's own: mirrored whole they would make the standby a broken twin of the primary.
_NEVER_WHOLE = frozenset(
    PurePosixPath(text) for text in ("/", "/etc", "/opt", "/root", "/var", "/var/lib", "/var/spool")
)
_NEVER = tuple(
    PurePosixPath(text)
    for text in (
        "/bin", "/boot", "/dev", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/proc", "/run",
        "/sbin", "/sys", "/tmp", "/usr", "/var/lib/dpkg", "/var/lib/systemd", "/var/run", "/var/tmp",
        "/etc/apt", "/etc/netplan", "/etc/network", "/etc/postgresql", "/etc/ssh", "/etc/systemd",
        "/etc/wireguard",
    )
)  # fmt: skip
_OURS = tuple(PurePosixPath(path) for path in (paths.ETC, paths.STATE, paths.RUN, paths.PROGRAM, paths.CACHE))


def inside(path: PurePosixPath, folder: PurePosixPath) -> bool:
    """Whether a path is a folder or lies below it; by text, since the file is read away from the hosts."""
    return path == folder or folder in path.parents


def overlap(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether one holds the other."""
    return inside(one, other) or inside(other, one)


def _fit(value: PurePosixPath) -> PurePosixPath:
    if not value.is_absolute():
        raise refuse(f'"{value}" is no absolute path', f'did you mean "/{value}"?')
    if ".." in value.parts or any(ord(letter) < 32 for letter in str(value)):
        raise refuse(f'"{value}" is no plain path', 'leave out ".." and control characters')
    value = PurePosixPath("/", *value.parts[1:])  # POSIX lets "//" mean something else
    if value in _NEVER_WHOLE:
        raise refuse(f"{value} is a system folder", "name the folder below it that holds the service's files")
    for folder in _NEVER:
        if inside(value, folder):
            raise refuse(f"{value} belongs to the system of each host", "mirror the service's own files only")
    for folder in _OURS:
        if overlap(value, folder):
            raise refuse(f"{value} overlaps {folder}, which belongs to secondsite itself", "leave it out")
    return value


Folder = Annotated[PurePosixPath, AfterValidator(_fit)]
