"""Two estimates of one loss, in the status and at the failover: what must hold however little is known."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from secondsite.database.state import DatabaseState, Role
from secondsite.files.state import FileSetState, FilesStatus
from secondsite.objectives.lag import Kind, Lag
from secondsite.objectives.lag import lags as lags_of
from secondsite.objectives.rpo import estimate as of_lags
from secondsite.objectives.silence import BEAT_SECONDS, CLOCK_ERROR, died_in_silence
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import LastPrimary, Silence, SiteState, SiteView
from secondsite.recovery.failover.assess import estimate
from secondsite.spec.model import Database
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, spec, standby, states

many = settings(max_examples=60)
ASYNC, DEGRADE, BLOCK = (
    SPEC.database,
    spec(mode="sync", degrade_after="10s").database,
    spec(mode="sync", when_standby_lost="block").database,
)
rules = st.sampled_from([ASYNC, DEGRADE, BLOCK])
ages = st.floats(0.0, 5000.0)
offsets = st.floats(-7200.0, 7200.0)
copies = st.dictionaries(st.sampled_from(["uploads", "mail"]), st.none() | ages.map(lambda age: NOW - age))


@st.composite
def memories(draw: st.DrawFn) -> tuple[DatabaseState, LastPrimary]:
    """A standby and what it remembers, both by a primary's clock that was right."""
    heard = draw(ages)
    beat = heard + draw(ages)
    last = LastPrimary(
        NOW - heard, draw(st.integers(0, 9000)), draw(st.integers(1, 2)), NOW - heard,
        synchronous=draw(st.booleans()), in_step_at=NOW - heard, clock_offset=0.0,
    )  # fmt: skip
    return DatabaseState(Role.STANDBY, timeline=1, replayed=1000, heartbeat_at=NOW - beat), last


@many
@given(memories(), copies, rules)
def test_nothing_that_a_failover_says_to_lose_is_negative_and_the_worst_decides(
    known: tuple[DatabaseState, LastPrimary], files: dict[str, float | None], policy: Database
) -> None:
    found = estimate(known[0], known[1], files, rules=policy, now=NOW)
    losses = found["replicas"]
    assert set(losses) == {"database", *files}
    assert all(loss is None or loss >= 0 for loss in losses.values())
    if None in losses.values():
        assert found["estimated_seconds"] is None and losses[found["worst"]] is None
    else:
        assert found["estimated_seconds"] == max(losses.values())
    if found["at_most_seconds"] is not None and found["estimated_seconds"] is not None:
        assert found["at_most_seconds"] >= found["estimated_seconds"]
    assert found["known_bytes"] is None or found["known_bytes"] >= 0


@many
@given(memories(), copies, rules, ages)
def test_time_that_passes_in_silence_never_makes_a_loss_smaller(
    known: tuple[DatabaseState, LastPrimary], files: dict[str, float | None], policy: Database, longer: float
) -> None:
    soon = estimate(known[0], known[1], files, rules=policy, now=NOW)
    late = estimate(known[0], known[1], files, rules=policy, now=NOW + longer)
    for key in ("estimated_seconds", "at_most_seconds"):
        assert (soon[key] is None) == (late[key] is None)
        assert soon[key] is None or late[key] >= soon[key]


@many
@given(memories(), copies, rules, offsets)
def test_a_primarys_clock_that_is_wrong_and_known_to_be_changes_nothing(
    known: tuple[DatabaseState, LastPrimary], files: dict[str, float | None], policy: Database, wrong: float
) -> None:
    state, last = known
    right = estimate(state, last, files, rules=policy, now=NOW)
    beat, told = state.heartbeat_at, last.heartbeat_at
    assert beat is not None and told is not None
    state, last = (
        replace(state, heartbeat_at=beat + wrong),
        replace(last, heartbeat_at=told + wrong, clock_offset=wrong),
    )
    same = estimate(state, last, files, rules=policy, now=NOW)
    for name, seconds in right["replicas"].items():
        other = same["replicas"][name]
        assert (seconds is None) == (other is None) and abs((seconds or 0.0) - (other or 0.0)) < 1e-3


@many
@given(memories(), copies, rules)
def test_knowing_less_never_promises_more(
    known: tuple[DatabaseState, LastPrimary], files: dict[str, float | None], policy: Database
) -> None:
    """Without the memory, without the heartbeat, without one file set's moment: unknown or as large, never less."""
    state, last = known
    before = estimate(state, last, files, rules=policy, now=NOW)
    less = [
        estimate(state, None, files, rules=policy, now=NOW),
        estimate(replace(state, heartbeat_at=None), last, files, rules=policy, now=NOW),
        estimate(state, replace(last, synchronous=False), files, rules=policy, now=NOW),
        *(estimate(state, last, {**files, name: None}, rules=policy, now=NOW) for name in files),
    ]
    for found in less:
        for key in ("estimated_seconds", "at_most_seconds"):
            assert found[key] is None or (before[key] is not None and found[key] >= before[key])
        assert not found["synchronous"] or before["synchronous"]


