"""Start a program that may write below some folders only, whatever becomes of it: Landlock (landlock(7)).

An rsync that receives reads what the other site sends, as root. Should a hostile site find a fault in it, the kernel
still lets it make, change and remove files nowhere but in the set and in the folder for what goes aside, and gives it
no new privileges. What Landlock does not cover stays possible: to read, and to change the mode or owner of what is
elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture (syscalls(2))
_VERSION, _BENEATH = 1, 1
_NO_NEW_PRIVS = 38  # prctl(2)
LEAST = 2  # Linux 5.19: before, renaming from one folder to another was never allowed

WRITE_FILE, REMOVE_DIR, REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_SINCE = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_FIRST = (
    WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK
    | MAKE_SYM
)  # fmt: skip
_GIVEN = WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Landlock's version here; 0 where the kernel has none that is enough, or does not let us use it."""
    found = int(_LIBC.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION)))
    return found if found >= LEAST else 0


def start(argv: Sequence[str], writable: Sequence[Path] | None, **more: Any) -> subprocess.Popen[bytes]:
    """``argv`` as a child, confined to ``writable`` where the kernel can; None confines nothing.

    A thread may give up rights for itself, and its children inherit that: this one ends when the child has begun.
    Raises OSError, and whatever subprocess.Popen does.
    """
    handled = version() if writable is not None else 0
    if not handled or writable is None:
        return subprocess.Popen(argv, **more)
    begun: list[subprocess.Popen[bytes]] = []
    failed: list[BaseException] = []

    def begin() -> None:
        try:
            _restrict(handled, writable)
            begun.append(subprocess.Popen(argv, **more))
        except BaseException as problem:  # noqa: BLE001  (handed to who waits for this thread)
            failed.append(problem)

    thread = threading.Thread(target=begin, name="confined start")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return begun[0]


def _restrict(version: int, writable: Sequence[Path]) -> None:
    """This thread and its children from now on. Raises OSError."""
    handled = _FIRST
    for since, right in _SINCE.items():
        handled |= right if version >= since else 0
    ruleset = _Ruleset(handled)
    rules = _call(_CREATE, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), ctypes.c_uint32(0))
    try:
        for folder in writable:
            _allow(rules, folder, _GIVEN & handled)
        _allow(rules, Path("/dev/null"), (WRITE_FILE | TRUNCATE) & handled)
        if _LIBC.prctl(_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)):
            raise OSError(ctypes.get_errno(), "no new privileges cannot be had")
        _call(_RESTRICT, ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, place: Path, rights: int) -> None:
    handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = _Beneath(rights, handle)
        _call(_ADD, ctypes.c_int(rules), ctypes.c_int(_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(handle)


def _call(number: int, *given: Any) -> int:
    answer = int(_LIBC.syscall(ctypes.c_long(number), *given))
    if answer < 0:
        raise OSError(ctypes.get_errno(), f"landlock: {os.strerror(ctypes.get_errno())}")
    return answer
