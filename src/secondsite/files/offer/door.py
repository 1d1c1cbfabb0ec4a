"""The door: through it the peer asks for what only the source's host can tell or send. It decides nothing itself.

One TCP port on the tunnel's address. Whoever proves the token names a handler and gets the bare socket with it; what is
spoken then is the handler's affair. ``zfs send`` may write into it directly.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.files.offer import seal

Handler = Callable[[Mapping[str, Any], socket.socket], Awaitable[None]]

HANDSHAKE_SECONDS = 5.0
STRANGERS = 32  # connections that have not proven the token yet; each is gone after the time above
GUESTS = 16  # connections that have; a follower and a few readers a set, and some that have not noticed their end
STALLED_SECONDS = 300  # data that nobody takes for so long ends the connection
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2)


def nobody_refused(request: Mapping[str, Any]) -> None:
    """Every request for which there is a handler is let in."""


def to_stderr(text: str) -> None:
    """The default of where troubles are told: the unit's log."""
    print(text, file=sys.stderr, flush=True)


async def serve(
    address: str,
    port: int,
    token: Callable[[], bytes | None],
    handlers: Mapping[str, Handler],
    *,
    admit: Callable[[Mapping[str, Any]], None] = nobody_refused,
    tell: Callable[[str], None] = to_stderr,
) -> None:
    """For ever. A request ``{"do": NAME, ...}`` is handled by ``handlers[NAME]``, after the caller was told so.

    The socket given to a handler is non-blocking; it is closed when the handler ends, however it ends (a child that
    has it as its standard output keeps it). token: asked at each call; None lets nobody in. admit: raises
    SecondsiteError to refuse a request before its handler is called. tell: troubles of one connection, which never
    end another. Raises RetryableError (``files-door-port``) where the port cannot be had.
    """
    line = _listening(address, port)
    door = _Door(token, handlers, admit, tell)
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                guest = await _accepted(line)
                if guest is not None:
                    door.open(guest, group)
    finally:
        line.close()


def _listening(address: str, port: int) -> socket.socket:
    """Bound even before the address exists (man 7 ip, IP_FREEBIND)."""
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.setsockopt(socket.SOL_IP, getattr(socket, "IP_FREEBIND", 15), 1)
        line.bind((address, port))
        line.listen(STRANGERS)
    except OSError as refused:
        line.close()
        raise RetryableError(
            f"cannot listen on {address}:{port}: {refused.strerror}",
            slug="files-door-port",
            hint=f"ss -ltnp 'sport = :{port}' shows who does",
        ) from refused
    line.setblocking(False)
    return line


async def _accepted(line: socket.socket) -> socket.socket | None:
    """The next connection; None for one that was gone before it was ours, or for which there is no room."""
    try:
        guest, _ = await asyncio.get_running_loop().sock_accept(line)
    except OSError as trouble:
        if trouble.errno in _SHORT_OF:
            await asyncio.sleep(1.0)  # it waits in the queue; asking again at once would only burn the processor
        return None
    return guest


class _Door:
    """Counts who is in, and lets each have its own task: nobody waits for somebody slow."""

    def __init__(
        self,
        token: Callable[[], bytes | None],
        handlers: Mapping[str, Handler],
        admit: Callable[[Mapping[str, Any]], None],
        tell: Callable[[str], None],
    ) -> None:
        self._token, self._handlers, self._admit, self._tell = token, handlers, admit, tell
        self._strangers = self._guests = 0

    def open(self, line: socket.socket, group: asyncio.TaskGroup) -> None:
        """Take a new connection in, or close it where there are too many."""
        if self._strangers >= STRANGERS:
            line.close()
            return
        self._strangers += 1
        group.create_task(self._meet(line))

    async def _meet(self, line: socket.socket) -> None:
        with line:
            try:
                try:
                    async with asyncio.timeout(HANDSHAKE_SECONDS):
                        request = await self._shake_hands(line)
                finally:
                    self._strangers -= 1
            except (OSError, EOFError, seal.Garbled):  # a time limit is an OSError, too
                return
            if request is not None:
                await self._serve(request, line)

    async def _shake_hands(self, line: socket.socket) -> Mapping[str, Any] | None:
        """The request, once its caller was told that it is let in; None where it was refused."""
        loop = asyncio.get_running_loop()
        token = self._token()
        if token is None:
            return None
        own = seal.nonce()
        await loop.sock_sendall(line, seal.GREETING + own + b"\n")
        theirs, _, rest = (await seal.read_line(line)).partition(b" ")
        nonces = own + theirs
        request: dict[str, Any] | None = None
        try:
            if len(theirs) != seal.NONCE:
                raise seal.Garbled("it does not begin with a nonce")
            request = seal.opened(token, seal.CALLER, nonces, rest)
            self._look_at(request)
            answer: dict[str, Any] = {"ok": True}
        except seal.Garbled as wrong:
            request, answer = None, {"error": "files-door-refused", "message": str(wrong)}
        except SecondsiteError as refused:
            request, answer = None, {"error": refused.slug, "message": refused.message}
        if request is not None:
            _watch_over(line)
        await loop.sock_sendall(line, seal.sealed(token, seal.DOOR, nonces, answer) + b"\n")
        return request

    def _look_at(self, request: Mapping[str, Any]) -> None:
        """Raises SecondsiteError where it is refused."""
        name = request.get("do")
        if not isinstance(name, str) or name not in self._handlers:
            raise FinalError("the other site asks for something that this one does not know", slug="files-door-refused")
        if self._guests >= GUESTS:
            raise RetryableError("too many connections are open already", slug="files-door-busy")
        self._admit(request)

    async def _serve(self, request: Mapping[str, Any], line: socket.socket) -> None:
        self._guests += 1
        try:
            await self._handlers[request["do"]](request, line)
        except (OSError, EOFError) as gone:
            self._tell(f"{request['do']}: the line ended: {gone}")
        except SecondsiteError as trouble:
            self._tell(f"{request['do']}: {trouble.message}")
        except Exception as mistake:  # noqa: BLE001 - what one request brings about must not end the watching of all sets
            self._tell(f"{request['do']}: a mistake of ours: {type(mistake).__name__}: {mistake}")
        finally:
            self._guests -= 1


def _watch_over(line: socket.socket) -> None:
    """A peer that is gone is noticed although nobody writes, and one that takes nothing is not waited for for ever."""
    with contextlib.suppress(OSError):
        keep_alive(line)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)


def keep_alive(line: socket.socket) -> None:
    """Ask a silent peer after 10 s whether it is there, and give up after three times of silence (man 7 tcp)."""
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        line.setsockopt(socket.IPPROTO_TCP, option, value)
