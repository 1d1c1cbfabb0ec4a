"""The end of a procedure, and its preview, for a person."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from secondsite.cli import outcome
from secondsite.cli.outcome import until_result
from secondsite.cli.views.procedure import lines, preview_lines
from secondsite.cli.wording import step_line
from secondsite.errors import Exit, HalfwayError, SecondsiteError, way_on
from secondsite.events import Event, Note, Result, StepEnded, ignore, to_line
from secondsite.recovery.left_open import left_open
from secondsite.recovery.unfetched import shown, told_not_here, unfetched


def step(title: str, outcome: str, seconds: float) -> dict[str, Any]:
    return {
        "title": title, "site": "bergen", "outcome": outcome, "seconds": seconds, "message": None, "hint": None,
        "details": {},
    }  # fmt: skip


def ended(**more: object) -> dict[str, Any]:
    return {
        "procedure": "failover", "id": "x", "outcome": "rolled_back", "steps": [], "journal": "/j", "errors": [],
        "rto": {"measured_seconds": None, "objective_seconds": 60.0},
        "rpo": {"estimated_seconds": None, "objective_seconds": 10.0}, "fence": None, **more,
    }  # fmt: skip


@pytest.mark.parametrize(("outcome", "took"), [("done", "0.000 s"), ("failed", "0.000 s"), ("skipped", "skipped")])
def test_a_step_that_never_began_shows_no_time(outcome: str, took: str) -> None:
    (row,) = (line for line in lines(ended(steps=[step("Promote", outcome, 0.0)])) if "Promote" in line)
    assert row.endswith(f" {took}")


SILENT = "oslo does not answer: the copy stays as it was"


@pytest.mark.parametrize(
    ("pull", "mark", "told"),
    [
        ({"complete": True, "reason": None}, "✓", None),
        ({"complete": False, "reason": "no answer in time"}, "!", "uploads: no answer in time"),
        ({"complete": False, "reason": None}, "!", "uploads: not everything was fetched"),
        (SILENT, "!", f"uploads: {SILENT}"),
    ],
)
def test_a_last_pull_that_fetched_nothing_is_not_shown_as_if_it_had(pull: object, mark: str, told: str | None) -> None:
    details = {"sets": {"uploads": {"last_complete_at": 1.0, "final_pull": pull}}}
    text = lines(ended(steps=[{**step("Fetch the last files", "done", 0.1), "name": "files", "details": details}]))
    at = next(place for place, line in enumerate(text) if "Fetch" in line)
    assert text[at].startswith(f"  {mark} ")
    assert (text[at + 1].strip() or None) == told


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"peer_answers": True, "peer_silent_seconds": None}, "it answers, and is stopped first"),
        ({"peer_answers": False, "peer_silent_seconds": None}, "it does not answer"),
        ({"peer_answers": False, "peer_silent_seconds": 8.9}, "not heard for 8.9 s"),
    ],
)
def test_a_preview_says_what_is_known_of_the_old_primary(known: dict[str, Any], told: str) -> None:
    document = {"to": "bergen", "from": "oslo", "steps": [], "database": {"role": "standby", "streaming": "streaming"}}
    first, *_ = preview_lines({**document, **known, "rpo": {"estimated_seconds": None}})
    assert first == f"failover: bergen takes over from oslo ({told})"


@pytest.mark.parametrize(
    ("kind", "command"),
    [("failover", "secondsite failover --resume"), ("allow-deletions", "secondsite status")],
)
def test_an_agent_that_died_is_followed_by_a_command_that_exists(kind: str, command: str) -> None:
    with pytest.raises(HalfwayError) as caught:
        until_result(iter([to_line(Note("begun"))]), kind, ignore)
    assert (caught.value.slug, caught.value.hint) == ("agent-died", command)


def test_an_agent_that_said_nothing_is_not_told_as_one_that_died_in_the_middle() -> None:
    with pytest.raises(SecondsiteError) as caught:
        until_result(iter(()), "failover", ignore)
    assert (caught.value.slug, caught.value.exit) == ("agent-unheard", Exit.HALFWAY)
    hint = caught.value.hint or ""
    assert "secondsite status" in hint and "same command again" in hint and "--resume" not in hint


def test_whoever_waits_for_an_agent_that_says_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "SILENT_SECONDS", 0.05)
    own, agents = socket.socketpair()
    told: list[Event] = []

    def hear(event: Event) -> None:
        told.append(event)
        agents.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + to_line(Result({})).encode() + b"\n")
        agents.close()

    with own, agents:
        killer = threading.Timer(5, agents.close)  # nobody tells: the line ends, and nothing hangs
        killer.start()
        assert outcome.follow(own, "failover", hear) == Result({})
        killer.cancel()
    (note,) = told
    assert isinstance(note, Note) and "has said nothing" in note.text


def test_the_command_that_goes_on_works_away_from_the_host() -> None:
    document = ended(outcome="blocked", arguments={"to": "bergen"})
    assert "  next: mend the cause, then: secondsite failover --resume --to bergen" in lines(document)
    assert way_on("switchover", "bergen") == "secondsite switchover --resume --to bergen"


def test_a_step_that_only_names_file_sets_has_left_nothing_unfetched() -> None:
    assert unfetched({"name": "files-writable", "details": {"sets": ["uploads"]}}) is None
    assert unfetched({"name": "assess", "details": {}}) is None
    silent = {"name": "files", "details": {"sets": {"uploads": {"final_pull": "oslo does not answer"}}}}
    assert unfetched(silent) == "uploads: oslo does not answer"


def test_transactions_that_were_prepared_and_came_along_are_left_to_a_person() -> None:
    prepared = [{"gid": f"pay-{number}", "database": "shop", "owner": "shop", "at": "…"} for number in range(7)]
    step = {"name": "prove", "details": {"committed_at": "…", "prepared_transactions": prepared}}
    told = left_open(step)
    assert told is not None and told.startswith("7 prepared transactions came along and hold their locks until each")
    assert told.endswith(
        "'pay-0' in shop, 'pay-1' in shop, 'pay-2' in shop, 'pay-3' in shop, 'pay-4' in shop and 2 more"
    )
    assert left_open({"name": "prove", "details": {"committed_at": "…"}}) is None
    shown_step = {"title": "Prove", "site": "bergen", "outcome": "done", "seconds": 0.1, "message": None, **step}
    assert f"      {told}" in lines(ended(steps=[shown_step]))
    unread = {"prepared_transactions": None, "prepared_unread": "15/main refused: permission denied"}
    told = left_open({"name": "prove", "details": unread})
    assert told is not None and "15/main refused: permission denied" in told and "pg_prepared_xacts" in told


def waiting(count: int | None, *names: str) -> dict[str, Any]:
    told = {"count": count, "names": list(names), "told_at": 1.0}
    return {
        "name": "files",
        "details": {"sets": {"uploads": {"final_pull": "oslo does not answer", "told_not_here": told}}},
    }


def test_what_the_old_primary_had_told_and_nobody_fetched_is_counted_and_named() -> None:
    told = waiting(9, "a", "b\n\x1b[2J", "c\udcff", "d", "e", "f")
    assert unfetched(told) == (
        "uploads: oslo does not answer; 9 changed paths were told and are not known to be here: "
        "a, b\\n\\x1b[2J, c\\xff, d, e and 4 more"
    )
    assert unfetched(waiting(0)) == "uploads: oslo does not answer; by its last word nothing was waiting there"
    assert unfetched(waiting(None)) == "uploads: oslo does not answer"
    blocked = waiting(0)
    blocked["details"]["sets"]["uploads"]["held_back"] = 40
    assert str(unfetched(blocked)).endswith(
        "nothing was waiting there; 40 deletions or changes waited for a person: what was before them is here again"
    )
    procedure = {"steps": [{"name": "fence", "details": {}}, told, waiting(None)]}
    count, names = told_not_here(procedure)
    assert count == 9 and names[:3] == ["uploads: a", "uploads: b\\n\\x1b[2J", "uploads: c\\xff"]
    assert told_not_here({"steps": [waiting(None)]}) == (None, [])


SILENT = "oslo does not answer: the copy stays as it was"


@pytest.mark.parametrize(
    ("details", "word", "why"),
    [
        ({"sets": {"uploads": {"final_pull": {"complete": True}}}}, "done", ""),
        ({"sets": {"uploads": {"final_pull": SILENT}}}, "nothing fetched", f": uploads: {SILENT}"),
        (
            {"sets": {"uploads": {"final_pull": {"complete": True}}, "media": {"final_pull": SILENT}}},
            "not all fetched",
            f": media: {SILENT}",
        ),
        ({"sets": ["uploads"]}, "done", ""),
        ({"fence": "unconfirmed"}, "not confirmed", ""),
        ({"fence": "confirmed"}, "done", ""),
    ],
)
def test_the_line_of_a_step_says_done_only_where_it_did_what_its_title_says(
    details: dict[str, Any], word: str, why: str
) -> None:
    ended = StepEnded("files", "bergen", "done", "", 0.105, "", details)
    assert step_line(ended, "Fetch the last files").text == f"bergen: Fetch the last files: {word} (105 ms){why}"
    assert shown("failed", details) == "failed"
