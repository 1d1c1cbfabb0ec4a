"""The command at 03:12: a failover with everything said, sent to the agent before anything heavy is imported.

Every tenth of a second until the agent hears of it is a tenth without service. The framework that parses other commands
costs one, and json, socket, pathlib and typing together cost more than the interpreter: what they stand on in C is
enough for one request. This module understands the plain forms only and leaves every other line to the framework.
"""

from __future__ import annotations

import os
import time
from _json import encode_basestring_ascii as quoted
from _socket import AF_UNIX, MSG_DONTWAIT, MSG_PEEK, SOCK_STREAM, socket

from secondsite.spec import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONNECT_SECONDS = 1.0
# What shows the failover takes as long to import as the promotion takes: it waits until users are served, or for so
# long where that takes longer.
HELD_SECONDS = 0.5
LOOK_SECONDS = 0.01
_EVENTS = b"HTTP/1.1 200"
_ENDED = (b'"event": "StepEnded", "step": "application"', b'"event": "Result"')
on_its_way: str | None = None  # the site whose agent may have been asked: from then on no interrupt undoes it
_SWITCHES = ("--accept-unconfirmed-fence", "--resume", "--resume-replay", "--overwrite-dns", "--yes", "--json")
_VALUES = ("--to", "--reason")


class Asked:
    """A failover that the agent has been asked for; its answer comes on ``line``."""

    __slots__ = ("as_json", "line", "site")

    def __init__(self, line: socket, site: str, *, as_json: bool) -> None:
        self.line = line
        self.site = site
        self.as_json = as_json


def ask(tokens: Sequence[str]) -> Asked | None:
    """Ask for a plain ``failover`` on this site's host; None where the line is not plain or no agent answers."""
    said = plain(tokens, terminal=os.isatty(0))
    if said is None:
        return None
    try:
        with open(names.SITE) as file:  # noqa: PTH123 - pathlib is what is not waited for
            site = file.read().strip()
    except OSError:
        return None
    if said.setdefault("to", site) != site:
        return None
    as_json = bool(said.pop("json", False))
    said["commanded_at"] = now()
    line = _sent(said, site)
    if line is None:
        return None
    os.nice(10)  # from here on it is only shown; what is done by the agent goes first
    return Asked(line, site, as_json=as_json)


def plain(tokens: Sequence[str], *, terminal: bool = False) -> dict[str, str | bool] | None:
    """Pure: the arguments of a failover that asks no question; None for any other line. terminal: somebody sits there,
    and a failover that is taken up may have to ask for the consent to a fence that nobody can confirm."""
    if not tokens or tokens[0] != "failover":
        return None
    said: dict[str, str | bool] = {}
    rest = iter(tokens[1:])
    for token in rest:
        if token in _SWITCHES:
            said[token[2:].replace("-", "_")] = True
        elif token in _VALUES and (value := next(rest, "")) and not value.startswith("-"):
            said[token[2:]] = value
        else:
            return None
    if said.pop("yes", False):
        return said
    asks = terminal and not (said.get("accept_unconfirmed_fence", False) or said.get("json", False))
    return said if said.get("resume", False) and not asks else None


def document(arguments: Mapping[str, str | bool]) -> str:
    """Pure: as JSON."""
    pairs = (
        f"{quoted(name)}: {quoted(value) if isinstance(value, str) else 'true'}" for name, value in arguments.items()
    )
    return f"{{{', '.join(pairs)}}}"


def now() -> str:
    """RFC 3339, to the microsecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{nanoseconds // 1000:06}Z"


def _sent(arguments: Mapping[str, str | bool], site: str) -> socket | None:
    """The request, on its way to the agent; None where none listens."""
    global on_its_way
    body = document(arguments).encode()
    head = "POST /v1/procedures/failover HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
    line = socket(AF_UNIX, SOCK_STREAM)
    line.settimeout(CONNECT_SECONDS)
    try:
        line.connect(names.SOCKET)
        on_its_way = site
        line.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    except OSError:
        on_its_way = None
        line.close()
        return None
    line.settimeout(None)
    return line


def hold_back(line: socket) -> None:
    """Leave the processors to the takeover. Nothing is read: whoever shows it reads from the first event on."""
    deadline = time.monotonic() + HELD_SECONDS
    while time.monotonic() < deadline:
        try:
            heard = line.recv(262144, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            heard = None
        except OSError:
            return  # whoever reads it says what is wrong
        if heard is not None and over(heard):
            return
        time.sleep(LOOK_SECONDS)


def over(heard: bytes) -> bool:
    """Pure: whether what the agent has answered so far says that users are served, or that nothing more comes."""
    if not heard or not heard.startswith(_EVENTS[: len(heard)]):
        return True
    return any(end in heard for end in _ENDED)
