"""The line index agrees with a writer of TOML that knows where it put everything."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from secondsite.spec.faults import Loc
from secondsite.spec.lines import Lines

KEYS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True),
    st.text(alphabet="ab.#[]= \"'é", min_size=1, max_size=4),
)
TEXT = st.text(alphabet="ab\n#[]{},=\"'\\ é", max_size=8)
BLANK = st.sampled_from(["", "", "# [no.table]\n", "\n", '# key = "no"\n', "\t \n"])


class Writer:
    """Writes TOML and notes the line of everything it writes."""

    def __init__(self, draw: Callable[..., object]) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Loc, int] = {}

    def here(self, loc: Loc) -> None:
        self.lines.setdefault(loc, self.text.count("\n") + 1)

    def one_of(self, *choices: str) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def key(self, name: str) -> None:
        bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        literal = "'" not in name
        styles = [json.dumps(name)] + [name] * bare + [f"'{name}'"] * literal
        self.text += self.one_of(*styles)

    def value(self, loc: Loc, depth: int, inline: bool) -> None:
        match self.one_of("scalar", "scalar", "text", "list", "table") if depth else "scalar":
            case "scalar":
                self.text += self.one_of("1", "-1.5e3", "true", "1979-05-27 07:32:00", "09:00:00", "inf", "0xff")
            case "text":
                self.string()
            case "list":
                self.array(loc, depth, inline)
            case _:
                self.inline_table(loc, depth)

    def string(self) -> None:
        text = str(self.draw(TEXT))
        basic = json.dumps(text, ensure_ascii=False)
        styles = [basic]
        if "'" not in text and "\n" not in text:
            styles.append(f"'{text}'")
        if "'''" not in text and not text.endswith("'"):
            styles.append(f"'''\n{text}'''")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        styles.append(f'"""{escaped}"""')
        styles.append(f'"""{escaped}"""""' if not text.endswith('"') else basic)
        self.text += self.one_of(*styles)

    def array(self, loc: Loc, depth: int, inline: bool) -> None:
        newline = "" if inline else self.one_of("", "\n", " # ] not yet\n")
        self.text += "[" + newline
        count = int(str(self.draw(st.integers(0, 3))))
        for number in range(count):
            self.here((*loc, number))
            self.value((*loc, number), depth - 1, inline)
            self.text += ("," if number < count - 1 else self.one_of("", ",")) + newline
        self.text += "]"

    def inline_table(self, loc: Loc, depth: int) -> None:
        self.text += "{"
        names = self.names()
        for place, name in enumerate(names):
            self.text += " "
            self.here((*loc, name))
            self.key(name)
            self.text += self.one_of("=", " = ")
            self.value((*loc, name), depth - 1, inline=True)
            self.text += " ," if place < len(names) - 1 else " "
        self.text += "}"

    def names(self) -> list[str]:
        drawn = self.draw(st.lists(KEYS, min_size=0, max_size=3, unique=True))
        assert isinstance(drawn, list)
        return [str(name) for name in drawn]

    def pairs(self, loc: Loc) -> None:
        for name in self.names():
            self.text += str(self.draw(BLANK))
            dotted = bool(self.draw(st.booleans()))
            self.here((*loc, name))
            self.key(name)
            target: Loc = (*loc, name)
            if dotted:
                self.text += self.one_of(".", " . ")
                target = (*target, "dotted")
                self.here(target)
                self.key("dotted")
            self.text += self.one_of("=", " =\t")
            self.value(target, 2, inline=False)
            self.text += self.one_of("", "  # a comment", ' # "half') + "\n"

    def header(self, loc: Loc, names: list[str], brackets: int) -> None:
        self.text += str(self.draw(BLANK))
        self.here(loc)
        self.text += "[" * brackets
        for place, name in enumerate(names):
            self.text += "." if place else ""
            self.key(name)
        self.text += "]" * brackets + self.one_of("", " # [[x]]") + "\n"


@st.composite
def documents(draw: Callable[..., object]) -> Writer:
    writer = Writer(draw)
    writer.pairs(())
    for name in writer.names():
        top = f"t{name}"
        if draw(st.booleans()):
            for number in range(int(str(draw(st.integers(1, 3))))):
                writer.lines.setdefault((top,), 0)
                writer.header((top, number), [top], 2)
                writer.lines[top,] = writer.lines[top, 0]
                writer.pairs((top, number))
                if draw(st.booleans()):
                    writer.header((top, number, "sub table"), [top, "sub table"], 1)
                    writer.pairs((top, number, "sub table"))
        else:
            writer.header((top, "inner"), [top, "inner"], 1)
            writer.lines[top,] = writer.lines[top, "inner"]
            writer.pairs((top, "inner"))
    return writer


@given(documents())
def test_every_place_is_on_the_line_it_was_written_to(written: Writer) -> None:
    try:
        tomllib.loads(written.text)
    except tomllib.TOMLDecodeError as broken:
        # Top-level keys may collide with tables or dotted keys; such texts never reach the index.
        assert "overwrite" in str(broken) or "declare" in str(broken) or "mutate" in str(broken), written.text
        return
    index = Lines(written.text)
    told = {loc: index.line_of(loc) for loc in written.lines}
    assert told == written.lines


def test_a_place_that_is_not_written_gets_the_line_of_what_holds_it() -> None:
    index = Lines("a = 1\n\n[b]\nc = [\n 1,\n 2,\n]\n")
    assert index.line_of(("b", "missing", "deeper")) == 3
    assert index.line_of(("b", "c", 1, "x")) == 6
    assert index.line_of(("nowhere",)) is None
    assert index.line_of(()) is None


def test_windows_line_ends_count_as_one_line() -> None:
    assert Lines("a = 1\r\n[b]\r\nc = 2\r\n").line_of(("b", "c")) == 3
