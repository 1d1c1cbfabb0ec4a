"""What both ends of the door say before the line is theirs: three lines, the last two sealed.

Door:   ``secondsite-door 1 NONCE``
Caller: ``NONCE SEAL REQUEST``
Door:   ``SEAL ANSWER``

A seal is HMAC-SHA256 (RFC 2104) by the token that both sites share, over who speaks, both nonces and the JSON text. So
neither end believes the other before it has proven the token, nothing can be said again, and what one end said cannot
be sent back to it as the other's. WireGuard encrypts; nothing more is encrypted here.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GREETING = b"secondsite-door 1 "
LONGEST = 65_536  # of a line, in bytes; a request names things and carries no data
NONCE = 64  # digits of 32 random bytes
CALLER, DOOR = b"secondsite caller 1", b"secondsite door 1"


class Garbled(Exception):
    """What came is not what this protocol says, or its seal is not by our token."""


def nonce() -> bytes:
    """A new one, as hexadecimal digits."""
    return os.urandom(NONCE // 2).hex().encode()


def seal(token: bytes, speaker: bytes, nonces: bytes, body: bytes) -> bytes:
    """The seal of ``body``, as hexadecimal digits. nonces: the door's and the caller's, in this order."""
    return hmac.digest(token, speaker + b"\0" + nonces + b"\0" + body, "sha256").hex().encode()


def sealed(token: bytes, speaker: bytes, nonces: bytes, document: Mapping[str, Any]) -> bytes:
    """``SEAL JSON``, without an end of line."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return seal(token, speaker, nonces, body) + b" " + body


def opened(token: bytes, speaker: bytes, nonces: bytes, text: bytes) -> dict[str, Any]:
    """The document of ``SEAL JSON``; it is not parsed before its seal is right. Raises Garbled."""
    given, _, body = text.partition(b" ")
    if not hmac.compare_digest(given, seal(token, speaker, nonces, body)):
        raise Garbled("its seal is not made with the token that this host has")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as wrong:
        raise Garbled("it is not JSON") from wrong
    if not isinstance(document, dict):
        raise Garbled("it is not a JSON object")
    return document


async def read_line(line: socket.socket) -> bytes:
    """One line without its end, and not a byte of what follows it: that belongs to whoever has the socket next.

    Raises EOFError where the line ends first, Garbled where it is too long, OSError."""
    got = bytearray()
    while True:
        await _readable(line)
        try:
            seen = line.recv(4096, socket.MSG_PEEK)
        except BlockingIOError:
            continue
        if not seen:
            raise EOFError("the other end closed the line")
        end = seen.find(b"\n")
        got += line.recv(len(seen) if end < 0 else end + 1)
        if len(got) > LONGEST:
            raise Garbled("the line is too long")
        if end >= 0:
            return bytes(got[:-1])


async def _readable(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(line.fileno(), lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(line.fileno())


class TokenFile:
    """The token that both sites share, read again when its file was written anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._token: bytes | None = None

    def __call__(self) -> bytes | None:
        """The token; None where there is none yet."""
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._token = self._path.read_bytes().strip() or None
                self._seen = seen
        except OSError:
            self._seen = self._token = None
        return self._token
