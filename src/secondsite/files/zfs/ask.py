"""The standby's questions at the source's door. The source may be in an enemy's hands: its answers are looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from secondsite.errors import FinalError, RetryableError
from secondsite.files.offer.call import call
from secondsite.files.zfs import names
from secondsite.files.zfs.line import readable
from secondsite.files.zfs.model import Dataset, Snapshot, Tree

CALL_SECONDS = 20.0
ANSWER_SECONDS = 300.0  # a snapshot waits for the disk, a listing of many takes its time
LONGEST = 64 * 2**20
MOST_DATASETS, MOST_SNAPSHOTS = 2000, 100_000
HAVE = 64  # guids a dataset that are told; the newest are what counts
MOST_HAVE = 2500
_SLUGS = ("zfs-no-dataset", "zfs-not-original", "zfs-no-snapshot", "zfs-refused", "zfs-failed")


@dataclass(frozen=True, slots=True)
class Door:
    """Where the source is asked."""

    address: str
    port: int
    token: Callable[[], bytes | None]


@dataclass(frozen=True, slots=True)
class Answer:
    """at: the source's moment (unix seconds) up to which its newest snapshots have everything. problem: what its last
    send complained of."""

    at: float
    tree: Tree
    problem: str | None


@contextlib.asynccontextmanager
async def asked(door: Door, fileset: str, act: str, **more: Any) -> AsyncIterator[tuple[dict[str, Any], socket.socket]]:
    """The answer, and the line behind it. Raises RetryableError, FinalError with the source's own words."""
    request = {"do": "zfs", "act": act, "set": fileset, **more}
    line = await call(door.address, door.port, door.token, request, timeout=CALL_SECONDS)
    with line:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = json.loads(await _line(line))
        except (OSError, EOFError, ValueError, RecursionError) as gone:
            raise RetryableError(
                f"the source did not answer: {str(gone) or 'in time'}", slug="files-door-silent"
            ) from gone
        if not isinstance(answer, dict) or answer.get("ok") is not True:
            raise _refusal(answer)
        yield answer, line


async def start(door: Door, fileset: str, have: list[int], partial: list[int]) -> Answer:
    """Have the source make a snapshot where it needs one; its listing."""
    told = {"have": [str(each) for each in have[:MOST_HAVE]], "partial": [str(each) for each in partial]}
    async with asked(door, fileset, "round", **told) as (answer, _):
        return read(answer)


async def listing(door: Door, fileset: str) -> Answer:
    """What the source has; nothing there is changed by it."""
    async with asked(door, fileset, "list") as (answer, _):
        return read(answer)


async def landed(door: Door, fileset: str, guids: list[int]) -> str | None:
    """Tell what is here; what the source could not tidy up, if anything."""
    async with asked(door, fileset, "landed", guids=[str(each) for each in guids[:MOST_HAVE]]) as (answer, _):
        problem = answer.get("problem")
        return _text(problem) if problem is not None else None


async def _line(line: socket.socket) -> bytes:
    """One line, and not a byte of what follows it."""
    got = bytearray()
    while True:
        await readable(line)
        try:
            seen = line.recv(65536, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not seen:
            raise EOFError("it closed the line")
        end = seen.find(b"\n")
        got += line.recv(len(seen) if end < 0 else end + 1)
        if end >= 0:
            return bytes(got)
        if len(got) > LONGEST:
            raise ValueError("its answer is too long")


def _refusal(answer: object) -> FinalError:
    body = answer if isinstance(answer, dict) else {}
    slug = body.get("error")
    return FinalError(
        f"the source refuses: {_text(body.get('message'))}",
        slug=slug if slug in _SLUGS else "zfs-refused",
        step="pull files",
    )


def _text(value: object) -> str:
    return "".join(each for each in str(value)[:300] if each.isprintable())


def read(answer: Mapping[str, Any]) -> Answer:
    """The answer to ``start``. Raises FinalError (``zfs-refused``) where anything in it is not what it should be."""
    try:
        rows = answer["tree"]
        at = float(answer["at"])
        if not isinstance(rows, list) or not 0 < len(rows) <= MOST_DATASETS or not 0 < at < 2**40:
            raise ValueError("no list of datasets")
        datasets = tuple(_dataset(row) for row in rows)
        paths = [each.path for each in datasets]
        if paths[0] != "" or len(set(paths)) != len(paths) or not all(_has_parent(each, paths) for each in paths):
            raise ValueError("no tree of datasets")
        ordered = tuple(sorted(datasets, key=lambda each: each.path.split("/") if each.path else []))
        problem = answer.get("problem")
        return Answer(at, Tree("", ordered), _text(problem) if problem is not None else None)
    except (KeyError, TypeError, ValueError, OverflowError) as wrong:
        raise FinalError(
            f"the source's listing is not one: {_text(wrong)}", slug="zfs-refused", step="pull files"
        ) from wrong


def _has_parent(path: str, paths: list[str]) -> bool:
    return path == "" or path.rpartition("/")[0] in paths


def _dataset(row: Mapping[str, Any]) -> Dataset:
    path = row["path"]
    if not names.good_relative(path) or names.beside(path):
        raise ValueError("a dataset's name")
    if not isinstance(row["snapshots"], list) or len(row["snapshots"]) > MOST_SNAPSHOTS:
        raise ValueError("its snapshots")
    taken = sorted((_snapshot(each) for each in row["snapshots"]), key=lambda each: each.txg)
    return Dataset(
        path,
        _number(row["guid"]),
        tuple(each for each in taken if not each.bookmark),
        tuple(each for each in taken if each.bookmark),
        written=None if row["written"] is None else _number(row["written"]),
        encrypted=row["encrypted"] is True,
    )


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    if not names.good_part(row["name"]):
        raise ValueError("a snapshot's name")
    return Snapshot(
        row["name"],
        _number(row["guid"]),
        _number(row["txg"]),
        _number(row["created"]),
        bookmark=row["bookmark"] is True,
    )


def _number(value: object) -> int:
    number = (
        int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) and len(str(value)) <= 20 else -1
    )
    if not 0 <= number < 2**64:
        raise ValueError("a number")
    return number
