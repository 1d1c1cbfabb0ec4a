"""The page of errors: what the code raises, joined with what a person wrote about it in errors.toml."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from scripts.reference.pages import ROOT

SOURCE = ROOT / "src" / "secondsite"
EXPLANATIONS = SOURCE / "errors.toml"  # inside the package: `secondsite explain` reads it on any host

_INTRODUCTION = """# Errors

Every error has a name. It ends the message of a command (`see: secondsite explain NAME`), and it is the value of
`"error"` in a command's JSON. A name never changes its meaning. The message itself says where and what; this page says
what the error means in general and what to do. `secondsite explain NAME` says the same on any host.

Exit codes: 1 done, but an objective was missed · 2 the command line or the file is wrong · 3 failed, and everything is
as it was · 4 stopped half-way, a person is needed.

"""
_NATURE = {
    "RetryableError": "May work later; nothing was changed.",
    "UnknownOutcomeError": "It may or may not have happened: look before trying again.",
}


@dataclass(frozen=True, slots=True)
class Raised:
    """One place in the code that names an error. kind: the exception's class; exit: its code where it can be told."""

    slug: str
    kind: str
    exit: int | None
    where: str


def page() -> str:
    """The whole page; an error that nobody has explained yet is left out, and ``unexplained`` names it."""
    told = explanations()
    found: dict[str, list[Raised]] = {}
    for raised in sorted(raised_in_code(), key=lambda raised: (raised.slug, raised.where)):
        found.setdefault(raised.slug, []).append(raised)
    found = {slug: places for slug, places in found.items() if slug in told}
    parts = [_INTRODUCTION, " · ".join(f"[{slug}](#{slug})" for slug in found), "\n"]
    for slug, places in found.items():
        parts.append(f"\n## {slug}\n\n{_section(told[slug], places)}")
    return "".join(parts)


def unexplained() -> list[str]:
    """The slugs in the code which errors.toml says nothing about."""
    return sorted({raised.slug for raised in raised_in_code()} - set(explanations()))


def explanations() -> dict[str, dict[str, Any]]:
    """What errors.toml says: slug -> {meaning, do, exit where the code does not tell}."""
    return tomllib.loads(EXPLANATIONS.read_text())


def exits_of(told: dict[str, Any], places: list[Raised]) -> list[int]:
    """Every exit code an error can end a command with."""
    if "exit" in told:
        return [told["exit"]] if isinstance(told["exit"], int) else list(told["exit"])
    return sorted({place.exit for place in places if place.exit is not None})


def _section(told: dict[str, Any], places: list[Raised]) -> str:
    codes = " or ".join(str(code) for code in exits_of(told, places))
    natures = sorted({_NATURE[place.kind] for place in places if place.kind in _NATURE})
    nature = " ".join(natures) if len(natures) == 1 and all(place.kind in _NATURE for place in places) else ""
    facts = f"Exit code {codes}. {nature}".strip()
    return f"{told['meaning'].strip()}\n\n**What to do:** {told['do'].strip()}\n\n{facts}\n"


@cache
def raised_in_code() -> tuple[Raised, ...]:
    """Every slug in the source: given as `slug="..."`, or a class's `default_slug`."""
    return tuple(_raised())


def _raised() -> Iterator[Raised]:
    trees = {path: ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    classes = _error_classes(trees)
    for path, tree in trees.items():
        where = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name in classes:
                for name, value in _assignments(node):
                    if name == "default_slug":
                        yield Raised(_text(value), node.name, classes[node.name], where)
            elif isinstance(node, ast.Call):
                yield from _raised_by(node, classes, where)


def _raised_by(call: ast.Call, classes: dict[str, int], where: str) -> Iterator[Raised]:
    named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    if "slug" not in named:
        return
    kind = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    code = _exit_named(named["exit_code"]) if "exit_code" in named else classes.get(kind)
    for slug in _texts(named["slug"]):
        yield Raised(slug, kind, code, where)


def _error_classes(trees: dict[Path, ast.Module]) -> dict[str, int]:
    """Exit code by class, for everything that descends from SecondsiteError."""
    bases: dict[str, list[str]] = {}
    codes: dict[str, int] = {"SecondsiteError": 3}
    for tree in trees.values():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            bases.setdefault(node.name, [base.id for base in node.bases if isinstance(base, ast.Name)])
            for name, value in _assignments(node):
                code = _exit_named(value) if name == "exit_code" else None
                if code is not None:
                    codes[node.name] = code
    known: dict[str, int] = {}
    for name in bases:
        ancestor: str | None = name
        inherited: int | None = None
        while ancestor is not None:
            inherited = codes.get(ancestor) if inherited is None else inherited
            if ancestor == "SecondsiteError":
                known[name] = inherited if inherited is not None else 3
            ancestor = next((base for base in bases.get(ancestor, ()) if base in bases), None)
    return known


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            yield statement.target.id, statement.value
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            yield statement.targets[0].id, statement.value


def _exit_named(node: ast.expr) -> int | None:
    from secondsite.errors import Exit

    if isinstance(node, ast.Attribute) and node.attr in Exit.__members__:
        return int(Exit[node.attr])
    return None


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts an expression can be; a slug that is passed on names none here."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _text(node: ast.expr) -> str:
    return next(_texts(node))
