"""The failover's command: what it sends, and that nothing heavy stands between it and the agent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest

from secondsite.cli import urgent
from secondsite.clock import from_text
from secondsite.events import Event, Result, StepEnded, StepStarted, to_line

HEAVY = ("typing", "json", "socket", "pathlib", "re", "enum", "datetime", "contextlib")


def test_nothing_heavy_is_imported_before_the_agent_is_asked() -> None:
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}; before = set(sys.modules); import secondsite.cli.start;"
        " from secondsite.cli import urgent; urgent.ask(['failover', '--yes', '--reason', 'fire']);"
        f" print(sorted({set(HEAVY)!r} & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "said",
    [
        {"to": "bergen", "accept_unconfirmed_fence": True},
        {"reason": 'fire, "all" of it\n\\ in the hall – \udc80'},
        {},
    ],
)
def test_what_is_sent_is_the_same_json(said: dict[str, str | bool]) -> None:
    assert json.loads(urgent.document(said)) == said


def test_the_moment_of_the_command_is_one_that_the_agent_reads() -> None:
    assert abs(from_text(urgent.now()).timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    "line", ["failover", "failover --yes --dry-run", "failover --yes extra", "failover --yes --to --json", "status"]
)
def test_a_line_that_is_not_plain_is_left_to_the_framework(line: str) -> None:
    assert urgent.plain(line.split()) is None


def test_a_plain_line_is_understood() -> None:
    line = "failover --yes --accept-unconfirmed-fence --to bergen --json"
    assert urgent.plain(line.split()) == {"accept_unconfirmed_fence": True, "to": "bergen", "json": True}


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("failover --resume", True),
        ("failover --resume --to bergen", True),
        ("failover --resume --yes", False),
        ("failover --resume --accept-unconfirmed-fence", False),
        ("failover --resume --json", False),
    ],
)
def test_what_may_have_to_ask_at_a_terminal_is_left_to_who_can_ask(line: str, asks: bool) -> None:
    assert (urgent.plain(line.split(), terminal=True) is None) is asks
    assert urgent.plain(line.split()) is not None


def told(*events: Event, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\n\r\n".encode() + b"".join(f"{to_line(event)}\n".encode() for event in events)


def test_what_shows_the_failover_waits_until_users_are_served() -> None:
    began = StepStarted("application", "bergen", "Start the application", "now")
    promoted = StepEnded("promote", "bergen", "done", "now", 0.1)
    assert not urgent.over(told(promoted, began))
    assert urgent.over(told(promoted, began, StepEnded("application", "bergen", "failed", "now", 0.1)))
    assert urgent.over(told(Result({"outcome": "rolled_back"}, 3)))


def test_what_refuses_the_failover_is_shown_at_once() -> None:
    assert urgent.over(told(status="409 Conflict"))
    assert urgent.over(b"")


@pytest.mark.parametrize("ends", [True, False])
def test_a_takeover_that_takes_long_is_shown_meanwhile_and_from_its_beginning(ends: bool) -> None:
    events = told(StepStarted("assess", "bergen", "Look", "now"))
    here, there = socket.socketpair()
    with here, there:
        there.sendall(events)
        if ends:
            there.sendall(told(Result({}, 0)))
        began = time.monotonic()
        urgent.hold_back(here)
        assert (time.monotonic() - began < urgent.HELD_SECONDS) is ends
        assert here.recv(len(events)) == events
