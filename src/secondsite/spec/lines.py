"""Which line of a TOML text each table, key and array item stands on.

``tomllib`` gives values without positions. This reads a text that ``tomllib`` has accepted, so it need not
judge anything: it only keeps count of where things are.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable

from secondsite.spec.faults import Loc

_KEY = re.compile(r'[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})|' + r"'''.*?'''(?:'{0,2})|" + r'"(?:\\.|[^"\\])*"|' + r"'[^']*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")


class Lines:
    """The index of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._at = 0
        self._lines: dict[Loc, int] = {}
        self._items: dict[Loc, int] = {}  # array of tables -> index of its last item
        self._document()

    def line_of(self, loc: Loc) -> int | None:
        """The line of a place, or of the nearest thing around it; None for what concerns the whole file."""
        while loc:
            if loc in self._lines:
                return self._lines[loc]
            loc = loc[:-1]
        return None

    def _document(self) -> None:
        base: Loc = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                base = self._header(2)
            elif self._text.startswith("[", self._at):
                base = self._header(1)
            else:
                self._pair(base)
            self._skip(_BLANK)

    def _header(self, brackets: int) -> Loc:
        line = self._line()
        self._at += brackets
        *outer, last = self._dotted()
        self._at += brackets
        loc: Loc = ()
        for part in outer:
            loc = self._entered((*loc, part), line)
        loc = (*loc, last)
        if brackets == 1:
            return self._entered(loc, line)
        self._items[loc] = self._items.get(loc, -1) + 1
        return self._entered(loc, line)

    def _entered(self, loc: Loc, line: int) -> Loc:
        """A table that a header names; for an array of tables, its last item."""
        self._lines.setdefault(loc, line)
        if loc in self._items:
            loc = (*loc, self._items[loc])
            self._lines.setdefault(loc, line)
        return loc

    def _pair(self, base: Loc) -> None:
        line = self._line()
        for part in self._dotted():
            base = (*base, part)
            self._lines.setdefault(base, line)
        self._at += 1  # =
        self._skip(_SPACE)
        self._value(base)

    def _dotted(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            raw = self._take(_KEY)
            parts.append(next(iter(tomllib.loads(f"{raw} = 0"))) if raw[:1] in "\"'" else raw)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _value(self, loc: Loc) -> None:
        match self._text[self._at : self._at + 1]:
            case '"' | "'":
                self._take(_TEXT)
            case "[":
                self._sequence("]", lambda number: self._item((*loc, number)))
            case "{":
                self._sequence("}", lambda _number: self._pair(loc))
            case _:
                self._take(_SCALAR)

    def _item(self, loc: Loc) -> None:
        self._lines[loc] = self._line()
        self._value(loc)

    def _sequence(self, closing: str, read: Callable[[int], None]) -> None:
        self._at += 1
        number = 0
        self._skip(_BLANK)
        while not self._text.startswith(closing, self._at):
            read(number)
            number += 1
            self._skip(_BLANK)
            if self._text.startswith(",", self._at):
                self._at += 1
                self._skip(_BLANK)
        self._at += 1

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None or match.end() == self._at:
            raise ValueError(f"not TOML at line {self._line()}")
        self._at = match.end()
        return match[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)
