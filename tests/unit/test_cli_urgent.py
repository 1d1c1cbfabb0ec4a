"""The failover's command: what it sends, and that nothing heavy stands between it and the agent."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from secondsite.cli import urgent
from secondsite.clock import from_text

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
