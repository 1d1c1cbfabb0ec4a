"""Somebody who changes a tree in every way that there is, by a fixed seed; and the state of a tree, to compare two."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Names that have broken programs: line ends, bytes that are not UTF-8, what looks like an option or a comment.
HOSTILE = [
    b"two\nlines", b"\xff\xfe not utf-8", b"#hash", b";semicolon", b"-rf", b"--delete", b" blank ", b"back\\slash",
    b"*", b"?", b"[a]", b"'quote\"", b"tab\there", b"$(reboot)", b"%s%n", b"~", b"\x01control", b"n" * 255,
    "grüße".encode(), "e\u0301".encode(), b"...", b"a:b", b"CON", b"x (deleted)",
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
        self._acts: list[Callable[[], None]] = [
            *[self._make_file] * 6, *[self._make_folder] * 3, *[self._rewrite] * 4, self._append, self._truncate,
            *[self._rename] * 4, *[self._rename_folder] * 2, self._swap, *[self._remove] * 3, self._remove_tree,
            self._link, self._hard_link, self._folder_to_link, self._link_to_folder, self._mode, self._owner,
            self._times, self._attribute, self._sparse, self._move_out, *[self._move_in] * 2, self._deep,
            self._same_second, self._replace_by_rename, self._folder_to_file,
        ]  # fmt: skip

    def steps(self, count: int) -> None:
        """Make ``count`` changes."""
        for _ in range(count):
            act = self._random.choice(self._acts)
            try:
                act()
            except OSError:
                continue

    def _a(self, kind: Callable[[int], bool]) -> bytes:
        """One of a kind, found by going down somewhere; to list all of it for each step would take most of the time."""
        for _ in range(12):
            here = self._root
            while found := self._entries(here):
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
        with open(self._a(stat.S_ISREG), "ab") as file:
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

    def _replace_by_rename(self) -> None:
        """As careful programs save."""
        path = self._a(stat.S_ISREG)
        _write(path + b".tmp", self._content())
        os.rename(path + b".tmp", path)


def _write(path: bytes, content: bytes) -> None:
    with _made(path) as file:
        file.write(content)


def _made(path: bytes) -> BinaryIO:
    """Never through a link: a name may be one by now, and what it leads to is not ours."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644), "wb")


def walk(root: bytes) -> Iterator[tuple[bytes, int]]:
    """Everything below ``root`` with its mode, folders before what is in them, by name; links are not followed."""
    with os.scandir(root) as entries:
        found = sorted((each.path, each.stat(follow_symlinks=False).st_mode) for each in entries)
    for path, mode in found:
        yield path, mode
        if stat.S_ISDIR(mode):
            yield from walk(path)


@dataclass(frozen=True, slots=True)
class State:
    """Everything about one entry that a copy must have. inode is only for who asks which names are one file."""

    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes
    attributes: tuple[tuple[str, bytes], ...]
    holes: tuple[tuple[int, int], ...]
    group: tuple[bytes, ...]  # every name of the same file within the tree
    inode: int


def state_of(root: Path) -> dict[bytes, State]:
    """The tree by relative path; ``b""`` is the folder itself."""
    top = os.fsencode(root)
    paths = [(top, os.lstat(top).st_mode), *walk(top)]
    groups: dict[int, list[bytes]] = {}
    for path, mode in paths:
        if stat.S_ISREG(mode):
            groups.setdefault(os.lstat(path).st_ino, []).append(path[len(top) + 1 :])
    return {path[len(top) + 1 :]: _state(path, groups) for path, _ in paths}


def _state(path: bytes, groups: dict[int, list[bytes]]) -> State:
    seen = os.lstat(path)
    content, holes = b"", tuple[tuple[int, int], ...]()
    if stat.S_ISREG(seen.st_mode):
        with open(path, "rb") as file:
            content, holes = file.read(), tuple(_data(file.fileno(), seen.st_size))
    elif stat.S_ISLNK(seen.st_mode):
        content = os.readlink(path)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return State(
        seen.st_mode,
        (seen.st_uid, seen.st_gid),
        seen.st_mtime_ns,
        content,
        tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names),
        holes,
        tuple(sorted(groups.get(seen.st_ino, ()))) if stat.S_ISREG(seen.st_mode) else (),
        seen.st_ino,
    )


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts that are no hole (lseek(2), SEEK_DATA), where the file has any."""
    place = 0
    while place < size:
        try:
            start = os.lseek(file, place, os.SEEK_DATA)
        except OSError:
            return
        place = os.lseek(file, start, os.SEEK_HOLE)
        if (start, place) != (0, size):
            yield start, place
