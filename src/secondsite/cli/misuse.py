"""A command line that cannot be parsed, told with the spelling that was likely meant."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError
from cyclopts.exceptions import UnusedCliTokensError

from secondsite.errors import UsageError

# What a bare word after a command was likely meant for, by what it looks like; the first option that the command has.
_FOR_FILES = ("--config", "--output")
_FOR_NAMES = ("--to",)


def misuse(error: CycloptsError, app: App, tokens: Sequence[str]) -> UsageError:
    """The error for a person; its hint is a command line that can be parsed, or the command's help."""
    command = list(error.command_chain or ())
    chain = shlex.join(["secondsite", *command])
    words = list(error.unused_tokens or ()) if isinstance(error, UnusedCliTokensError) else []
    if not words:
        return UsageError(str(error).strip(), hint=f"{chain} --help")
    for name in command:
        app = app[name]
    known = {name for argument in app.assemble_argument_collection() for name in argument.names}
    option = next((option for option in _meant(words[0]) if option in known), None)
    if option is None or len(words) > 1:
        return UsageError(f"{shlex.join(words)}: {chain} does not take this here", hint=f"{chain} --help")
    rest = list(tokens)
    rest.remove(words[0])
    what = "the file" if option in _FOR_FILES else "the site"
    return UsageError(
        f"{words[0]} stands alone; {chain} takes {what} with {option}",
        hint=shlex.join(["secondsite", *rest, option, words[0]]),
    )


def _meant(word: str) -> Sequence[str]:
    return _FOR_FILES if word.endswith(".toml") or Path(word).is_file() else _FOR_NAMES
