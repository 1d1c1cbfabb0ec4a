"""As much of PostgreSQL's protocol as PgBouncer's console and a knock on a door need (manual 55.2, 55.7).

PgBouncer's console knows the simple query protocol alone, and takes no parameters that it does not know: a library made
for PostgreSQL sends some. A pause must also be given up in time, and a read of a socket has a time limit.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_VERSION = 196608  # 3.0


class Refused(Exception):
    """The other side answered with an error; its message. code: its SQLSTATE (manual, appendix A), where it has one."""

    def __init__(self, told: str, code: str = "") -> None:
        super().__init__(told)
        self.code = code


class Line:
    """A connection. Every act ends at ``deadline`` (monotonic) with TimeoutError; raises OSError where it breaks."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._socket = connected
        self._rest = b""
        self.deadline = deadline

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def greet(self, user: str, database: str) -> bytes:
        """The startup message; the first answer's type: R asks for a password or says that none is needed.

        Raises Refused where nobody is let in.
        """
        words = b"".join(f"{word}\0".encode() for word in ("user", user, "database", database)) + b"\0"
        self._send(struct.pack("!ii", len(words) + 8, _VERSION) + words)
        kind, body = self._message()
        if kind == b"E":
            raise _refusal(body)
        return body[:4] if kind == b"R" else b""

    def until_ready(self) -> None:
        """Read until a query may be sent. Raises Refused."""
        for _ in self._answers():
            pass

    def ask(self, query: str) -> list[dict[str, str]]:
        """One simple query: its rows by column name. Raises Refused."""
        body = query.encode() + b"\0"
        self._send(b"Q" + struct.pack("!i", len(body) + 4) + body)
        names: list[str] = []
        rows = []
        for kind, answer in self._answers():
            if kind == b"T":
                names = _names(answer)
            elif kind == b"D":
                rows.append(dict(zip(names, _values(answer), strict=True)))
        return rows

    def _answers(self) -> Iterator[tuple[bytes, bytes]]:
        refused: Refused | None = None
        while True:
            kind, body = self._message()
            if kind == b"E":
                refused = _refusal(body)
            if kind == b"Z" or (kind == b"R" and body[:4] != b"\0\0\0\0"):
                break
            yield kind, body
        if kind == b"R":
            raise Refused("it asks for a password")
        if refused is not None:
            raise refused

    def _message(self) -> tuple[bytes, bytes]:
        head = self._read(5)
        return head[:1], self._read(struct.unpack("!i", head[1:])[0] - 4)

    def _read(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._limit()
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionResetError("the connection was closed")
            self._rest += part
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _send(self, message: bytes) -> None:
        self._limit()
        self._socket.sendall(message)

    def _limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        self._socket.settimeout(left)


def _names(body: bytes) -> list[str]:
    names, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19  # the zero, and 18 bytes about the column
    return names


def _values(body: bytes) -> list[str]:
    values, at = [], 2
    for _ in range(struct.unpack("!h", body[:2])[0]):
        size = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(body[at : at + size].decode("utf-8", "replace") if size > 0 else "")
        at += max(size, 0)
    return values


def _refusal(body: bytes) -> Refused:
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}
    return Refused(fields.get(b"M", "an error without words"), fields.get(b"C", ""))
