"""Give a file, a folder or a link at the standby what the source says it has: owner, mode, attributes, times."""

from __future__ import annotations

import os
import stat

from secondsite.files.stream.entry import Attributes, kept_mode
from secondsite.files.stream.look import xattrs


def give(handle: int, wanted: Attributes, *, time: bool = True) -> bool:
    """An open file or folder. Whether anything was different. time: its mtime too.

    The mode comes after the owner, whose change would take bits away (chown(2)). Raises OSError.
    """
    found = os.fstat(handle)
    mode = kept_mode(found.st_mode & ~0o7777 | wanted.mode)
    changed = False
    if (found.st_uid, found.st_gid) != (wanted.uid, wanted.gid):
        os.fchown(handle, wanted.uid, wanted.gid)
        changed = True
    changed |= _xattrs(handle, wanted, follow=True)
    if changed or stat.S_IMODE(found.st_mode) != mode:
        os.fchmod(handle, mode)
        changed = True
    if time and found.st_mtime_ns != wanted.mtime:
        os.utime(handle, ns=(found.st_atime_ns, wanted.mtime))
        changed = True
    return changed


def give_link(folder: int, name: bytes, wanted: Attributes) -> bool:
    """A link, by its folder: it cannot be opened. A link has no mode of its own. Raises OSError."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    changed = _xattrs(f"/proc/self/fd/{folder}/{os.fsdecode(name)}", wanted, follow=False)
    if (found.st_uid, found.st_gid) != (wanted.uid, wanted.gid):
        os.chown(name, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
        changed = True
    if found.st_mtime_ns != wanted.mtime:
        os.utime(name, ns=(found.st_atime_ns, wanted.mtime), dir_fd=folder, follow_symlinks=False)
        changed = True
    return changed


def _xattrs(place: int | str, wanted: Attributes, *, follow: bool) -> bool:
    have, want = dict(xattrs(place, follow=follow)), dict(wanted.xattrs)
    if have == want:
        return False
    for name in have.keys() - want.keys():
        os.removexattr(place, name, follow_symlinks=follow)
    for name, value in want.items():
        if have.get(name) != value:
            os.setxattr(place, name, value, follow_symlinks=follow)
    return True
