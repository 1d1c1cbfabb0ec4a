"""Trouble may close what was open, and never opens anything: readiness, the guard, the fence."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.clock import SystemClock
from secondsite.database import fence
from secondsite.database.cluster import Cluster
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.objectives.finding import Finding, Severity
from secondsite.objectives.readiness import ready
from secondsite.recovery import admit
from secondsite.recovery.guard import PeerAnswer, Ruling, Verdict, decide
from secondsite.spec import paths
from tests.unit.objectives_worlds import SPEC

many = settings(max_examples=150)
found = st.lists(st.builds(Finding, st.just("x"), st.sampled_from(Severity), st.none(), st.just("m")), max_size=4)
GENERATIONS = (1, 2, 3)
ANSWERS = (None, *itertools.starmap(PeerAnswer, itertools.product((False, True), (None, *GENERATIONS), (False, True))))
POINTS: tuple[tuple[str, ...], ...] = ((), ("oslo",), ("bergen",), ("oslo", "bergen"))
POLICIES = ("wait", "serve")
WORLDS = tuple(itertools.product(ANSWERS, POINTS, GENERATIONS, POLICIES, (False, True)))


def record(mentions: tuple[str, ...]) -> RecordState:
    return RecordState("example.no", "shop", (ServerAnswer("203.0.113.53"),), None, mentions)


def ruling(peer: PeerAnswer | None, points: tuple[str, ...], generation: int, policy: str, clean: bool) -> Ruling:
    return decide(
        site="oslo", peer_site="bergen", generation=generation, peer=peer, dns=(record(points),) if points else (),
        policy=policy, cannot_be_replaced=clean,
    ).ruling  # fmt: skip


@many
@given(found, st.builds(Finding, st.just("y"), st.sampled_from(Severity), st.none(), st.just("m")), st.randoms())
def test_one_finding_more_never_makes_a_service_ready(before: list[Finding], more: Finding, random: object) -> None:
    after = [*before, more]
    assert ready(before) or not ready(after)
    assert ready(after) == (ready(before) and more.severity is not Severity.CRITICAL)
    assert ready(after[::-1]) == ready(after)


def test_in_every_world_the_guard_opens_nothing_beside_a_peer_that_writes_is_ahead_or_takes_over() -> None:
    for peer, points, generation, policy, clean in WORLDS:
        if ruling(peer, points, generation, policy, clean) is not Ruling.ALLOW:
            continue
        assert "bergen" not in points, "users are sent to the other site"
        if peer is not None:
            assert not peer.writable and not peer.taking_over
            assert peer.generation is None or peer.generation <= generation
        if peer is None and policy == "wait":
            assert clean and "oslo" in points, "nobody but the DNS of a host that cannot be replaced speaks for it"


def test_in_every_world_worse_news_of_the_peer_opens_nothing() -> None:
    """It writes, it takes over, it is a generation further, users are sent to it: each alone may only close."""
    for peer, points, generation, policy, clean in WORLDS:
        if peer is None or ruling(peer, points, generation, policy, clean) is Ruling.ALLOW:
            continue
        worse = [
            (PeerAnswer(True, peer.generation, peer.taking_over), points),
            (PeerAnswer(peer.writable, peer.generation, True), points),
            (PeerAnswer(peer.writable, (peer.generation or generation) + 1, peer.taking_over), points),
            (peer, (*points, "bergen")),
        ]
        for answer, where in worse:
            assert ruling(answer, where, generation, policy, clean) is not Ruling.ALLOW


def test_in_every_world_the_policy_to_serve_and_a_stop_in_good_order_close_nothing() -> None:
    for peer, points, generation, policy, clean in WORLDS:
        if ruling(peer, points, generation, policy, clean) is Ruling.ALLOW:
            assert ruling(peer, points, generation, "serve", clean) is Ruling.ALLOW
            assert ruling(peer, points, generation, policy, True) is Ruling.ALLOW


def test_in_every_world_silence_is_no_worse_a_witness_than_a_peer_that_forbids() -> None:
    """A peer that answers "not you" is never outvoted: without its answer it may be open, with it never."""
    for peer, points, generation, policy, clean in WORLDS:
        if ruling(peer, points, generation, policy, clean) is Ruling.HOLD:
            assert ruling(peer, (*points, "oslo"), generation, "serve", True) is not Ruling.ALLOW


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FENCED", "ADMITTED", "ACTIVE", "GUARD_VERDICT", "RUN", "STATE"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    return tmp_path


@pytest.fixture
def open_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that nothing but a fence keeps from writing."""

    async def ask(*_: object, **__: object) -> Verdict:
        return Verdict(Ruling.ALLOW, "everybody says so")

    async def control(_: object) -> SimpleNamespace:
        return SimpleNamespace(state="shut down", generation=1)

    monkeypatch.setattr(admit, "ask", ask)
    monkeypatch.setattr(admit, "read_control", control)
    monkeypatch.setattr(fence, "hold", lambda *_: None)
    monkeypatch.setattr(fence, "unmark", lambda *_: None)


