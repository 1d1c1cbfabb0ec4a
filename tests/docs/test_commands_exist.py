"""Whatever a page or an error tells people to run can be run: commands, options and make targets exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scripts.reference.commands import arguments, leaves, programs
from tests.docs.markdown import ROOT, blocks, inline_code, pages

SHELL = ("console", "sh", "bash", "shell")
# What a hint may mean as a command; any other word after "secondsite" there is a sentence.
VERBS = {
    *("init", "validate", "plan", "apply", "status", "readiness", "failover", "switchover", "failback", "drill"),
    *(
        "gameday",
        "verify",
        "report",
        "journal",
        "residency",
        "agent",
        "guard",
        "schema",
        "completion",
        "explain",
        "files",
    ),
}
_TYPED = re.compile(r"\$? ?(sudo )?(\.venv/bin/)?(secondsite|secondsite-lab|make) ")
_PROGRAM = re.compile(r"\b(secondsite(?:-lab)?|make) ((?:[\w:./={}<>*-]+ ?)+)")


@cache
def known() -> dict[str, dict[str, frozenset[str]]]:
    """Program -> command as typed -> its options."""
    return {
        title: {
            name: frozenset(option for argument in arguments(command) for option in argument.names) | {"--help"}
            for name, command, _ in leaves(app)
        }
        for title, app in programs().items()
    }


@cache
def make_targets() -> frozenset[str]:
    written = re.findall(r"^([a-z-]+)(?:[a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = (f"bench-{path.stem}" for path in (ROOT / "bench").glob("*.py") if "\nif __name__" in path.read_text())
    return frozenset((*written, *made))


def wrong_with(line: str) -> Iterator[str]:
    """What of a line that somebody is to type does not exist."""
    for program, rest in _PROGRAM.findall(line):
        words = rest.split()
        if program == "make":
            yield from (f"make {word}" for word in words[:1] if word[0].islower() and word not in make_targets())
            continue
        if not re.fullmatch(r"[a-z][a-z-]*", words[0]):
            continue  # an option of the program itself, or no command at all
        two = " ".join(words[:2])
        name = two if two in known()[program] else words[0]
        options = known()[program].get(name)
        if options is None:
            if not any(command.startswith(f"{words[0]} ") for command in known()[program]):
                yield f"{program} {words[0]}"
            continue
        before_dashes = words[: words.index("--")] if "--" in words else words
        for word in before_dashes:
            if word.startswith("--") and word.partition("=")[0] not in options:
                yield f"{program} {name} {word}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_pages_exist(page: Path) -> None:
    text = page.read_text()
    lines = [code for code in inline_code(text) if re.match(r"secondsite(-lab)? |make ", code)]
    for block in blocks(text):
        if block.language in SHELL:
            shown = block.text.splitlines()
            typed = [line for line in shown if line.startswith("$ ")] or shown  # else all of it is to be typed
            lines += [line.partition(" #")[0] for line in typed if _TYPED.match(line)]
    assert [wrong for line in lines for wrong in wrong_with(line)] == []


def test_commands_in_hints_exist() -> None:
    wrong = []
    for path in sorted((ROOT / "src" / "secondsite").rglob("*.py")):
        for hint in _hints(ast.parse(path.read_text())):
            wrong += [f"{path.relative_to(ROOT)}: {what}" for what in wrong_with(hint) if _meant(what)]
            wrong += [f"{path.relative_to(ROOT)}: {what}" for what in _short(hint)]
    assert wrong == []


def _meant(what: str) -> bool:
    program, verb = what.split()[:2]
    return program != "make" and verb in VERBS


def _short(hint: str) -> Iterator[str]:
    """Options of a command that is named without the program, as in "apply --option"."""
    for verb, option in re.findall(r"(?<!secondsite )\b([a-z]+) (--[a-z-]+)", hint):
        options = known()["secondsite"].get(verb)
        if options is not None and option not in options:
            yield f"{verb} {option}"


def _hints(tree: ast.Module) -> Iterator[str]:
    """Hints, and whatever stands between backticks in any text that is shown."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            continue
        if isinstance(node, ast.Constant | ast.JoinedStr):
            for text in _texts(node):
                yield from re.findall(r"`(secondsite [^`\n]+)`", text)
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg == "hint":
                    yield from _texts(keyword.value)


def _texts(node: ast.expr) -> Iterator[str]:
    """The text of an expression; what is filled in later stands as X."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
        yield "".join(str(part) for part in parts)
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def test_the_way_home_is_told_in_the_order_in_which_it_works() -> None:
    """The old primary is made a standby before anything moves to it, and readiness is asked in between."""
    page = (ROOT / "docs" / "how-to" / "going-home.md").read_text()
    typed = [line[2:] for block in blocks(page) for line in block.text.splitlines() if line.startswith("$ ")]
    way = ["failback --dry-run", "failback --r", "apply --replace-standby oslo", "readiness", "switchover --to oslo"]
    places = [next(n for n, line in enumerate(typed) if line.startswith(f"secondsite {step}")) for step in way]
    assert places == sorted(places)
    assert [line for line in typed if "report" not in line][-1] == "secondsite readiness"
