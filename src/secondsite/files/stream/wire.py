"""Entries as bytes: the frames of a stream, their limits, and how they are read without trusting who sends them.

A frame is a kind (one byte), a length (four bytes, big end first) and that many bytes. An entry is one frame: the
length of its head (four bytes), the head as JSON, the content. Names are raw bytes; in JSON each byte that is not UTF-8
is a lone surrogate (Python's surrogateescape), so that nothing is lost.
"""

from __future__ import annotations

import asyncio
import json
import struct
from itertools import pairwise
from typing import Any

from secondsite.errors import FinalError
from secondsite.files.stream.beneath import PATH_BYTES, valid, valid_name
from secondsite.files.stream.entry import INLINE_BYTES, Attributes, Entry, Kind, brought

VERSION = 1
HELLO, ENTRY, COMMIT, IDLE, REFUSED, ACKNOWLEDGE = b"H", b"E", b"C", b"I", b"X", b"A"
HEAD_BYTES = 1_048_576  # a folder's thousand longest names, escaped
FRAME_BYTES = HEAD_BYTES + INLINE_BYTES + 4
WORDS_BYTES = 65_536  # of every other frame
BATCH_ENTRIES = 20_000
BATCH_BYTES = 67_108_864
XATTRS, XATTR_BYTES = 256, 65_536
LINKS = 10_000
PARTS = 512
_FRAME = struct.Struct(">cI")
_LENGTH = struct.Struct(">I")
_SIGNED = 1 << 63
_IDS = (1 << 32) - 1


class Broken(FinalError):
    """The other side said what cannot be; nothing of it is used."""

    default_slug = "files-stream-broken"


def frame(kind: bytes, body: bytes) -> bytes:
    """A frame."""
    return _FRAME.pack(kind, len(body)) + body


def words(kind: bytes, **told: object) -> bytes:
    """A frame of a JSON object."""
    return frame(kind, json.dumps(told, separators=(",", ":")).encode())


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next frame's kind and body. Raises EOFError at the end, OSError, Broken."""
    kind, length = _FRAME.unpack(await reader.readexactly(_FRAME.size))
    if length > (FRAME_BYTES if kind == ENTRY else WORDS_BYTES):
        raise Broken(f"a frame of {length} bytes is too long")
    return kind, await reader.readexactly(length)


def told(body: bytes) -> dict[str, Any]:
    """A JSON object from a frame. Raises Broken."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as garbled:
        raise Broken(f"what it says is no JSON: {garbled}") from garbled
    if not isinstance(found, dict):
        raise Broken("what it says is no JSON object")
    return found


def encode(entry: Entry) -> bytes:
    """The frame of an entry."""
    head: dict[str, Any] = {"path": text(entry.path), "kind": entry.kind.value}
    if entry.attributes is not None:
        its = entry.attributes
        head["at"] = [its.mode, its.uid, its.gid, its.mtime, [[name, text(value)] for name, value in its.xattrs]]
    if entry.kind is Kind.FILE:
        head |= {"size": entry.size, "parts": entry.parts, "sparse": entry.sparse}
        head |= {"links": [text(one) for one in entry.links]} if entry.links else {}
    if entry.kind is Kind.LINK:
        head["target"] = text(entry.target)
    if entry.kind is Kind.NAMES:
        head |= {"names": [text(one) for one in entry.names], "low": text(entry.low)}
        head["high"] = None if entry.high is None else text(entry.high)
    written = json.dumps(head, separators=(",", ":")).encode()
    return frame(ENTRY, _LENGTH.pack(len(written)) + written + entry.content)


def decode(body: bytes) -> Entry:
    """The entry of a frame's body. Raises Broken on whatever no honest source would say."""
    if len(body) < _LENGTH.size:
        raise Broken("an entry without a head")
    (length,) = _LENGTH.unpack_from(body)
    if length > min(HEAD_BYTES, len(body) - _LENGTH.size):
        raise Broken("an entry's head is longer than the entry")
    head, content = told(body[_LENGTH.size : _LENGTH.size + length]), body[_LENGTH.size + length :]
    try:
        return _entry(head, content)
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise Broken(f"an entry that cannot be: {type(wrong).__name__} {wrong}"[:300]) from wrong