FENCES = [b"a failover to bergen", b"", b"\0" * 512, b"\xff\xfe"]


@pytest.mark.parametrize("words", [*FENCES, None], ids=["words", "empty", "zeroes", "no text", "unreadable"])
async def test_a_fence_comes_before_everything_that_could_open_this_host_whatever_is_in_its_file(
    host: Path, open_otherwise: None, words: bytes | None
) -> None:
    assert (await admit.at_start(SPEC, "oslo", SystemClock())).ruling is Ruling.ALLOW
    paths.ADMITTED.write_text("a person has said so")
    if words is None:
        paths.FENCED.mkdir()  # not even root can read it
    else:
        paths.FENCED.write_bytes(words)
    assert (await admit.at_start(SPEC, "oslo", SystemClock())).ruling is Ruling.HOLD
    assert (await admit.asked(SPEC, "oslo")).ruling is Ruling.HOLD
    assert not paths.ACTIVE.exists()
    assert admit.last_ruling() is Ruling.HOLD


@pytest.mark.parametrize(
    "left", [b"", b"\0" * 64, b"[]", b"null", b"\xff", b'{"verdict": "perhaps"}', b'{"verdict": []}']
)
def test_a_verdict_that_a_power_cut_has_torn_is_no_verdict(host: Path, left: bytes) -> None:
    paths.GUARD_VERDICT.write_bytes(left)
    assert admit.last_ruling() is None


@pytest.mark.parametrize(
    ("state", "runs_on", "standby", "alone_enough"),
    [
        ("shut down", False, True, False),  # it went in good order, and its standby may have been promoted since
        ("shut down", False, False, True),  # it never had a standby: there is nobody who could take over
        ("shut down", True, True, True),  # only the database was stopped: this host was there all the time
        ("in production", True, True, True),
        ("in production", False, True, False),
        ("in production", False, False, False),
    ],
)
async def test_the_dns_alone_is_enough_only_for_a_host_that_nobody_can_have_replaced(
    host: Path, monkeypatch: pytest.MonkeyPatch, state: str, runs_on: bool, standby: bool, alone_enough: bool
) -> None:
    asked: list[bool] = []

    async def ask(*_: object, cannot_be_replaced: bool) -> Verdict:
        asked.append(cannot_be_replaced)
        return decide(
            site="oslo", peer_site="bergen", generation=1, peer=None, dns=(record(("oslo",)),), policy="wait",
            cannot_be_replaced=cannot_be_replaced,
        )  # fmt: skip

    async def control(_: object) -> SimpleNamespace:
        return SimpleNamespace(state=state, generation=1)

    monkeypatch.setattr(admit, "ask", ask)
    monkeypatch.setattr(admit, "read_control", control)
    monkeypatch.setattr(fence, "hold", lambda *_: None)
    monkeypatch.setattr(fence, "unmark", lambda *_: None)
    monkeypatch.setattr(Cluster, "data", host / "data")
    if standby:
        (host / "data" / "pg_replslot" / "secondsite_bergen").mkdir(parents=True)
    if runs_on:
        paths.ACTIVE.touch()
    wanted = Ruling.ALLOW if alone_enough else Ruling.WAIT
    assert (await admit.asked(SPEC, "oslo")).ruling is wanted
    assert (await admit.at_start(SPEC, "oslo", SystemClock())).ruling is wanted
    assert asked == [alone_enough] * 2
