"""Questions, and events drawn with and without a terminal."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.cli.options import find_config
from secondsite.cli.render import Renderer, ask, confirm, emit_json
from secondsite.cli.wording import amount, duration, quantity
from secondsite.errors import FinalError, UsageError
from secondsite.events import ChangeDone, ChangePlanned, Event, Note, Progress, Result, StepEnded, StepStarted
from secondsite.spec import paths


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


STEPS: list[Event] = [
    StepStarted("promote", "bergen", "Promote PostgreSQL", "2025-01-01T00:00:00Z"),
    StepEnded("promote", "bergen", "done", "2025-01-01T00:00:01Z", 1.25, "timeline 2"),
    ChangePlanned("file /etc/x", "oslo", "write it", "-a\n+b\n", disrupts="restarts PostgreSQL"),
    ChangeDone("file /etc/x", "oslo", "write it", 0.012),
    Note("look [here]", "oslo", "warning"),
    Result({"a": 1}),
]


def drawn(events: list[Event], stream: io.StringIO) -> str:
    with Renderer(stream, now=lambda: 0.0) as emit:
        for event in events:
            emit(event)
    return stream.getvalue()


def test_without_a_terminal_every_event_is_a_plain_line() -> None:
    assert drawn(STEPS, io.StringIO()).splitlines() == [
        "bergen: Promote PostgreSQL ...",
        "bergen: Promote PostgreSQL: done (1.2 s): timeline 2",
        "oslo: would change file /etc/x: write it (restarts PostgreSQL)",
        "    -a",
        "    +b",
        "oslo: changed file /etc/x: write it (12 ms)",
        "oslo: warning: look [here]",
    ]


def test_on_a_terminal_the_same_is_said() -> None:
    text = drawn(STEPS, Terminal())
    for said in ("Promote PostgreSQL: done (1.2 s): timeline 2", "look [here]", "would change file /etc/x"):
        assert said in text


def test_progress_without_a_terminal_is_rate_limited_and_its_end_is_always_told() -> None:
    now = 0.0
    stream = io.StringIO()
    with Renderer(stream, now=lambda: now) as emit:
        for second in range(26):
            now = float(second)
            emit(Progress("base backup", second * 1e6, 25e6, site="bergen"))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3  # at 10 and 20 seconds, and the end; nothing is said of nothing
    assert lines[0] == "bergen: base backup: 10.0 MB of 25.0 MB, 40%"
    assert lines[-1] == "bergen: base backup: 25.0 MB of 25.0 MB, 100%"


def test_two_works_are_limited_each_by_itself() -> None:
    events: list[Event] = [Progress("a", 1, None), Progress("b", 1, None), Progress("a", 2, None)]
    assert drawn(events, io.StringIO()).splitlines() == ["a: 1 B", "b: 1 B"]


def test_a_bar_on_a_terminal_shows_bytes_rate_and_time_left() -> None:
    stream = Terminal()
    with Renderer(stream) as emit:
        emit(Progress("base backup", 5e8, 2e9, site="bergen", rate_per_second=3e7, seconds_left=50))
    assert "500.0 MB of 2.0 GB, 25%, 30.0 MB/s, 50.0 s left" in " ".join(stream.getvalue().split())


def test_lines_can_be_drawn_while_a_bar_stands() -> None:
    events: list[Event] = [Progress("copy", 1, 9), Note("meanwhile"), Progress("copy", 9, 9), Note("after")]
    text = drawn(events, Terminal())
    assert text.index("meanwhile") < text.index("copy: 9 B of 9 B, 100%") < text.index("after")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 ms"), (0.0124, "12 ms"), (0.9996, "1.0 s"), (3.44, "3.4 s"), (59.96, "1m"), (60, "1m"), (125, "2m 5s"),
     (3599.7, "1h"), (11400, "3h 10m"), (86399, "23h 59m"), (187200, "2d 4h"), (8640000, "100d")],
)  # fmt: skip
def test_durations_are_said_with_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 1e9))
def test_every_duration_has_words(seconds: float) -> None:
    assert 0 < len(duration(seconds).split()) <= 2


def test_quantities_scale_bytes_and_count_the_rest() -> None:
    assert [quantity(n, "bytes") for n in (0, 999, 1500, 2.5e9, 4e15)] == [
        "0 B", "999 B", "1.5 kB", "2.5 GB", "4000.0 TB",
    ]  # fmt: skip
    assert quantity(12345, "files") == "12,345 files"
    assert amount(Progress("x", 0, 0)) == "0 B of 0 B"


def test_a_document_is_printed_readably_and_once(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"site": "Bodø", "path": Path("/x")})
    out = capsys.readouterr().out
    assert "Bodø" in out
    assert json.loads(out) == {"site": "Bodø", "path": "/x"}


def test_a_question_without_a_terminal_is_refused_with_the_flag_that_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="Go on") as caught:
        ask("Go on?")
    assert "--yes" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False), ("what\ny\n", True)],
)
def test_only_yes_is_yes(
    typed: str, answer: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert ask("Go on?") is answer
    assert capsys.readouterr().out == ""  # standard output is for the document


def test_a_flag_answers_and_a_no_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("Go on?", yes=True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    with pytest.raises(FinalError, match="nothing was changed") as caught:
        confirm("Go on?")
    assert caught.value.slug == "declined"
    assert "run the same command again" in (caught.value.hint or "")


def test_the_file_is_the_named_one_else_the_one_here_else_the_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, named = tmp_path / "etc.toml", tmp_path / "named.toml"
    monkeypatch.setattr(paths, "CONFIG", installed)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no secondsite.toml in this folder"):
        find_config(None)
    installed.touch()
    assert find_config(None) == installed
    (tmp_path / "secondsite.toml").touch()
    assert find_config(None) == Path("secondsite.toml")
    with pytest.raises(UsageError, match="does not exist"):
        find_config(named)
    named.touch()
    assert find_config(named) == named


def test_nothing_is_drawn_over_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar draws itself anew ten times a second, and wrote over the question that stood on its line."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)

    class Thinking(Terminal):
        def readline(self, *_: object) -> str:  # type: ignore[override]
            emit(Progress("copy", 5, 9))  # work goes on meanwhile
            time.sleep(0.35)
            return "y\n"

    monkeypatch.setattr("sys.stdin", Thinking())
    with Renderer(screen) as emit:
        emit(Progress("copy", 1, 9))
        assert ask("Go on?")
        asked = screen.getvalue()
        emit(Progress("copy", 7, 9))
        time.sleep(0.3)
    assert asked.endswith("\x1b[2KGo on? [y/N] ")  # on a line that was cleared, and nothing behind it
    assert "7 B of 9 B" in screen.getvalue()


def test_the_line_of_a_question_that_nobody_answers_is_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert ask("Go on?") is False
    assert capsys.readouterr().err == "Go on? [y/N] \n"
