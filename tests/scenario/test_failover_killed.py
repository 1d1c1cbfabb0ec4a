"""A failover that is killed at any step is finished by ``failover --resume``.

Generated from the list of steps: a sample runs with every test, all of it with ``make crash-matrix``.
"""

from __future__ import annotations

import pytest

from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.failover.plan import STEPS
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, recovered_at_bergen
from tests.scenario.matrix import some

# After an act and before its result is written nobody knows whether it happened: the hardest moment of each step.
# There is no PgBouncer here; with one the failover is killed in test_pooler.
ACTED = [f"{step.name}:applied" for step in STEPS if step is not SendClientsHere]
ABOUT_TO_ACT = [f"{name}:intent" for name in ("promote", "dns", "application")]


@pytest.mark.parametrize("place", some(ACTED + ABOUT_TO_ACT, 2, always=["fence:applied", "promote:applied"]))
def test_a_failover_killed_at_a_step_is_finished_by_resume(ground: Ground, place: str) -> None:
    lab = ground.fresh()
    lab.lab("power-off", "oslo")
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    killed = lab.said("bergen", f"SECONDSITE_DIE_AT={place} {FAILOVER} {ACCEPT}; exit $?")
    assert killed.returncode == 137, killed.stdout + killed.stderr
    lab.on("bergen", "systemctl start secondsite-agent.service")
    resumed = lab.json("bergen", "secondsite failover --resume --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    recovered_at_bergen(lab)


def test_an_agent_killed_in_the_middle_is_restarted_and_the_failover_finished(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("power-off", "oslo")
    folder = "/run/systemd/system/secondsite-agent.service.d"
    lab.on(
        "bergen",
        f"mkdir -p {folder}; printf '[Service]\\nEnvironment=SECONDSITE_DIE_AT=promote:applied\\n' > {folder}/die.conf;"
        "systemctl daemon-reload; systemctl restart secondsite-agent.service",
    )
    killed = lab.said("bergen", f"{FAILOVER} {ACCEPT}")
    assert killed.returncode == 4, killed.stdout + killed.stderr
    assert "failover --resume" in killed.stdout
    lab.on("bergen", f"rm {folder}/die.conf; systemctl daemon-reload; systemctl restart secondsite-agent.service")
    resumed = lab.json("bergen", "secondsite failover --resume --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    recovered_at_bergen(lab)
