"""The command at 03:12: a failover with everything said, sent to the agent before anything heavy is imported.

Every tenth of a second until the agent hears of it is a tenth without service, and the framework that parses other
commands costs one. This module understands the plain forms only and leaves every other line to it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from secondsite.spec import paths

CONNECT_SECONDS = 1.0
_SWITCHES = ("--accept-unconfirmed-fence", "--resume", "--resume-replay", "--overwrite-dns", "--yes", "--json")
_VALUES = ("--to", "--reason")


def straight(tokens: Sequence[str]) -> int | None:
    """Carry out a plain ``failover`` on this site's host; None where the line is not plain or no agent answers."""
    said = plain(tokens)
    if said is None:
        return None
    try:
        site = paths.SITE.read_text().strip()
    except OSError:
        return None
    if said.setdefault("to", site) != site:
        return None
    as_json = said.pop("json", False)
    said["commanded_at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = _sent(said)
    if line is None:
        return None
    try:
        os.nice(10)  # from here on it is only shown; what is done by the agent goes first
        from secondsite.cli.outcome import follow, tell
        from secondsite.cli.render import Renderer

        with line, Renderer() as emit:
            result = follow(line, "failover", emit)
    except KeyboardInterrupt as pressed:
        from secondsite.cli.interrupt import procedure_left

        raise procedure_left("failover", site, agent=True) from pressed
    return tell(result, as_json=as_json)


def plain(tokens: Sequence[str]) -> dict[str, Any] | None:
    """Pure: the arguments of a failover that asks no question; None for any other line."""
    if not tokens or tokens[0] != "failover":
        return None
    said: dict[str, Any] = {}
    rest = iter(tokens[1:])
    for token in rest:
        if token in _SWITCHES:
            said[token[2:].replace("-", "_")] = True
        elif token in _VALUES and (value := next(rest, "")) and not value.startswith("-"):
            said[token[2:]] = value
        else:
            return None
    if not (said.pop("yes", False) or said.get("resume", False)):
        return None
    return said


def _sent(arguments: dict[str, Any]) -> socket.socket | None:
    """The request, on its way to the agent; None where none listens."""
    body = json.dumps(arguments).encode()
    head = "POST /v1/procedures/failover HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(CONNECT_SECONDS)
    try:
        line.connect(str(paths.SOCKET))
        line.sendall(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    except OSError:
        line.close()
        return None
    line.settimeout(None)
    return line
