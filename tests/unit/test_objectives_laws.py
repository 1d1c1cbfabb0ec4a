"""What must hold in every world, however broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from secondsite.cli.schemas import conforms
from secondsite.cli.views.verdict import verdict
from secondsite.database.state import Role, Streaming
from secondsite.objectives.document import document
from secondsite.objectives.lag import lags
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import Silence, SiteState, SiteView, from_json, to_json, to_json_bytes
from secondsite.objectives.status import Status, assess
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby, states, views, well

Views = dict[str, SiteView]


def judged(seen: Views) -> Status:
    return assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC))


@given(views())
def test_the_estimated_loss_is_never_below_any_replicas_lag(seen: Views) -> None:
    status = judged(seen)
    if status.rpo.seconds is None:
        assert any(lag.seconds is None for lag in status.lags)
    else:
        assert all(lag.seconds is not None and lag.seconds <= status.rpo.seconds for lag in status.lags)


@given(views())
def test_a_service_with_a_silent_site_is_never_ready(seen: Views) -> None:
    if any(isinstance(view, Silence) for view in seen.values()):
        assert not judged(seen).ready


@given(views())
def test_two_sites_that_accept_writes_are_never_ready_and_always_told(seen: Views) -> None:
    status = judged(seen)
    both = all(isinstance(view, SiteState) and view.database.writable for view in seen.values())
    assert both == any(finding.check == "two-primaries" for finding in status.findings)
    assert not (both and status.ready)


@given(views())
def test_a_database_that_does_not_stream_never_shows_lag_zero(seen: Views) -> None:
    for lag in lags(Situation(SPEC, seen)):
        if lag.kind == "database" and lag.state not in (Streaming.STREAMING, Streaming.CATCHING_UP):
            assert lag.seconds is None or lag.seconds > 0


@given(views())
def test_no_lag_is_ever_negative(seen: Views) -> None:
    for lag in lags(Situation(SPEC, seen)):
        assert lag.seconds is None or lag.seconds >= 0
        assert lag.bytes is None or lag.bytes >= 0


@given(st.floats(1, 10_000), st.floats(0.1, 1_000))
def test_silence_of_the_primary_only_makes_the_lag_grow(age: float, longer: float) -> None:
    def lag_after(seconds: float) -> float:
        bergen = site("bergen", standby(streaming=Streaming.RECEIVER_DOWN), taken_at=NOW + seconds)
        seen: Views = {"oslo": Silence("oslo", "no answer", NOW, site("oslo", primary())), "bergen": bergen}
        found = lags(Situation(SPEC, seen))[0].seconds
        assert found is not None
        return found

    assert lag_after(age + longer) > lag_after(age)


@given(views())
def test_every_status_is_a_document_that_keeps_its_schema_and_can_be_said_in_words(seen: Views) -> None:
    told = json.loads(json.dumps(document(judged(seen))))
    conforms("status", told)
    assert verdict(told).text


@given(views())
def test_a_ready_service_has_a_known_loss_within_what_was_agreed(seen: Views) -> None:
    status = judged(seen)
    if status.ready:
        assert status.rpo.seconds is not None and status.rpo.seconds <= SPEC.objectives.rpo


@given(states("oslo"))
def test_a_state_comes_back_from_the_wire_as_it_was(state: SiteState) -> None:
    assert from_json(json.loads(json.dumps(to_json(state)))) == state
    assert from_json(json.loads(to_json_bytes(state))) == state


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    status = judged(well())
    assert [finding.check for finding in status.findings] == ["rehearsed"]
    assert status.ready and status.rpo.worst == "uploads"
    assert status.situation.primary == "oslo" and status.situation.standby == "bergen"


def test_no_role_at_all_is_no_reason_to_fail() -> None:
    nobody: Views = {name: Silence(name, "no answer") for name in ("oslo", "bergen")}
    told = document(judged(nobody))
    assert told["sites"]["oslo"]["role"] == Role.UNKNOWN and not told["ready"]
