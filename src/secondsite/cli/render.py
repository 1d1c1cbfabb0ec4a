"""What commands show: one JSON document on stdout for programs, everything for people on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from secondsite.cli import live
from secondsite.cli.live import Renderer
from secondsite.errors import FinalError, SecondsiteError, UsageError

__all__ = ["Renderer", "ask", "confirm", "decision", "declined", "emit_json", "error_text", "prompt", "see"]


def emit_json(document: Mapping[str, Any]) -> None:
    """Print the command's one document on stdout."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    # A file's name may hold bytes that are no text: they are written as the escapes that JSON has for them.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def error_text(error: SecondsiteError) -> str:
    """An error for a person: where, what, what to do next, and where it is explained."""
    return f"error: {error}\n  {see(error.slug)}"


def see(slug: str) -> str:
    """Where an error is explained: a command, because a host has no pages."""
    return f"see: secondsite explain {slug}"


def ask(question: str, *, yes: bool = False) -> bool:
    """Ask a person yes or no; ``yes`` answers. Raises UsageError where nobody can answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            f"this needs an answer, and there is no terminal to ask at: {question}",
            slug="no-answer",
            hint="add --yes to answer yes",
        )
    with live.question(), live.interruptible():
        while True:
            print(prompt(question), end="", file=sys.stderr, flush=True)
            decided = decision(sys.stdin.readline())
            if decided is not None:
                return decided


def prompt(question: str) -> str:
    """A question as it stands before the answer, on a line of its own."""
    return f"{question} [y/N] "


def decision(typed: str) -> bool | None:
    """What a typed line says; None where it says nothing and is asked again. No line at all (Ctrl-D) is a no."""
    if not typed:
        print(file=sys.stderr)  # nobody has ended the line of the question
        return False
    answer = typed.strip().lower()
    return True if answer in ("y", "yes") else False if answer in ("", "n", "no") else None


def confirm(question: str, *, yes: bool = False) -> None:
    """Go on only if a person (or ``yes``) agrees; else raises FinalError, and nothing was changed."""
    if not ask(question, yes=yes):
        raise declined()


def declined() -> FinalError:
    """The error for an answer of no."""
    return FinalError(
        "not confirmed, so nothing was changed",
        slug="declined",
        hint="to go on, run the same command again and answer y; secondsite status says how things stand",
    )
