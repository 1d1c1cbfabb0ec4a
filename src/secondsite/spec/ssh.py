"""SSH destinations as the file writes them: user@host, host, user@host:port, user@[2001:db8::1]:port."""

from __future__ import annotations

import re

_DESTINATION = re.compile(
    r"(?:(?P<user>[A-Za-z0-9._][A-Za-z0-9._-]*)@)?"
    r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*))"
    r"(?::(?P<port>\d{1,5}))?"
)


def split_destination(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port; None where the text leaves one to the SSH configuration. Raises ValueError."""
    match = _DESTINATION.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise ValueError(f"{text} is no SSH destination")
    return match["user"], match["v6"] or match["host"], port