@many
@given(memories(), rules)
def test_a_failover_is_called_synchronous_only_where_the_last_word_was_so_in_this_timeline(
    known: tuple[DatabaseState, LastPrimary], policy: Database
) -> None:
    state, last = known
    found = estimate(state, last, {}, rules=policy, now=NOW)
    assert found["synchronous"] == (policy is not ASYNC and last.synchronous and last.timeline == state.timeline)


some_lags = st.builds(
    Lag,
    replica=st.sampled_from(["database", "uploads", "mail"]),
    kind=st.sampled_from(Kind),
    site=st.just("bergen"),
    state=st.just("streaming"),
    seconds=st.none() | ages,
    bytes=st.none() | st.integers(0, 9000),
    files=st.none() | st.integers(0, 90),
    unseen_seconds=ages,
    synchronous=st.booleans(),
    was_synchronous=st.booleans(),
)


@many
@given(st.lists(some_lags, min_size=1, max_size=4), some_lags)
def test_one_replica_more_never_makes_the_loss_smaller_and_an_unknown_one_makes_it_unknown(
    replicas: list[Lag], another: Lag
) -> None:
    before, after = of_lags(replicas), of_lags([*replicas, another])
    assert after.seconds is None or (before.seconds is not None and after.seconds >= before.seconds)
    assert after.known_seconds is None or (
        before.known_seconds is not None and after.known_seconds >= before.known_seconds
    )
    assert after.known_seconds is None or after.seconds is None or after.known_seconds <= after.seconds
    if another.seconds is None and not another.synchronous:
        assert after.seconds is None


@many
@given(states("bergen"), ages)
def test_a_standby_that_hears_nothing_more_is_never_less_behind(bergen: SiteState, longer: float) -> None:
    """The same words a while later: each replica's lag has grown by that while, or is as unknown as before."""

    def after(seconds: float) -> dict[str, Lag]:
        later = replace(bergen, taken_at=bergen.taken_at + seconds)
        seen: dict[str, SiteView] = {
            "oslo": Silence("oslo", "no answer", NOW, site("oslo", primary())),
            "bergen": later,
        }
        situation = Situation(SPEC, seen)
        assume(situation.standby == "bergen")
        return {lag.replica: lag for lag in lags_of(situation)}

    soon, late = after(0.0), after(longer)
    for name, lag in soon.items():
        seconds = late[name].seconds
        if lag.seconds is None:
            continue
        assert seconds is not None and seconds >= lag.seconds
        assert late[name].unseen_seconds >= lag.unseen_seconds
        assert not late[name].synchronous or lag.synchronous, "silence never makes anything synchronous"


@many
@given(st.floats(-CLOCK_ERROR, CLOCK_ERROR), offsets)
def test_the_lag_is_the_same_whatever_the_primarys_clock_shows(jitter: float, wrong: float) -> None:
    state = standby(heartbeat_at=NOW - 8 + jitter + wrong, primary_told_at=None, primary_flushed=None)
    seen: dict[str, SiteView] = {
        "oslo": site("oslo", primary(), taken_at=NOW + wrong),
        "bergen": site("bergen", state, peer_clock_offset=wrong),
    }
    seconds = lags_of(Situation(SPEC, seen))[0].seconds
    assert seconds is not None and abs(seconds - (8 - jitter)) < 1e-3


@many
@given(ages, ages)
def test_what_is_lost_in_silence_is_at_least_what_was_missing_then_and_never_more_than_up_to_now(
    behind: float, unheard: float
) -> None:
    found = died_in_silence(behind, unheard)
    assert max(0.0, behind - unheard) <= found <= behind
    assert died_in_silence(behind, 0.0) == behind, "of a primary that answers all that is newer may be lost"


@many
@given(st.floats(0.0, 600.0), st.floats(0.0, 30.0), st.floats(0.0, 30.0), st.floats(0.0, BEAT_SECONDS - 0.01))
def test_status_and_failover_say_the_same_and_never_less_than_the_truth(
    silent: float, beat: float, pulled: float, worked_on: float
) -> None:
    """Oslo answered ``silent`` seconds ago and died ``worked_on`` later; its last heartbeat here was written ``beat``
    before that answer, and the last complete pull began ``pulled`` before it."""
    heard = NOW - silent
    last = LastPrimary(heard, 1000, 1, heard - beat, clock_offset=0.0)
    database = standby(heartbeat_at=heard - beat, primary_told_at=None, primary_flushed=None)
    uploads = FileSetState("uploads", FilesStatus.CURRENT, complete_at=heard - pulled)
    seen: dict[str, SiteView] = {
        "oslo": Silence("oslo", "no answer", heard, site("oslo", primary())),
        "bergen": site("bergen", database, last_primary=last, files=(uploads,)),
    }
    told = of_lags(lags_of(Situation(SPEC, seen)))
    found = estimate(database, last, {"uploads": heard - pulled}, rules=ASYNC, now=NOW)
    assert told.known_seconds is not None and told.seconds is not None
    assert abs(found["estimated_seconds"] - told.known_seconds) < 1e-3
    assert abs(found["at_most_seconds"] - told.seconds) < 1e-3
    died = min(heard + worked_on, NOW)
    assert found["estimated_seconds"] >= died - (heard - max(beat, pulled)) - 1e-3
