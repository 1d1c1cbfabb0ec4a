"""Read postgresql.conf and what it includes, as PostgreSQL does (manual 20.1): the last line for a name wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w.]*)\s*(?:=\s*|\s)\s*(?P<value>'(?:[^'\\\n]|''|\\.)*'|[^\s#']+)\s*(?:#.*)?"
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_DEPTH = 10  # PostgreSQL's own limit of nested includes (CONF_FILE_MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class Line:
    """One setting in one file, its name in lower case."""

    name: str
    value: str
    file: str


def parse(text: str, file: str = "") -> tuple[Line, ...]:
    """The settings of one file in their order; lines PostgreSQL would refuse are left out."""
    found = (_LINE.fullmatch(row) for row in text.splitlines())
    return tuple(Line(hit["name"].lower(), unquote(hit["value"]), file) for hit in found if hit)


def quote(value: str) -> str:
    """A value as a quoted string of the file."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r") + "'"


def unquote(raw: str) -> str:
    """The inverse of ``quote``; an unquoted value is itself."""
    if not raw.startswith("'"):
        return raw
    return re.sub(r"''|\\([0-7]{1,3}|.)", _unescaped, raw[1:-1])


def _unescaped(hit: re.Match[str]) -> str:
    code: str | None = hit[1]
    if code is None:
        return "'"
    if code[0] in "01234567":
        return chr(int(code, 8))
    return _ESCAPES.get(code, code)


def load(main: Path, *, without: Iterable[Path] = ()) -> tuple[Line, ...]:
    """Every line that counts, includes followed, in order. ``without``: files to pass over.

    Raises OSError where ``main`` cannot be read; what an include cannot read is passed over.
    """
    skip = frozenset(without)

    def walk(path: Path, depth: int) -> Iterator[Line]:
        for line in parse(path.read_text(errors="surrogateescape"), str(path)):
            yield line
            if depth < _DEPTH:
                for inner in _included(line, path.parent):
                    if inner not in skip and inner.is_file():
                        yield from walk(inner, depth + 1)

    return tuple(walk(main, 0))


def _included(line: Line, base: Path) -> list[Path]:
    if line.name in ("include", "include_if_exists"):
        return [base / line.value]
    if line.name == "include_dir" and (base / line.value).is_dir():
        return sorted(path for path in (base / line.value).iterdir() if path.suffix == ".conf" and path.name[0] != ".")
    return []


def includes_folder(lines: Iterable[Line], folder: Path) -> bool:
    """Whether ``folder`` is one that the file includes."""
    return any(line.name == "include_dir" and Path(line.file).parent / line.value == folder for line in lines)


def effective(lines: Iterable[Line]) -> Mapping[str, str]:
    """Name to value, the last line winning."""
    return {line.name: line.value for line in lines}
