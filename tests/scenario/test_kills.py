"""Whatever is killed at whatever step: the procedure ends by itself, or is taken up, or is as it was; one primary.

Every kind of kill at every step of failover, switchover and failback (``kills.cases``): a sample runs with every test,
all of it with ``make crash-matrix``. One lab goes to and fro: a failover leaves it where a failback begins.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import pytest

from secondsite_lab import pooler
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import Ground, accepts_writes, until_buys, where_dns_points
from tests.scenario.kills import (
    ALONE,
    CASE_SECONDS,
    ENDED_SECONDS,
    ONLY,
    OTHER,
    PLAIN,
    POOLED,
    SYNC,
    Case,
    Killed,
    cases,
    missing,
    never_two,
    operate,
    reported,
    writing_at_both,
)
from tests.scenario.matrix import some
from tests.scenario.pooled import until_served
from tests.scenario.test_failover_disaster import wait_for_role
from tests.scenario.test_switchover import at_home, until_ready

SEEN = ("standby", "primary", "stopped")  # roles of a host that is up


def in_turn(found: list[Case]) -> list[Case]:
    """Each failback behind a failover, as long as there are both: then the lab stands already where it begins."""
    away = [case for case in found if case.failing_over]
    home = [case for case in found if case.procedure == "failback"]
    rest = [case for case in found if case not in away and case not in home]
    return [case for pair in zip_longest(away, home) for case in pair if case is not None] + rest


ALL = {str(case): case for world in (PLAIN, *ONLY) for case in in_turn([one for one in cases() if one.world == world])}
SAMPLED = [name for name, case in ALL.items() if case.world == PLAIN]  # another world takes a minute to set up
ALWAYS = [
    "failover, postmaster killed at promote:intent",
    "failback, session killed at rejoin",
    "switchover, other agent killed at stop:intent",
]


@dataclass
class Stage:
    """Where the lab stands between two cases. primary: None where nobody knows. away: it was failed over to, and the
    other site is not yet taken back. world: as it was set up; file: the service's file before that."""

    primary: str | None = None
    away: bool = False
    world: str = PLAIN
    file: str | None = None

    def ready(self, ground: Ground, world: str) -> tuple[AppliedLab, str]:
        """A lab with a primary and a standby."""
        if self.primary is None or self.world != world:
            self.plain(ground.lab)
            set_up(ground.fresh(), world)
            self.primary, self.away, self.world = "oslo", False, world
        if self.away:
            operate(ground.lab, "failback")
            self.primary, self.away = OTHER[self.primary], False
        until_ready(ground.lab, self.primary)
        return ground.lab, self.primary

    def plain(self, lab: AppliedLab) -> None:
        """The service's file as it was before any world was set up."""
        file = Path(lab.info["config"])
        self.file = self.file or file.read_text()
        file.write_text(self.file)

    def failed_over(self, ground: Ground, world: str) -> tuple[AppliedLab, str]:
        """A lab whose old primary was left in a failover and has power again."""
        if self.primary is None or not self.away or self.world != world:
            _, old = self.ready(ground, world)
            self.primary, self.away = OTHER[old], True
            operate(ground.lab, "failover", "--to", self.primary)
            wait_for_role(ground.lab, old, SEEN)
        return ground.lab, self.primary


STAGE = Stage()


def set_up(lab: AppliedLab, world: str) -> None:
    """What this world has besides. A standby that is lost makes commits wait for some seconds only: one site serves
    alone for a while in most cases."""
    if world == POOLED:
        pooler.install(lab)
    elif world == SYNC:
        file = Path(lab.info["config"])
        sync = 'mode = "sync"\nwhen_standby_lost = "degrade"\ndegrade_after = "5s"'
        file.write_text(re.sub(r'^mode = "async"$', sync, file.read_text(), flags=re.MULTILINE))
        subprocess.run(lab.operator("apply", "--yes"), check=True, timeout=300, capture_output=True)
        lab.until_ready()


@pytest.fixture(scope="module", autouse=True)
def own_file(ground: Ground) -> Iterator[None]:
    """Whoever comes behind finds the service's file as it was."""
    yield
    STAGE.plain(ground.lab)


# So that whatever waits too long says itself what it waited for: a lab put back or made, the case, and all around it.
LIMIT_SECONDS = 400 + 2 * ENDED_SECONDS + CASE_SECONDS + 200


@pytest.mark.timeout(LIMIT_SECONDS)
@pytest.mark.parametrize("name", some(list(ALL), len(ALWAYS), always=ALWAYS, among=SAMPLED))
def test_whatever_is_killed_there_is_one_primary_and_nothing_is_lost_untold(ground: Ground, name: str) -> None:
    try:
        play(ground, ALL[name])
    except AssertionError as failed:
        failed.add_note(_told(ground.lab))
        raise


def _told(lab: AppliedLab) -> str:
    """What the databases and their units have said last, for a case that fails: its hosts are gone when it is read."""
    unit, log = lab.cluster.unit, f"/var/log/postgresql/postgresql-{lab.cluster.version}-{lab.cluster.name}.log"
    ask = f"journalctl --unit {unit} --lines 30 --no-pager; tail -n 30 {log}"
    return "\n".join(f"--- {host}\n{lab.said(host, ask).stdout}" for host in OTHER)


def play(ground: Ground, case: Case) -> None:
    """One case from its beginning to the proof of its end."""
    stand = STAGE.failed_over if case.procedure == "failback" else STAGE.ready
    lab, old = stand(ground, case.world)
    STAGE.primary = None  # whoever fails leaves a lab that nobody knows
    new = OTHER[old]
    killed = Killed(lab, case, old)
    killed.arm()
    if case.procedure != "failback" and case.kind not in ALONE:
        until_ready(lab, old)
    with writing_at_both(lab, old) as kept:
        if case.procedure == "failover":
            lab.lab("power-off", old)
        course = killed.run()
        until_buys(lab)
    if case.procedure == "failover":
        lab.lab("power-on", old)
    if case.failing_over:
        wait_for_role(lab, old, SEEN)
        assert where_dns_points(lab) == lab.info["hosts"][new]["address"]
        assert accepts_writes(lab, new) and not accepts_writes(lab, old)
    else:
        until_ready(lab, new)
        at_home(lab, new)
    if case.world == POOLED:
        until_served(lab, new)
    never_two(kept, old)
    lost = missing(lab, kept, new)
    if case.failing_over:
        reported(lost, course.end)
    else:
        assert not lost, f"{len(lost)} rows are lost"
    over(lab, new)
    STAGE.primary, STAGE.away = new, case.failing_over


def over(lab: AppliedLab, new: str) -> None:
    """Nothing is unfinished, and the journals prove themselves."""
    for host in OTHER:
        status = lab.json(host, "secondsite status --json")
        assert not [one for one in status["findings"] if one["check"] in ("unfinished", "two-primaries")], status
        assert lab.said(host, "secondsite journal --verify").returncode == 0
    assert lab.said(new, "test -e /var/lib/secondsite/fenced").returncode == 1
