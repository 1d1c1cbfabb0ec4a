"""Call at the other site's door: an authenticated connection, on which the handler that was asked for speaks."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.files.offer import seal
from secondsite.files.offer.door import keep_alive

_SLUG = re.compile(r"[a-z][a-z-]{0,40}")
_LONGEST_WORDS = 500


async def call(
    address: str, port: int, token: Callable[[], bytes | None], request: Mapping[str, Any], *, timeout: float
) -> socket.socket:
    """A non-blocking socket to the handler ``request["do"]``; the caller closes it. timeout: seconds for all of it.

    Raises RetryableError (``files-door-silent``: not reached, or no word in time; ``files-door-busy``) and FinalError
    (``files-door-token``: one of both does not have the other's token; else the other site's own refusal, with its
    slug: ``files-door-refused`` for what it does not know).
    """
    where = f"{address}:{port}"
    known = token()
    if known is None:
        raise FinalError("this host has no token yet that it shares with the other site", slug="files-door-token",
                         hint="secondsite apply")  # fmt: skip
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(line, (address, port))
            answer = await _shake_hands(line, known, request)
        if answer.get("ok") is not True:
            raise _refusal(answer, where)
        keep_alive(line)
    except TimeoutError as late:
        line.close()
        raise RetryableError(f"{where} said nothing for {timeout:g} s", slug="files-door-silent") from late
    except (OSError, EOFError) as gone:
        line.close()
        why = getattr(gone, "strerror", None) or str(gone)
        raise RetryableError(f"{where} cannot be reached: {why}", slug="files-door-silent") from gone
    except seal.Garbled as wrong:
        line.close()
        raise FinalError(
            f"{where} has not proven that it is the other site: {wrong}",
            slug="files-door-token",
            hint="secondsite apply",
        ) from wrong
    except BaseException:
        line.close()
        raise
    return line


async def _shake_hands(line: socket.socket, token: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    """The door's answer, proven to be by somebody who knows the token. Raises OSError, EOFError, seal.Garbled."""
    greeting = await seal.read_line(line)
    theirs = greeting.removeprefix(seal.GREETING)
    if not greeting.startswith(seal.GREETING) or len(theirs) != seal.NONCE:
        raise seal.Garbled("it does not greet as a door of this version does")
    own = seal.nonce()
    text = own + b" " + seal.sealed(token, seal.CALLER, theirs + own, request) + b"\n"
    await asyncio.get_running_loop().sock_sendall(line, text)
    return seal.opened(token, seal.DOOR, theirs + own, await seal.read_line(line))


def _refusal(answer: Mapping[str, Any], where: str) -> SecondsiteError:
    """The other site's own words: cut, printable, and with a slug of ours. It may be in an enemy's hands."""
    told = "".join(each for each in str(answer.get("message"))[:_LONGEST_WORDS] if each.isprintable())
    slug = str(answer.get("error"))
    if not _SLUG.fullmatch(slug):
        slug = "files-door-refused"
    kind = RetryableError if slug == "files-door-busy" else FinalError
    return kind(f"{where} refuses: {told}", slug=slug)
