"""The last line of an apply: never a promise that status would not make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from secondsite.cli.bootstrap.protection import judged, protection
from secondsite.errors import RetryableError
from secondsite.files.state import FileSetState, FilesStatus
from secondsite.objectives.document import document
from secondsite.objectives.snapshot import SiteView
from secondsite.objectives.status import assess
from tests.unit.objectives_worlds import NOW, SPEC, primary, site, standby, views, well


def status(seen: dict[str, SiteView]) -> dict[str, Any]:
    return document(assess(SPEC, seen, (), datetime.fromtimestamp(NOW, UTC)))


def never_pulled() -> dict[str, SiteView]:
    copy = FileSetState("uploads", FilesStatus.PULLING)
    return well() | {"bergen": site("bergen", standby(), files=(copy,))}


def test_a_standby_that_protects_is_told_with_the_cost() -> None:
    told = judged(status(well()))
    assert told.told == (
        "bergen protects oslo now (database streaming, uploads current): "
        "if oslo burned, at most 2.0 s of work would be lost"
    )
    assert (told.protects, told.ready, told.next) == (True, True, "secondsite status --watch")


def test_before_the_first_pull_nothing_is_promised() -> None:
    told = judged(status(never_pulled()))
    assert told.protects is False
    assert "bergen does not protect oslo yet" in told.told and "uploads is behind is not known" in told.told


def test_what_stands_in_the_way_of_a_failover_is_told() -> None:
    told = judged(status(well() | {"oslo": site("oslo", primary(), agent_running=False)}))
    assert told.protects and not told.ready and "the agent is not running" in told.told
    assert told.next == "secondsite readiness"


@given(views())
def test_it_promises_nothing_that_status_does_not_say(seen: dict[str, SiteView]) -> None:
    shown = status(seen)
    told = judged(shown)
    if told.protects:
        assert shown["rpo"]["estimated_seconds"] <= SPEC.objectives.rpo
    assert told.ready == shown["ready"]


async def test_it_waits_for_the_first_pull_and_not_for_ever() -> None:
    looks: list[Mapping[str, Any]] = [status(never_pulled()), status(well())]

    async def look() -> Mapping[str, Any]:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    assert (await protection(look, patience_seconds=5)).protects
    looks = [status(never_pulled())]
    assert not (await protection(look, patience_seconds=0)).protects


async def test_sites_that_cannot_be_asked_are_no_failure_of_what_was_done() -> None:
    async def look() -> Mapping[str, Any]:
        raise RetryableError("no answer")

    told = await protection(look)
    assert told.protects is None and "no answer" in told.told
