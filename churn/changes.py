"""Somebody who changes a tree in every way that there is, by a fixed seed."""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import stat
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from churn.trees import walk

# Names that have broken programs: line ends, bytes that are not UTF-8, what looks like an option or a comment.
HOSTILE = [
    b"two\nlines", b"\xff\xfe not utf-8", b"#hash", b";semicolon", b"-rf", b"--delete", b" blank ", b"back\\slash",
    b"*", b"?", b"[a]", b"'quote\"", b"tab\there", b"$(reboot)", b"%s%n", b"~", b"\x01control", b"n" * 255,
    "grüße".encode(), "e\u0301".encode(), b"...", b"a:b", b"CON", b"x (deleted)",
    b"- minus", b"+ plus", b"!", b"@ERROR", b"\r", b"\xc3", b"**", b".name.tmp", b"*deleting  x", b"{}", b"_" * 250,
    b"\xf0\x9f\x92\xa9", b"\xed\xa0\x80", b"C\xcc\xa7", b"\\#012",
]  # fmt: skip


class Churn:
    """Random changes below ``root``; ``outside`` is a folder on the same file system, to move things out of and into.

    Every operation leaves what it met valid, so that it can go on for ever; what fails because of what came before
    (a name that is too long, a folder that is gone) is simply no change.
    """

    def __init__(self, root: Path, outside: Path, seed: int) -> None:
        self._root, self._outside = os.fsencode(root), os.fsencode(outside)
        self._random = random.Random(seed)
        self._number = 0
        self.linked: set[int] = set()  # inodes that have, or had, more than one name
        self._spared: bytes | None = None
        self.done: Counter[str] = Counter()  # what was really changed, by kind
        self._acts: list[Callable[[], None]] = [
            *[self._make_file] * 6, *[self._make_folder] * 3, *[self._rewrite] * 4, self._append, self._truncate,
            *[self._rename] * 4, *[self._rename_folder] * 2, self._swap, *[self._remove] * 3, self._remove_tree,
            self._link, self._hard_link, self._folder_to_link, self._link_to_folder, self._mode, self._owner,
            self._times, self._attribute, self._sparse, self._move_out, *[self._move_in] * 2, self._deep,
            self._same_second, self._replace_by_rename, self._folder_to_file, self._link_and_back, self._large,
            self._big_tree, *[self._rename_big_tree] * 2, self._acl, self._default_acl, self._punch, self._patch,
            self._special, self._exchange, self._link_attributes, self._old_file_in, self._hard_link_elsewhere,
        ]  # fmt: skip

    def steps(self, count: int) -> None:
        """Make ``count`` changes."""
        for _ in range(count):
            act = self._random.choice(self._acts)
            try:
                act()
            except OSError:
                continue
            self.done[act.__name__.strip("_").replace("_", " ")] += 1

    def spare(self) -> None:
        """From now on one file at the top stays as it is: where all that is there goes, a full comparison is right."""
        self._spared = self._root + b"/spared"
        _write(self._spared, b"")

    def _a(self, kind: Callable[[int], bool]) -> bytes:
        """One of a kind, found by going down somewhere; to list all of it for each step would take most of the time."""
        for _ in range(12):
            here = self._root
            while found := [one for one in self._entries(here) if one[0] != self._spared]:
                path, mode = self._random.choice(found)
                if kind(mode) and (not stat.S_ISDIR(mode) or self._random.random() < 0.4):
                    return path
                if not stat.S_ISDIR(mode):
                    break
                here = path
        raise FileNotFoundError

    @staticmethod
    def _entries(folder: bytes) -> list[tuple[bytes, int]]:
        with os.scandir(folder) as entries:
            return sorted((each.path, each.stat(follow_symlinks=False).st_mode) for each in entries)

    def _some_tree(self) -> bytes:
        """A folder that may go with all that is in it: not most of what there is."""
        path = self._a(stat.S_ISDIR)
        if sum(1 for _ in walk(path)) > 0.2 * sum(1 for _ in walk(self._root)):
            raise FileNotFoundError
        return path

    def _folder(self) -> bytes:
        return self._a(stat.S_ISDIR) if self._random.random() < 0.8 else self._root

    def _new(self) -> bytes:
        self._number += 1
        name = self._random.choice(HOSTILE) if self._random.random() < 0.2 else b"name-%d" % self._number
        return os.path.join(self._folder(), name)

    def _content(self) -> bytes:
        return self._random.randbytes(self._random.choice([0, 1, 100, 5000, 70_000]))

    def _make_file(self) -> None:
        _write(self._new(), self._content())

    def _make_folder(self) -> None:
        """With files in it at once: what is made in a folder that is new must not be missed."""
        path = self._new()
        os.mkdir(path)
        for number in range(self._random.randrange(4)):
            _write(path + b"/in-%d" % number, self._content())
        if self._random.random() < 0.3:
            os.makedirs(path + b"/x/y")
            _write(path + b"/x/y/z", self._content())

    def _rewrite(self) -> None:
        _write(self._a(stat.S_ISREG), self._content())

    def _append(self) -> None:
        with _opened(self._a(stat.S_ISREG)) as file:
            file.seek(0, os.SEEK_END)
            file.write(b"more")

    def _truncate(self) -> None:
        os.truncate(self._a(stat.S_ISREG), self._random.randrange(200))

    def _rename(self) -> None:
        os.rename(self._a(lambda mode: not stat.S_ISDIR(mode)), self._new())

    def _rename_folder(self) -> None:
        os.rename(self._a(stat.S_ISDIR), self._new())

    def _swap(self) -> None:
        first, second, between = self._a(stat.S_ISDIR), self._a(stat.S_ISDIR), self._new()
        os.rename(first, between)
        os.rename(second, first)
        os.rename(between, second)

    def _remove(self) -> None:
        os.unlink(self._a(lambda mode: not stat.S_ISDIR(mode)))

    def _remove_tree(self) -> None:
        shutil.rmtree(self._some_tree())

    def _link(self) -> None:
        os.symlink(self._random.choice([b"/proc/version", b"nowhere", b"..", b"x" * 200]), self._new())

    def _hard_link(self) -> None:
        path = self._a(stat.S_ISREG)
        self.linked.add(os.stat(path).st_ino)
        os.link(path, self._new())

    def _folder_to_link(self) -> None:
        path = self._some_tree()
        shutil.rmtree(path)
        os.symlink(b"/proc/tty", path)

    def _link_to_folder(self) -> None:
        path = self._a(stat.S_ISLNK)
        os.unlink(path)
        os.mkdir(path)
        _write(path + b"/again", self._content())

    def _folder_to_file(self) -> None:
        path = self._some_tree()
        shutil.rmtree(path)
        _write(path, self._content())

    def _mode(self) -> None:
        path = self._a(lambda mode: not stat.S_ISLNK(mode))
        os.chmod(path, self._random.choice([0o700, 0o755, 0o2750, 0o711]) | 0o400)

    def _owner(self) -> None:
        os.chown(self._a(lambda mode: True), self._random.randrange(3), 33, follow_symlinks=False)

    def _times(self) -> None:
        moment = self._random.randrange(10**18, 18 * 10**17)
        os.utime(self._a(lambda mode: True), ns=(moment, moment), follow_symlinks=False)

    def _attribute(self) -> None:
        path, name = self._a(lambda mode: not stat.S_ISLNK(mode)), b"user.%d" % self._random.randrange(3)
        if name in map(os.fsencode, os.listxattr(path)) and self._random.random() < 0.5:
            os.removexattr(path, name)
        else:
            os.setxattr(path, name, self._random.randbytes(20))

    def _sparse(self) -> None:
        with _made(self._new()) as file:
            file.truncate(3_000_000)
            file.seek(1_500_000)
            file.write(b"in the middle")

    def _move_out(self) -> None:
        self._number += 1
        chosen = self._a(lambda mode: not stat.S_ISDIR(mode)) if self._random.random() < 0.5 else self._some_tree()
        os.rename(chosen, self._outside + b"/out-%d" % self._number)

    def _move_in(self) -> None:
        found = os.listdir(self._outside)
        if found and self._random.random() < 0.6:
            os.rename(os.path.join(self._outside, self._random.choice(found)), self._new())
            return
        self._number += 1
        tree = self._outside + b"/made-%d" % self._number
        for number in range(3):
            os.makedirs(tree + b"/sub-%d/deeper" % number)
            _write(tree + b"/sub-%d/deeper/file" % number, self._content())
        os.rename(tree, self._new())

    def _deep(self) -> None:
        path = self._new()
        os.makedirs(os.path.join(path, *[b"d" * 20] * 12))

    def _same_second(self) -> None:
        """Of the same size and within the same second: seen only by who looks at nanoseconds."""
        path = self._a(stat.S_ISREG)
        before = os.stat(path)
        _write(path, self._random.randbytes(before.st_size))
        now = before.st_mtime_ns // 10**9 * 10**9 + self._random.randrange(10**9)
        os.utime(path, ns=(now, now))
        if os.stat(path).st_mtime_ns == before.st_mtime_ns:  # whole seconds: without a watcher only its content tells
            os.utime(path, ns=(now + 10**9, now + 10**9))

    def _link_and_back(self) -> None:
        """A folder that is a link for a moment, and then a folder again: whoever is late meets the wrong one."""
        path = self._some_tree()
        between = self._new()
        os.rename(path, between)
        os.symlink(between, path)
        if self._random.random() < 0.5:
            os.unlink(path)
            os.rename(between, path)

    def grow(self) -> None:
        """What takes a moment to copy, by whatever engine."""
        with suppress(OSError):
            _write(self._new(), self._random.randbytes(4_000_000))

    def _large(self) -> None:
        """More than travels with an entry."""
        _write(self._new(), self._random.randbytes(self._random.choice([262_145, 400_000, 1_500_000])))

    def _big_tree(self) -> None:
        """Seldom: most of what there is would be it."""
        if self._random.random() < 0.8:
            raise FileNotFoundError
        top = self._new()
        os.mkdir(top)
        for folder in range(12):
            os.makedirs(top + b"/big-%d/below" % folder)
            for number in range(10):
                _write(top + b"/big-%d/below/%d" % (folder, number), b"%d" % self._random.randrange(10**9))

    def _rename_big_tree(self) -> None:
        """The largest of what stands at the top, to another name or into another folder."""
        tops = [path for path, mode in self._entries(self._root) if stat.S_ISDIR(mode)]
        largest = max(tops, key=lambda path: sum(1 for _ in walk(path)), default=None)
        if largest is None:
            raise FileNotFoundError
        os.rename(largest, self._new())

    def _acl(self) -> None:
        path = self._a(lambda mode: not stat.S_ISLNK(mode))
        if self._random.random() < 0.3:
            os.removexattr(path, b"system.posix_acl_access")
        else:
            os.setxattr(path, b"system.posix_acl_access", _acl(self._random.randrange(1000, 1010)))

    def _default_acl(self) -> None:
        """What is made in that folder from now on inherits it, at the copy too unless somebody sees to it."""
        os.setxattr(self._a(stat.S_ISDIR), b"system.posix_acl_default", _acl(self._random.randrange(1000, 1010)))

    def _punch(self) -> None:
        """Zeros in the middle that take no room, or zeros that do."""
        path = self._a(stat.S_ISREG)
        size = os.stat(path).st_size
        with _opened(path) as file:
            file.seek(self._random.randrange(size + 1))
            if self._random.random() < 0.5:
                file.write(bytes(20_000))
            else:
                file.truncate(size + 1_000_000)

    def _patch(self) -> None:
        """A few bytes in place: size, and all the rest, stay."""
        path = self._a(stat.S_ISREG)
        with _opened(path) as file:
            file.seek(self._random.randrange(max(1, os.stat(path).st_size)))
            file.write(b"patched")

    def _special(self) -> None:
        """What is no part of a set, also in the place of something that was."""
        path = self._new()
        if self._random.random() < 0.5:
            path = self._a(lambda mode: not stat.S_ISDIR(mode))
            os.unlink(path)
        kind = self._random.randrange(3)
        if kind == 0:
            os.mkfifo(path)
        elif kind == 1:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        else:
            with socket.socket(socket.AF_UNIX) as unheard, suppress(OSError):
                unheard.bind(path)

    def _exchange(self) -> None:
        """Two names change places, whatever they are."""
        first, second = self._a(lambda mode: True), self._a(lambda mode: True)
        if first == second or first.startswith(second + b"/") or second.startswith(first + b"/"):
            raise FileNotFoundError
        between = self._new()
        os.rename(first, between)
        os.rename(second, first)
        os.rename(between, second)

    def _link_attributes(self) -> None:
        path = self._a(stat.S_ISLNK)
        os.chown(path, self._random.randrange(5), 5, follow_symlinks=False)
        os.utime(path, ns=(1, self._random.randrange(10**18)), follow_symlinks=False)

    def _old_file_in(self) -> None:
        """Newer by its place, older by its time: from an archive, with the same size as what was there."""
        path = self._a(stat.S_ISREG)
        before = os.stat(path)
        _write(path + b".old", self._random.randbytes(before.st_size))
        os.utime(path + b".old", ns=(before.st_atime_ns, before.st_mtime_ns - 86_400 * 10**9))
        os.rename(path + b".old", path)

    def _hard_link_elsewhere(self) -> None:
        """A name outside goes on being the same file, and is written through."""
        path = self._a(stat.S_ISREG)
        self._number += 1
        other = self._outside + b"/name-%d" % self._number
        os.link(path, other)
        self.linked.add(os.stat(path).st_ino)
        os.unlink(other)

    def _replace_by_rename(self) -> None:
        """As careful programs save."""
        path = self._a(stat.S_ISREG)
        _write(path + b".tmp", self._content())
        os.rename(path + b".tmp", path)


def _write(path: bytes, content: bytes) -> None:
    with _made(path) as file:
        file.write(content)


def _acl(user: int) -> bytes:
    """One more user may read and write (linux/posix_acl_xattr.h)."""
    rows = ((0x01, 7, 0xFFFFFFFF), (0x02, 6, user), (0x04, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 0, 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def _opened(path: bytes) -> BinaryIO:
    """To be changed in place, and never through a link."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK), "r+b")


def _made(path: bytes) -> BinaryIO:
    """Never through a link: a name may be one by now, and what it leads to is not ours."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # a device takes what is written, and leaves no file
        os.close(handle)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.fdopen(handle, "wb")
