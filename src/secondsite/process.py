"""Run other programs: argument lists only, always with a time limit, never leaving a child behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pwd
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondsite.errors import FinalError, RetryableError, SecondsiteError

GRACE_SECONDS = 2.0
_NOT_STARTED = (errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.ELOOP)  # execve(2): it is there, and is no program


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished program left: its exit code and everything it printed, decoded leniently."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    def why(self) -> str:
        """The last telling line it printed, for an error message."""
        lines = [line for line in (self.stderr.strip() or self.stdout.strip()).splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"exit code {self.code}"


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: str | None = None,
    check: bool = True,
    step: str | None = None,
    hint: str | None = None,
) -> Completed:
    """Run ``argv`` to its end within ``timeout`` seconds, as ``user`` if given (needs root).

    With ``check`` a non-zero exit raises FinalError that names the program and its last line. Raises
    RetryableError on a timeout and FinalError where the program does not exist or cannot be started. Whatever
    happens, cancellation included, its whole process group is gone afterwards.
    """
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(env, user),
            cwd=cwd or ("/" if user else None),
            start_new_session=True,
            **_identity(user),
        )
    except FileNotFoundError as missing:
        raise FinalError(f"{argv[0]} is not installed here", slug="program-missing", step=step, hint=hint) from missing
    except OSError as refused:
        if refused.errno not in _NOT_STARTED:
            raise
        raise FinalError(
            f"{argv[0]} cannot be started here: {refused.strerror}", slug="program-missing", step=step, hint=hint
        ) from refused
    try:
        async with asyncio.timeout(timeout):
            out, err = await child.communicate(stdin)
    except TimeoutError as late:
        raise RetryableError(
            f"{argv[0]} did not finish within {timeout:g} s", slug="program-timeout", step=step, hint=hint
        ) from late
    finally:
        await _end(child)
    done = Completed(tuple(argv), child.returncode or 0, _text(out), _text(err))
    if check and not done.ok:
        raise failed(done, step=step, hint=hint)
    return done


def failed(done: Completed, *, step: str | None = None, hint: str | None = None) -> SecondsiteError:
    """The error for a program that ended badly."""
    return FinalError(
        f"{done.argv[0]} ended with {done.code}: {done.why()}", slug="program-failed", step=step, hint=hint
    )


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    for number, patience in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        try:
            async with asyncio.timeout(patience):
                await child.wait()
                return
        except TimeoutError:
            continue


def _identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(user, entry.pw_gid)}


def _environment(extra: Mapping[str, str] | None, user: str | None) -> dict[str, str]:
    """A predictable environment: English messages in UTF-8, whoever calls."""
    env = dict(os.environ) | {"LC_ALL": "C.UTF-8"}
    if user is not None:
        env |= {"HOME": pwd.getpwnam(user).pw_dir, "USER": user, "LOGNAME": user}
    return env | dict(extra or {})


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
