"""Draws events on stderr: live bars on a terminal, plain and rate-limited lines without one."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol, TextIO
from weakref import WeakSet

from secondsite.cli.wording import Line, amount, line_of, step_line, with_site
from secondsite.events import Event, Progress, StepEnded, StepStarted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

PLAIN_INTERVAL = 10.0  # seconds between two lines about the same long work
SAID_SHARE = 0.01  # of all that has to be done: less is not worth a first line


_drawing: WeakSet[Live] = WeakSet()  # every terminal surface there is
_asking = 0  # how many questions stand open


@contextmanager
def question() -> Iterator[None]:
    """While a person is asked nothing is drawn over the question: bars go away, and come back with what they show."""
    global _asking
    _asking += 1
    for surface in list(_drawing):
        surface.pause()
    try:
        yield
    finally:
        _asking -= 1


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends a read at once, inside an event loop too: asyncio's own handler only asks the task to end, and a task
    that waits for a line does not hear it, so that the next answer would count as if nothing had been pressed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Surface(Protocol):
    """Something events can be drawn on."""

    def line(self, line: Line) -> None:
        """A line that stays."""

    def started(self, key: Hashable, line: Line) -> None:
        """Work begins whose extent is unknown."""

    def progress(self, key: Hashable, event: Progress) -> None:
        """Work has come this far."""

    def ended(self, key: Hashable) -> None:
        """Work is over; what shows it may go."""

    def close(self) -> None:
        """Nothing follows."""


class Renderer:
    """Takes every event of a running command. Use as ``with Renderer() as emit: await act(emit)``."""

    def __init__(self, stream: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        target = stream or sys.stderr
        self._surface: Surface = Live(target) if target.isatty() else Plain(target, now)
        self._titles: dict[tuple[str, str], str] = {}

    def __call__(self, event: Event) -> None:
        match event:
            case StepStarted():
                self._titles[event.site, event.step] = event.title
                line = with_site(event.site, f"{event.title} ...", "")
                self._surface.started((event.site, event.step), line)
            case StepEnded():
                self._surface.ended((event.site, event.step))
                title = self._titles.pop((event.site, event.step), event.step)
                self._surface.line(step_line(event, title))
            case Progress():
                self._progress(event)
            case _:
                line_or_none = line_of(event)
                if line_or_none is not None:
                    self._surface.line(line_or_none)

    def _progress(self, event: Progress) -> None:
        key = ("progress", event.site, event.what)
        self._surface.progress(key, event)
        if event.total is not None and event.done >= event.total:
            self._surface.ended(key)
            self._surface.line(with_site(event.site, f"{event.what}: {amount(event)}", ""))

    def close(self) -> None:
        """Take the live bars away; call it (or leave the ``with``) before anything else is printed."""
        self._surface.close()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Plain:
    """Lines only; about the same work at most one each ``PLAIN_INTERVAL``."""

    def __init__(self, stream: TextIO, now: Callable[[], float]) -> None:
        self._stream = stream
        self._now = now
        self._spoken: dict[Hashable, float] = {}

    def line(self, line: Line) -> None:
        print(line.text, file=self._stream, flush=True)

    def started(self, key: Hashable, line: Line) -> None:
        self.line(line)

    def progress(self, key: Hashable, event: Progress) -> None:
        if event.total is not None and event.done >= event.total:
            return  # said once it has ended
        now = self._now()
        if key not in self._spoken and event.total and event.done / event.total < SAID_SHARE:
            self._spoken[key] = now  # a first word that says nothing; whoever is quick needs none
        if now - self._spoken.get(key, float("-inf")) >= PLAIN_INTERVAL:
            self._spoken[key] = now
            self.line(with_site(event.site, f"{event.what}: {amount(event)}", ""))

    def ended(self, key: Hashable) -> None:
        self._spoken.pop(key, None)

    def close(self) -> None:
        self._stream.flush()


class _Screen(NamedTuple):
    console: Console
    bars: Bars


class Live:
    """A terminal: bars for what is under way at the bottom, lines that stay above them."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._screen: _Screen | None = None
        self._tasks: dict[Hashable, TaskID] = {}
        _drawing.add(self)

    def pause(self) -> None:
        """Take the bars away; the next event about what is under way draws them again."""
        if self._screen is not None:
            self._screen.bars.stop()

    def line(self, line: Line) -> None:
        self._open().console.print(line.text, style=line.style or None, markup=False, highlight=False, soft_wrap=True)

    def started(self, key: Hashable, line: Line) -> None:
        bars = self._open().bars
        self._tasks[key] = bars.add_task(line.text, total=None, amount="")
        self._draw()

    def progress(self, key: Hashable, event: Progress) -> None:
        bars = self._open().bars
        if key in self._tasks:
            bars.update(self._tasks[key], completed=event.done, total=event.total, amount=amount(event))
        else:
            title = with_site(event.site, event.what, "").text
            self._tasks[key] = bars.add_task(title, completed=int(event.done), total=event.total, amount=amount(event))
        self._draw()

    def _draw(self) -> None:
        """Bars refresh by themselves, ten times a second, so they must not stand while a question does."""
        if not _asking:
            self._open().bars.start()

    def ended(self, key: Hashable) -> None:
        task = self._tasks.pop(key, None)
        if task is None or self._screen is None:
            return
        self._screen.bars.remove_task(task)
        if not self._tasks:
            self._screen.bars.stop()

    def close(self) -> None:
        for key in list(self._tasks):
            self.ended(key)

    def _open(self) -> _Screen:
        if self._screen is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            console = Console(file=self._stream)
            title = TextColumn("{task.description}", markup=False)
            # The bar takes what the words leave: on a narrow terminal numbers are worth more.
            columns = (title, BarColumn(bar_width=None), TextColumn("{task.fields[amount]}", markup=False))
            bars = Bars(*columns, console=console, transient=True, expand=True)
            self._screen = _Screen(console, bars)
        return self._screen
