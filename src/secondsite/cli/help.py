"""What ``--help`` shows: a command's whole docstring, and only defaults that tell something."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts import App


def teach(app: App, tokens: Sequence[str]) -> None:
    """Give the command that ``tokens`` begin with its docstring as help. The list of commands keeps its one-liners,
    because their modules are not imported for it."""
    for token in tokens:
        if token.startswith("-") or token not in app:
            return
        app = app[token]
        if app.default_command is not None:
            app.help = explanation(inspect.getdoc(app.default_command) or app.help)


def explanation(docstring: str) -> str:
    """Pure: a docstring without its parameters, a paragraph a line: the terminal breaks the lines."""
    told = docstring.partition("\nParameters\n---")[0].replace("``", "`").strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in told.split("\n\n"))


def worth_showing(default: object) -> str | None:
    """Pure: a default for people; None where it only says that nothing was given."""
    return None if default is None or default is False or default in ("", ()) else str(default)
