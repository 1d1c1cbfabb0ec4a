"""Open SSH connections: the user's own configuration, and a host key that is always checked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncssh

from secondsite.errors import RetryableError, SecondsiteError
from secondsite.remote.refusal import explain
from secondsite.remote.target import Target

ATTEMPTS = 3
PAUSE_SECONDS = (0.3, 1.0)  # between attempts, drawn at random
KEEPALIVE_SECONDS = 5.0
KEEPALIVE_MISSED = 4
LOGIN_SECONDS = 30.0
SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
KNOWN_HOSTS = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"), Path("/etc/ssh/ssh_known_hosts"))


class _Client(asyncssh.SSHClient):
    """Tells of the moment in which the host has taken the connection."""

    def __init__(self, answered: Callable[[], None] | None) -> None:
        self._answered = answered

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        if self._answered is not None:
            self._answered()


async def connect(
    target: Target, *, jitter: random.Random | None = None, answered: Callable[[], None] | None = None
) -> asyncssh.SSHClientConnection:
    """A connection to ``target``; the caller closes it. Tried again only where the host did not answer at all.

    Raises SecondsiteError (``ssh-unreachable``, ``host-key-changed``, ``host-key-unknown``, ``ssh-auth-failed``).
    """
    jitter = jitter or random.Random()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _once(target, answered)
        except RetryableError as unreachable:
            waited_long = isinstance(unreachable.__cause__, TimeoutError)
            if attempt == ATTEMPTS or waited_long:
                raise
            await asyncio.sleep(jitter.uniform(*PAUSE_SECONDS))
    raise AssertionError("the last attempt returned or raised")


async def _once(target: Target, answered: Callable[[], None] | None) -> asyncssh.SSHClientConnection:
    known: list[str] = []
    options: asyncssh.SSHClientConnectionOptions | None = None
    try:
        more = _arguments(target)
        options = await asyncssh.SSHClientConnectionOptions.construct(host=target.host, **more)
        known = known_hosts_files(options.known_hosts)
        if answered is not None and (options.tunnel or options.proxy_command):
            answered()  # another host stands between: how long that one takes says nothing about this one
        async with asyncio.timeout(target.connect_timeout + LOGIN_SECONDS):
            return await asyncssh.connect(
                target.host, **more, known_hosts=known or b"", client_factory=lambda: _Client(answered)
            )
    except (asyncssh.Error, OSError, ValueError) as failed:
        raise _told(failed, target, options, known) from failed


def _told(
    failed: Exception, target: Target, options: asyncssh.SSHClientConnectionOptions | None, known: list[str]
) -> SecondsiteError:
    return explain(failed, target, known=options is not None and _knows(known, options, target))


def known_hosts_files(configured: Any) -> list[str]:
    """The files that exist among those configured; OpenSSH's own where none is. "none" never means unchecked."""
    named = [Path(str(name)) for name in configured] if isinstance(configured, list | tuple) else []
    return [str(path.expanduser()) for path in (named or KNOWN_HOSTS) if path.expanduser().is_file()]


def _arguments(target: Target) -> dict[str, Any]:
    config = [target.config] if target.config is not None else [Path("~/.ssh/config").expanduser(), SYSTEM_CONFIG]
    if target.config is not None:
        target.config.stat()
    arguments: dict[str, Any] = {
        "config": [path for path in config if path.is_file()],
        "connect_timeout": target.connect_timeout,
        "login_timeout": LOGIN_SECONDS,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_MISSED,
    }
    if target.user is not None:
        arguments["username"] = target.user
    if target.port is not None:
        arguments["port"] = target.port
    return arguments


def _knows(files: list[str], options: asyncssh.SSHClientConnectionOptions, target: Target) -> bool:
    """Whether any of the files has a key of this host, under the name it is looked up with."""
    if not files:
        return False
    name = options.host_key_alias or options.host or target.host
    port = options.port if options.port != 22 else None
    try:
        keys, authorities, *_ = asyncssh.match_known_hosts(list(files), name, "", port)
    except (OSError, ValueError):
        return False
    return bool(keys or authorities)
