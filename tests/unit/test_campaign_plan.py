"""The plan of a campaign's round: the same for the same seed, and nothing stays broken."""

from __future__ import annotations

from campaign.plan import LONGEST, Act, Kind, Mode, WayBack, draw, moments

MANY = [draw(2026, number) for number in range(400)]


def test_the_same_seed_and_number_give_the_same_plan() -> None:
    assert [draw(2026, number) for number in range(400)] == MANY


def test_another_seed_or_another_number_gives_another_plan() -> None:
    assert draw(2026, 1) != draw(2026, 2) and draw(2026, 1) != draw(2027, 1)


def test_over_many_rounds_everything_occurs_at_both_sites() -> None:
    assert {(fault.kind, fault.host) for plan in MANY for fault in plan.faults} == {
        (kind, host) for kind in Kind for host in ("oslo", "bergen")
    }
    assert {(plan.mode, plan.primary) for plan in MANY} == {(mode, at) for mode in Mode for at in ("oslo", "bergen")}
    assert {plan.reaction.act for plan in MANY} == set(Act)
    assert {plan.reaction.death for plan in MANY} == {"none", "agent-killed", "ctrl-c"}
    assert {plan.way_back for plan in MANY} == set(WayBack)
    assert {len(plan.faults) for plan in MANY} == {1, 2, 3}


def test_every_fault_is_healed_once_and_after_it_began() -> None:
    for plan in MANY:
        for fault in plan.faults:
            began, healed = (moment for moment in moments(plan) if moment.fault is fault)
            assert not began.heals and healed.heals
            assert 0 < healed.at - began.at <= LONGEST + 0.01


def test_the_operator_acts_once_or_waits() -> None:
    for plan in MANY:
        acts = [moment for moment in moments(plan) if moment.fault is None]
        assert len(acts) == (0 if plan.reaction.act is Act.WAIT else 1)


def test_a_plan_is_told_in_words() -> None:
    told = {str(fault) for plan in MANY for fault in plan.faults}
    assert any(words.startswith("link-one-way bergen>oslo ") for words in told)
    assert any(words.startswith("clock-jump oslo +3600 ") for words in told)
    assert any(str(plan.reaction).startswith("failover accepting ") for plan in MANY)
