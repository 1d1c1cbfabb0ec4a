"""Read the file: everything that is wrong with it at once, or the whole of it as typed sections."""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from secondsite.errors import UsageError
from secondsite.spec.advise import advise
from secondsite.spec.crosscheck import crosscheck
from secondsite.spec.draft import draft_of, salvage
from secondsite.spec.explain import explain
from secondsite.spec.faults import Fault, SpecFaults, located
from secondsite.spec.lines import Lines
from secondsite.spec.model import Spec

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound file. sha256 is of the bytes on disk; two hosts with the same one have the same file."""

    spec: Spec
    text: str
    sha256: str
    path: Path
    warnings: tuple[Fault, ...]


def load(path: Path) -> Loaded:
    """The file at ``path``. Raises SpecFaults with every fault, or UsageError where it cannot be read."""
    try:
        raw = path.read_bytes()
    except PermissionError as denied:
        raise UsageError(
            f"{path} cannot be read: {denied.strerror}", slug="needs-root", hint="run it as root: sudo secondsite ..."
        ) from denied
    except OSError as unreadable:
        raise UsageError(
            f"{path} cannot be read: {unreadable.strerror}",
            slug="no-config",
            hint="name a readable file with --config, or write one with `secondsite init`",
        ) from unreadable
    return loads(raw, path)


def loads(raw: bytes, path: Path) -> Loaded:
    """The same for bytes that are at hand; ``path`` is only named in messages."""
    text = _decoded(raw, path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as broken:
        raise SpecFaults(path, (_syntax(str(broken), text),)) from None
    lines = Lines(text)
    try:
        spec = Spec.model_validate(data)
    except ValidationError as wrong:
        problems = [*explain(wrong, data), *crosscheck(salvage(data))]
    else:
        problems = list(crosscheck(draft_of(spec)))
        if not problems:
            warnings = tuple(located(problem, lines.line_of) for problem in advise(spec))
            return Loaded(spec, text, hashlib.sha256(raw).hexdigest(), path, warnings)
    faults = dict.fromkeys(located(problem, lines.line_of) for problem in problems)
    raise SpecFaults(path, tuple(sorted(faults, key=lambda fault: fault.line or 0)))


def _decoded(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as strange:
        line = raw.count(b"\n", 0, strange.start) + 1
        fault = Fault("", line, "is not UTF-8 text", "save the file as UTF-8")
        raise SpecFaults(path, (fault,)) from None


# A quantity without quotes: TOML reads the number and stumbles over the unit.
_BARE_QUANTITY = re.compile(r"^\s*(?P<key>[\w.-]+)\s*=\s*(?P<value>\d[\w.]*(?:%|[A-Za-z]+(?:/[a-z]+)?))\s*(?:#.*)?$")
_SYNTAX_HINTS = {
    "Cannot overwrite a value": "the same key stands twice in one table",
    "Cannot declare": "the same table stands twice; merge the two",
    "Invalid value": 'text needs quotes: name = "shop"',
    "Expected '='": "a line is a [table], or key = value",
    "Illegal character '\\n'": "a quote is not closed on this line",
    "Unclosed": "a bracket is not closed",
    "Unterminated": "a quote is not closed",
}


def _syntax(message: str, text: str) -> Fault:
    place = _PLACE.search(message)
    bare = _PLACE.sub("", message)
    line = int(place[1]) if place and place[1] else max(1, len(text.rstrip().splitlines()))
    column = f" (column {place[2]})" if place and place[2] else ""
    if place and not place[1] and bare == "Invalid value":
        bare = "Unclosed bracket"  # a value was still expected when the text ended
    hint = _quantity_hint(text, line) or next(
        (hint for start, hint in _SYNTAX_HINTS.items() if bare.startswith(start)), None
    )
    return Fault("", line, f"not TOML: {bare[:1].lower()}{bare[1:]}{column}", hint)


def _quantity_hint(text: str, line: int) -> str | None:
    """What to write where a duration, a size, a rate or a share stands without quotes."""
    rows = text.splitlines()
    bare = _BARE_QUANTITY.match(rows[line - 1]) if line <= len(rows) else None
    if bare is None:
        return None
    return f'durations, sizes, rates and shares are text in quotes: {bare["key"]} = "{bare["value"]}"'
