"""A host one is connected to: run scripts there as root, with or without sudo."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncssh

from secondsite.errors import FinalError, UnknownOutcomeError
from secondsite.process import Completed, failed
from secondsite.remote.ssh import connect
from secondsite.remote.target import Target

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Host:
    """A connection, and whether its login is root. Closed by whoever opened it (``reach``)."""

    target: Target
    connection: asyncssh.SSHClientConnection
    root: bool

    @property
    def site(self) -> str:
        return self.target.site

    def as_root(self, script: str) -> str:
        """The command line that runs ``script`` in a POSIX shell as root."""
        command = f"sh -c {shlex.quote(script)}"
        return command if self.root else f"sudo -n -- {command}"

    async def run(
        self,
        script: str,
        *,
        timeout: float,
        step: str,
        stdin: bytes | None = None,
        sent: Callable[[int], None] | None = None,
        check: bool = True,
    ) -> Completed:
        """Run ``script`` as root to its end. sent: told how many bytes of ``stdin`` are on their way.

        Raises FinalError where it fails, UnknownOutcomeError where the connection breaks or time is up.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._run(script, stdin, sent, step if check else None)
        except TimeoutError as late:
            raise UnknownOutcomeError(
                f"no answer within {timeout:g} s", slug="ssh-timeout", host=self.site, step=step, hint="run it again"
            ) from late
        except (asyncssh.Error, OSError) as broken:
            raise lost(self.site, step) from broken

    async def _run(
        self, script: str, stdin: bytes | None, sent: Callable[[int], None] | None, step: str | None
    ) -> Completed:
        async with self.connection.create_process(self.as_root(script), encoding=None) as child:
            async with asyncio.TaskGroup() as group:
                out = group.create_task(child.stdout.read())
                err = group.create_task(child.stderr.read())
                group.create_task(_feed(child, stdin or b"", sent))
            await child.wait_closed()
            code = child.returncode if child.returncode is not None else 255
        text = (out.result().decode("utf-8", "replace"), err.result().decode("utf-8", "replace"))
        done = Completed((shlex.split(script)[0] if script else "sh",), code, *text)
        if step is not None and not done.ok:
            error = failed(done, step=step)
            raise FinalError(f"on {self.target.host}: {done.why()}", slug=error.slug, host=self.site, step=step)
        return done


async def _feed(child: asyncssh.SSHClientProcess[bytes], data: bytes, sent: Callable[[int], None] | None) -> None:
    try:
        for start in range(0, len(data), CHUNK):
            child.stdin.write(data[start : start + CHUNK])
            await child.stdin.drain()
            if sent is not None:
                sent(min(start + CHUNK, len(data)))
        child.stdin.write_eof()
    except BrokenPipeError:
        return  # it ended without reading; its exit code tells why


def lost(site: str, step: str) -> UnknownOutcomeError:
    """The error for a connection that broke while something ran."""
    return UnknownOutcomeError(
        "the SSH connection broke while this was going on; the host stops what it was doing",
        slug="session-lost",
        host=site,
        step=step,
        hint="run the same command again: it looks first and goes on from there",
    )


@asynccontextmanager
async def reach(target: Target, *, answered: Callable[[], None] | None = None) -> AsyncIterator[Host]:
    """A connected host, closed at the end. answered: told as soon as the host takes the connection, before the login;
    where it is reached through another host or a command, at the beginning.

    Raises SecondsiteError (``sudo-needs-password`` and those of connect).
    """
    connection = await connect(target, answered=answered)
    try:
        yield Host(target, connection, await _is_root(connection, target))
    finally:
        connection.abort()


async def _is_root(connection: asyncssh.SSHClientConnection, target: Target) -> bool:
    """Whether the login is root; otherwise whether sudo works without asking."""
    try:
        async with asyncio.timeout(target.connect_timeout):
            done = await connection.run('id -u; [ "$(id -u)" = 0 ] || sudo -n true', check=False)
    except TimeoutError as late:
        raise lost(target.site, "log in") from late
    except (asyncssh.Error, OSError) as broken:
        raise lost(target.site, "log in") from broken
    told = str(done.stdout or "").split()
    if told[:1] == ["0"]:
        return True
    if done.exit_status == 0:
        return False
    why = (str(done.stderr or "").strip().splitlines() or ["it gave no reason"])[-1]
    raise FinalError(
        f"the login on {target.host} is not root, and sudo does not work without a password: {why}",
        slug="sudo-needs-password",
        host=target.site,
        step="become root",
        hint=f"allow it (NOPASSWD in /etc/sudoers.d), or let sites.{target.site}.ssh name a login that may do so",
    )