def _entry(head: dict[str, Any], content: bytes) -> Entry:
    kind, path = Kind(head["kind"]), _path(head["path"])
    if kind is not Kind.FILE and content:
        raise ValueError("content of what is no file")
    if kind is Kind.GONE:
        if not path:
            raise ValueError("the set itself is told as gone")
        return Entry(path, kind)
    if kind is Kind.NAMES:
        return _names(path, head)
    attributes = _attributes(head["at"])
    if kind is Kind.FOLDER:
        return Entry(path, kind, attributes)
    if not path:
        raise ValueError("the set itself is told as a file")
    if kind is Kind.LINK:
        target = raw(head["target"])
        if not 0 < len(target) <= PATH_BYTES or b"\0" in target:
            raise ValueError("a link to nowhere")
        return Entry(path, kind, attributes, target=target)
    return _file(path, attributes, head, content)


def _file(path: bytes, attributes: Attributes, head: dict[str, Any], content: bytes) -> Entry:
    size, links = _number(head["size"], _SIGNED - 1), tuple(_path(one) for one in head.get("links", ()))
    if len(links) > LINKS or (links and path not in links) or b"" in links:
        raise ValueError("links that cannot be")
    parts = None if head["parts"] is None else _parts(head["parts"], size, len(content))
    if parts is None and content:
        raise ValueError("content of a file that is to be fetched")
    sparse = head["sparse"] is True
    return Entry(path, Kind.FILE, attributes, size, parts, content, links, sparse=sparse)


def _parts(given: Any, size: int, length: int) -> tuple[tuple[int, int], ...]:
    """In order, within the file, and together as long as the content."""
    if len(given) > PARTS:
        raise ValueError("too many parts")
    parts = tuple((_number(offset, size), _number(count, size)) for offset, count in given)
    at = 0
    for offset, count in parts:
        if offset < at or offset + count > size:
            raise ValueError("parts that overlap or go beyond the end")
        at = offset + count
    if sum(count for _, count in parts) != length or length > INLINE_BYTES:
        raise ValueError("parts that are not as long as the content")
    return parts


def _names(path: bytes, head: dict[str, Any]) -> Entry:
    names, low = tuple(raw(one) for one in head["names"]), raw(head["low"])
    high = None if head["high"] is None else raw(head["high"])
    if not all(valid_name(one) for one in names) or any(a >= b for a, b in pairwise(names)):
        raise ValueError("names that cannot be, or in disorder")
    if names and (names[0] <= low or (high is not None and names[-1] > high)):
        raise ValueError("names out of their range")
    return Entry(path, Kind.NAMES, names=names, low=low, high=high)


def _attributes(given: Any) -> Attributes:
    mode, uid, gid, mtime, listed = given
    xattrs = tuple((str(name), raw(value)) for name, value in listed)
    if len(xattrs) > XATTRS or any(len(value) > XATTR_BYTES for _, value in xattrs):
        raise ValueError("too many attributes")
    if not all(brought(name) and 0 < len(name.encode()) <= 255 and "\0" not in name for name, _ in xattrs):
        raise ValueError("an attribute that is no part of a set")
    if not isinstance(mtime, int) or isinstance(mtime, bool) or not -_SIGNED <= mtime < _SIGNED:
        raise ValueError("a time that cannot be")
    # The largest number is no owner: chown(2) leaves the owner as it is with it.
    return Attributes(_number(mode, 0o7777), _number(uid, _IDS - 1), _number(gid, _IDS - 1), mtime, xattrs)


def _number(given: Any, most: int) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= most:
        raise ValueError("a number out of its range")
    return given


def _path(given: Any) -> bytes:
    path = raw(given)
    if not valid(path):
        raise ValueError("a path that leads nowhere beneath the set")
    return path


def text(given: bytes) -> str:
    """Raw bytes as JSON can hold them."""
    return given.decode("utf-8", "surrogateescape")


def raw(given: Any) -> bytes:
    """The inverse. Raises ValueError on a text that never were bytes."""
    if not isinstance(given, str):
        raise TypeError("no text")
    return given.encode("utf-8", "surrogateescape")
