"""What is said of the pools in which file sets lie."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from secondsite.files.zfs.pools import PoolState
from secondsite.objectives.finding import Severity, Word
from secondsite.objectives.snapshot import SiteView, from_json, to_json
from secondsite.objectives.status import Status, assess
from tests.unit.objectives_worlds import NOW, site, spec, standby, well

SPEC = spec()
GOOD = PoolState("tank", "ONLINE", 40, ("uploads",))


def judged(*found: PoolState) -> Status:
    oslo = well()["oslo"]
    seen: dict[str, SiteView] = {"oslo": oslo, "bergen": site("bergen", standby(), pools=found)}
    return assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC))


def told(check: str, *found: PoolState) -> list[tuple[Severity, str]]:
    return [(one.severity, one.message) for one in judged(*found).findings if one.check == check]


@pytest.mark.parametrize(
    ("health", "severity", "says"),
    [
        ("DEGRADED", Severity.WARNING, "has lost a disk"),
        ("FAULTED", Severity.CRITICAL, "is FAULTED"),
        ("SUSPENDED", Severity.CRITICAL, "is SUSPENDED"),
        ("MISSING", Severity.CRITICAL, "is not imported"),
    ],
)
def test_a_pool_that_is_not_whole_is_told_by_how_bad_it_is(health: str, severity: Severity, says: str) -> None:
    ((how, message),) = told("zfs-pool", PoolState("tank", health, 40, ("uploads",)))
    assert how is severity
    assert says in message and "uploads" in message


@pytest.mark.parametrize(("used", "severity"), [(80, Severity.WARNING), (95, Severity.CRITICAL)])
def test_a_pool_that_fills_up_is_told_before_it_is_full(used: int, severity: Severity) -> None:
    ((how, message),) = told("zfs-space", PoolState("tank", "ONLINE", used, ("uploads",)))
    assert (how, f"{used} %" in message) == (severity, True)
    assert told("zfs-space", PoolState("tank", "ONLINE", used - 1, ("uploads",)))[:1] in (
        [],
        [(Severity.WARNING, f"the pool tank is {used - 1} % full (file set uploads)")],
    )


def test_a_dataset_that_its_user_may_not_send_is_told_with_the_command() -> None:
    lacking = (("tank/uploads", ("hold", "send")),)
    status = judged(PoolState("tank", "ONLINE", 40, ("uploads",), lacking))
    (found,) = (one for one in status.findings if one.check == "zfs-delegation")
    assert found.severity is Severity.CRITICAL
    assert "zfs allow -u USER hold,send tank/uploads" in found.hint


def test_nothing_is_said_of_a_good_pool_and_nobody_has_looked_is_no_yes() -> None:
    assert not told("zfs-pool", GOOD) and not told("zfs-space", GOOD)
    words = {check.name: answer.word for check, answer in judged(GOOD).asked}
    assert words["zfs-pool"] is Word.NOT_SEEN  # the other site has not looked


def test_pools_travel_between_the_sites() -> None:
    state = site("bergen", standby(), pools=(GOOD,))
    assert from_json(to_json(state)).pools == (GOOD,)
