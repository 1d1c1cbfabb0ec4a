"""The little of Markdown that the tests of the documentation look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def pages() -> list[Path]:
    """Every page that people read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(text: str) -> list[Block]:
    """The fenced blocks."""
    return [Block(match[1], match[2]) for match in _FENCE.finditer(text)]


def prose(text: str) -> str:
    """Everything but the fenced blocks."""
    return _FENCE.sub("", text)


def inline_code(text: str) -> list[str]:
    """What stands between backticks in prose."""
    return _CODE.findall(prose(text))


def links(text: str) -> Iterator[str]:
    """The targets of all links and pictures."""
    for match in _LINK.finditer(_CODE.sub("", prose(text))):
        yield match[1] or match[2]


def anchors(text: str) -> set[str]:
    """How GitHub addresses the headings."""
    found: set[str] = set()
    for line in prose(text).splitlines():
        if line.startswith("#"):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip()).lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found
