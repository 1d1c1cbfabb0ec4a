"""The end of a procedure, and its preview, for a person."""

from __future__ import annotations

from typing import Any

import pytest

from secondsite.cli.views.procedure import lines


def step(title: str, outcome: str, seconds: float) -> dict[str, Any]:
    return {
        "title": title, "site": "bergen", "outcome": outcome, "seconds": seconds, "message": None, "hint": None,
        "details": {},
    }  # fmt: skip


def ended(**more: object) -> dict[str, Any]:
    return {
        "procedure": "failover", "id": "x", "outcome": "rolled_back", "steps": [], "journal": "/j", "errors": [],
        "rto": {"measured_seconds": None, "objective_seconds": 60.0},
        "rpo": {"estimated_seconds": None, "objective_seconds": 10.0}, "fence": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(("outcome", "took"), [("done", "0.000 s"), ("failed", "0.000 s"), ("skipped", "skipped")])
def test_a_step_that_never_began_shows_no_time(outcome: str, took: str) -> None:
    (row,) = (line for line in lines(ended(steps=[step("Promote", outcome, 0.0)])) if "Promote" in line)
    assert row.endswith(f" {took}")
