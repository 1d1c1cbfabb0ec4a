"""Faults and the window in which they are allowed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from secondsite.rehearsal.faults import block_rules, restore_lines
from secondsite.rehearsal.window import refusal
from secondsite.spec.model import GameDay


def test_an_interface_comes_back_with_the_routes_and_addresses_the_kernel_forgets() -> None:
    routes: list[dict[str, Any]] = [
        {"dst": "default", "gateway": "192.0.2.1", "dev": "host0", "flags": []},
        {"dst": "192.0.2.0/24", "protocol": "kernel", "dev": "host0", "flags": []},
        {"dst": "10.9.0.0/16", "gateway": "192.0.2.7", "metric": 50, "flags": ["onlink"]},
    ]
    addresses = [
        {"family": "inet", "local": "192.0.2.11", "prefixlen": 24, "scope": "global"},
        {"family": "inet6", "local": "2001:db8::11", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
    ]
    assert restore_lines("host0", routes, addresses).splitlines() == [
        "link set dev host0 up",
        "address replace 2001:db8::11/64 dev host0",
        "route replace default via 192.0.2.1 dev host0",
        "route replace 10.9.0.0/16 via 192.0.2.7 dev host0 metric 50 onlink",
    ]


def test_a_blocked_port_leaves_loopback_alone() -> None:
    rules = block_rules(5433)
    assert 'iifname != "lo" tcp dport 5433 drop' in rules
    assert 'oifname != "lo" tcp sport 5433 drop' in rules


DAY = {"days": ["fri"], "start": "13:00", "end": "16:00", "timezone": "Europe/Oslo"}
NIGHT = {"days": ["fri", "sat"], "start": "22:00", "end": "04:00", "timezone": "Europe/Oslo"}


@pytest.mark.parametrize(
    ("window", "moment", "allowed"),
    [
        (DAY, datetime(2026, 11, 20, 12, 30, tzinfo=UTC), True),  # Friday 13:30 in Oslo
        (DAY, datetime(2026, 11, 20, 11, 30, tzinfo=UTC), False),  # 12:30 in Oslo
        (DAY, datetime(2026, 11, 19, 12, 30, tzinfo=UTC), False),  # Thursday
        (NIGHT, datetime(2026, 11, 20, 22, 30, tzinfo=UTC), True),  # Friday 23:30
        (NIGHT, datetime(2026, 11, 21, 12, 0, tzinfo=UTC), False),
    ],
)
def test_a_game_day_is_held_only_inside_its_window(window: dict[str, object], moment: datetime, allowed: bool) -> None:
    assert (refusal(GameDay.model_validate({"window": window}), moment) is None) is allowed


def test_without_a_window_any_time_is_right() -> None:
    assert refusal(GameDay.model_validate({}), datetime(2026, 11, 20, tzinfo=UTC)) is None
