"""Run other programs: argument lists only, always with a limit on time."""

import subprocess
from collections.abc import Mapping, Sequence
from os import PathLike, fspath

from secondsite_lab.errors import CommandFailed

Argument = str | PathLike[str]


def run(
    argv: Sequence[Argument],
    *,
    timeout: float = 30,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return what it printed; raise `CommandFailed` if it failed."""
    words = tuple(fspath(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else dict(env),
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(words, "program not found", "") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(words, f"not finished after {timeout:g} s", "") from error
    if done.returncode != 0:
        raise CommandFailed(words, f"exit code {done.returncode}", done.stderr or done.stdout)
    return done.stdout


def succeeds(argv: Sequence[Argument], *, timeout: float = 30) -> bool:
    """Run a program only for its verdict."""
    try:
        run(argv, timeout=timeout)
    except CommandFailed:
        return False
    return True
