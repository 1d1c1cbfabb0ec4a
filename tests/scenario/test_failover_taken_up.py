"""A failover that is taken up when the world is no longer as its journal says."""

from __future__ import annotations

from tests.scenario.ground import ACCEPT, FAILOVER, Ground, accepts_writes, buys, recovered_at_bergen, until_buys
from tests.scenario.test_failover_dns_trouble import refusing


def test_what_was_promoted_and_is_held_since_a_restart_is_opened_again_by_resume(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("power-off", "oslo")
    mend = refusing(lab)
    stopped = lab.said("bergen", f"{FAILOVER} {ACCEPT}")
    assert stopped.returncode == 4, stopped.stdout + stopped.stderr
    lab.lab("power-off", "bergen")
    lab.lab("power-on", "bergen")
    mend()
    lab.on("bergen", "until runuser -u postgres -- psql -XAtqc 'SELECT 1'; do sleep 0.5; done")
    assert not accepts_writes(lab, "bergen"), "the guard holds it: the DNS still points at oslo"

    begun = lab.said("bergen", f"{FAILOVER} {ACCEPT}")
    assert begun.returncode == 4 and "promotion-gone" in begun.stdout, begun.stdout + begun.stderr
    resumed = lab.said("bergen", "secondsite failover --resume --json")
    assert resumed.returncode in (0, 1) and '"completed"' in resumed.stdout, resumed.stdout + resumed.stderr
    recovered_at_bergen(lab)


def test_a_fence_that_cannot_be_taken_back_is_told(ground: Ground) -> None:
    lab = ground.fresh()
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    assert lab.said("bergen", f"SECONDSITE_DIE_AT=fence:applied {FAILOVER}; exit $?").returncode == 137
    lab.lab("link", "cut", "bergen", "oslo")
    resumed = lab.said("bergen", "secondsite failover --resume --json")
    assert resumed.returncode == 4, resumed.stdout + resumed.stderr
    assert "unfence-failed" in resumed.stdout and "guard --allow" in resumed.stdout
    assert not buys(lab)

    lab.lab("link", "heal", "bergen", "oslo")
    lab.on("oslo", "secondsite guard --allow --yes")
    until_buys(lab)
