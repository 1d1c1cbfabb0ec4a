"""The guard's decision: never two primaries, whoever is silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.recovery.guard import PeerAnswer, Ruling, decide, peer_answer

sites = st.sampled_from(["oslo", "bergen", None])
peers = st.one_of(st.none(), st.builds(PeerAnswer, st.booleans(), st.none() | st.integers(1, 5), st.booleans()))


def record(points_to: str | None) -> RecordState:
    return RecordState(
        "example.test", "shop", (ServerAnswer("203.0.113.53"),), points_to, (points_to,) if points_to else ()
    )


def ruling(
    peer: PeerAnswer | None, dns: str | None, generation: int = 3, policy: str = "wait", clean: bool = True
) -> Ruling:
    records = () if dns == "none" else (record(dns),)
    return decide(
        site="oslo", peer_site="bergen", generation=generation, peer=peer, dns=records, policy=policy,
        cannot_be_replaced=clean,
    ).ruling  # fmt: skip


@given(peers, sites, st.integers(1, 5), st.sampled_from(["wait", "serve"]))
def test_a_site_that_sees_a_higher_generation_never_accepts_writes(
    peer: PeerAnswer | None, dns: str | None, generation: int, policy: str
) -> None:
    if peer is not None and peer.generation is not None and peer.generation > generation:
        assert ruling(peer, dns, generation, policy) is Ruling.HOLD


@given(peers, st.integers(1, 5), st.sampled_from(["wait", "serve"]))
def test_a_site_that_the_dns_does_not_send_users_to_never_accepts_writes(
    peer: PeerAnswer | None, generation: int, policy: str
) -> None:
    expected = {Ruling.HOLD, Ruling.WAIT} if peer is not None and peer.taking_over else {Ruling.HOLD}
    assert ruling(peer, "bergen", generation, policy) in expected


@given(sites, st.integers(1, 5))
def test_two_sites_never_write_in_the_same_generation(dns: str | None, generation: int) -> None:
    assert ruling(PeerAnswer(True, generation), dns, generation) is Ruling.HOLD


def test_a_primary_with_a_standby_behind_it_comes_up_writable() -> None:
    assert ruling(PeerAnswer(False, 3), "oslo") is Ruling.ALLOW
    assert ruling(PeerAnswer(False, 3), "none") is Ruling.ALLOW


def test_the_dns_is_enough_beside_a_silent_peer_only_where_nobody_can_have_taken_over() -> None:
    assert ruling(None, "oslo", clean=True) is Ruling.ALLOW
    # Otherwise the peer may have taken over without reaching the DNS: that is how a failover looks from here.
    assert ruling(None, "oslo", clean=False) is Ruling.WAIT
    assert ruling(None, "oslo", clean=False, policy="serve") is Ruling.ALLOW


@given(st.builds(PeerAnswer, st.just(value=True), st.none() | st.integers(1, 5)), sites, st.integers(1, 5))
def test_nobody_opens_beside_a_peer_that_accepts_writes(peer: PeerAnswer, dns: str | None, generation: int) -> None:
    assert ruling(peer, dns, generation) is not Ruling.ALLOW


def test_where_nobody_answers_the_policy_decides() -> None:
    assert ruling(None, None) is Ruling.WAIT
    assert ruling(None, None, policy="serve") is Ruling.ALLOW


def test_one_server_that_sends_users_to_the_other_site_is_enough_to_hold() -> None:
    split = RecordState("example.test", "shop", (ServerAnswer("203.0.113.53"),), None, ("oslo", "bergen"))
    verdict = decide(
        site="oslo", peer_site="bergen", generation=3, peer=None, dns=(split,), policy="serve", cannot_be_replaced=True
    )
    assert verdict.ruling is Ruling.HOLD


def test_a_peer_that_may_be_taking_over_at_this_moment_is_waited_for() -> None:
    assert ruling(PeerAnswer(False, 3, taking_over=True), "oslo") is Ruling.WAIT


def reason(peer: PeerAnswer | None, dns: str | None, policy: str = "wait") -> str:
    records = () if dns == "none" else (record(dns),)
    return decide(
        site="oslo", peer_site="bergen", generation=3, peer=peer, dns=records, policy=policy, cannot_be_replaced=True
    ).reason


@given(st.booleans(), sites, st.sampled_from(["wait", "serve"]))
def test_a_peer_whose_database_does_not_run_is_not_called_silent(
    taking_over: bool, dns: str | None, policy: str
) -> None:
    """A site that a failover has stopped answers and knows no timeline; "does not answer" blamed the network."""
    assert "does not answer" not in reason(PeerAnswer(False, None, taking_over), "oslo", policy)
    assert "neither" not in reason(PeerAnswer(False, None, taking_over), dns, policy)
    assert "does not answer" in reason(None, "oslo", policy)


def test_a_peer_that_shuts_this_site_out_is_waited_for_even_where_its_database_does_not_run() -> None:
    assert ruling(PeerAnswer(False, None, taking_over=True), "oslo") is Ruling.WAIT
    assert ruling(PeerAnswer(True, None), "oslo") is Ruling.HOLD


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"writable": False, "generation": None, "taking_over": True}, PeerAnswer(False, None, True)),
        ({"writable": True, "generation": 2}, PeerAnswer(True, 2)),
        ({"generation": 2}, None),
        ({"writable": False, "generation": "2"}, None),
    ],
)
def test_what_a_peer_says(document: dict[str, object], answer: PeerAnswer | None) -> None:
    assert peer_answer(document) == answer
