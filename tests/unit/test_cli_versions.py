"""files list, diff and restore: which site is asked, what is sent there and shown, and moments as people write them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from secondsite.cli import versions
from secondsite.cli.keepers import order
from secondsite.cli.main import main
from secondsite.cli.moments import moment
from secondsite.cli.schemas import conforms
from secondsite.cli.views.versions import list_lines, restore_lines
from secondsite.errors import FinalError, RetryableError, SecondsiteError, UsageError
from secondsite.events import Result
from secondsite.files.state import FileSetState, FilesStatus, VersionsState
from secondsite.files.versions.entry import Entry, parsed
from secondsite.files.versions.look import differing, relative
from secondsite.files.versions.place import Folder
from secondsite.objectives.document import document
from secondsite.objectives.status import assess
from tests.unit.objectives_worlds import NOW, SPEC, site, standby, well

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "example.toml"
OSLO = ZoneInfo("Europe/Oslo")
VERSION: dict[str, Any] = {
    "id": "20261122T130000Z-0123abcd",
    "kind": "links",
    "as_of": "2026-11-22T13:00:00.000000Z",
    "made_at": "2026-11-22T13:00:01.000000Z",
    "entries": 1200,
    "bytes": 5_000_000,
}
NOTHING = {"kind": None, "bytes": None, "modified_at": None, "mode": None, "owner": None}
ENTRY = {"kind": "file", "bytes": 5, "modified_at": "2026-11-22T12:00:00Z", "mode": "0640", "owner": "33:33"}
RESTORED = {
    "set": "uploads", "folder": "/srv/uploads", "version": VERSION, "path": "", "to": "/srv/uploads.restored-x/uploads",
    "files": 3, "folders": 1, "links": 0, "bytes": 5_000_000, "lost": [], "lost_count": 0, "dry_run": False,
}  # fmt: skip
FETCHED = {
    "set": "uploads", "path": "", "files": 2, "bytes": 10, "replaced": 2, "aside": "/srv/uploads.replaced-x",
    "failed": None, "sample": ["one"], "dry_run": False,
}  # fmt: skip
Answer = Mapping[str, Any] | SecondsiteError
Asked = list[tuple[str, str, Mapping[str, Any]]]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-03-29 15:00:00+02:00"),
        ("2h ago", "2026-03-29 13:00:00+02:00"),
        ("90 min ago", "2026-03-29 13:30:00+02:00"),
        ("3 days ago", "2026-03-26 14:00:00+01:00"),
        ("1h30m ago", "2026-03-29 13:30:00+02:00"),
        ("yesterday 14:00", "2026-03-28 14:00:00+01:00"),
        ("yesterday", "2026-03-28 23:59:59+01:00"),
        ("today 9:00", "2026-03-29 09:00:00+02:00"),
        ("14:30", "2026-03-29 14:30:00+02:00"),
        ("23:00", "2026-03-28 23:00:00+01:00"),
        ("2026-03-28", "2026-03-28 23:59:59+01:00"),
        ("2026-03-29", "2026-03-29 15:00:00+02:00"),
        ("2026-03-28 09:30", "2026-03-28 09:30:00+01:00"),
        ("2026-03-28T09:30Z", "2026-03-28 09:30:00+00:00"),
    ],
)
def test_a_moment_is_what_a_clock_on_the_wall_shows_then(text: str, meant: str) -> None:
    """Seen from the afternoon of the day on which summer time has begun."""
    now = datetime(2026, 3, 29, 13, 0, tzinfo=ZoneInfo("UTC"))
    found = moment(text, now.astimezone(OSLO), lambda wall: wall.replace(tzinfo=OSLO))
    assert found.timestamp() == datetime.fromisoformat(meant).timestamp()


@pytest.mark.parametrize(
    "text", ["", "ago", "tomorrow", "25:00", "2027-01-01", "yesterday noon", "x ago", "99999999d ago"]
)
def test_what_is_no_moment_or_lies_ahead_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        moment(text, datetime(2026, 3, 29, 15, 0, tzinfo=OSLO))
    assert refused.value.slug == "no-such-moment" and "yesterday 14:00" in str(refused.value.hint)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[tuple[str, str], Answer], Asked]:
    """What each site answers to each act, and what was asked."""
    told: dict[tuple[str, str], Answer] = {}
    asked: Asked = []

    async def carry_out(_: object, kind: str, arguments: Mapping[str, Any], *, at: str, emit: object) -> Result:
        asked.append((kind, at, arguments))
        answer = told[(at, kind)]
        if isinstance(answer, SecondsiteError):
            raise answer
        return Result({"site": at, **answer})

    async def looked() -> dict[str, Any]:
        return document(assess(SPEC, well(), (), datetime.now().astimezone()))

    monkeypatch.setattr("secondsite.cli.keepers.carry_out", carry_out)
    monkeypatch.setattr("secondsite.cli.sight.begin", lambda _: lambda: asyncio.run(looked()))
    told[("bergen", "versions-list")] = {"set": "uploads", "folder": "/srv/uploads", "versions": [VERSION]}
    told[("oslo", "versions-list")] = {"set": "uploads", "folder": "/srv/uploads", "versions": []}
    return told, asked


def ran(*words: str) -> int:
    return main(["files", *words, "--config", str(EXAMPLE)])


def test_versions_are_listed_although_a_site_is_silent(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    answers[0][("oslo", "versions-list")] = RetryableError("no answer")
    assert ran("list", "uploads", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    conforms("files-list", told)
    assert told["silent"] == {"oslo": "no answer"} and told["versions"][0]["site"] == "bergen"
    assert ran("list", "uploads") == 0
    shown = capsys.readouterr().out
    assert VERSION["id"] in str(shown) and "1,200" in shown and "nothing from oslo: no answer" in shown


def test_where_no_site_answers_the_command_fails(answers: tuple[dict[tuple[str, str], Answer], Asked]) -> None:
    for name in ("oslo", "bergen"):
        answers[0][(name, "versions-list")] = RetryableError("no answer")
    assert ran("list", "uploads") == 3


def test_a_set_a_site_or_a_moment_that_is_not_there_asks_nobody(
    answers: tuple[dict[tuple[str, str], Answer], Asked],
) -> None:
    assert ran("list", "pictures") == 2
    assert ran("list", "uploads", "--site", "paris") == 2
    assert ran("list", "uploads", "--at", "tomorrow") == 2
    assert ran("restore", "uploads") == 2
    assert ran("restore", "uploads", "one", "--all") == 2
    assert ran("restore", "uploads", "--all", "--to", "relative") == 2
    assert ran("restore", "uploads", "--all", "--to", "/x", "--to-primary") == 2
    assert answers[1] == []


def test_a_path_through_time_is_told(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    when = {
        "version": VERSION["id"],
        "at": VERSION["as_of"],
        "last_version": VERSION["id"],
        "last_at": VERSION["as_of"],
    }
    states = [when | {"there": True} | ENTRY, when | {"there": False} | NOTHING]
    for name in ("oslo", "bergen"):
        some = [VERSION] if name == "bergen" else []
        told = {"set": "uploads", "folder": "/srv/uploads", "versions": some, "path": "a\nb"}
        answers[0][(name, "versions-list")] = told | {"states": states if some else []}
    assert ran("list", "uploads", "--path", "a\nb", "--json") == 0
    conforms("files-list", json.loads(capsys.readouterr().out))
    assert ran("list", "uploads", "--path", "a\nb") == 0
    shown = capsys.readouterr().out
    assert "a\\nb in uploads:" in shown and "0640 33:33" in shown and "not there" in shown
    assert answers[1][0][2] == {"set": "uploads", "path": "a\nb"}


def test_a_difference_is_exit_code_1_and_names_what_differs(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    change = {"path": "one", "change": "changed", "what": ["size", "time"], "before": ENTRY, "after": ENTRY}
    told: dict[str, Any] = {
        "set": "uploads", "from": VERSION, "to": None, "path": "", "counts": {"added": 0, "removed": 0, "changed": 1},
        "changes": [change],
    }  # fmt: skip
    answers[0][("bergen", "versions-diff")] = dict(told)
    assert ran("diff", "uploads", "--from", VERSION["id"], "--json") == 1
    conforms("files-diff", json.loads(capsys.readouterr().out))
    assert answers[1][-1] == ("versions-diff", "bergen", {"set": "uploads", "from": {"id": VERSION["id"]}})
    assert ran("diff", "uploads") == 1
    assert "~ one  (size, time)" in capsys.readouterr().out
    answers[0][("bergen", "versions-diff")] = told | {"counts": {"added": 0, "removed": 0, "changed": 0}, "changes": []}
    assert ran("diff", "uploads", "--from", "2h ago", "--to", "1h ago") == 0
    *_, (_, _, sent) = answers[1]
    assert sent["to"]["at"] - sent["from"]["at"] == pytest.approx(3600, abs=1)


def test_a_restore_goes_to_the_site_that_has_versions_and_tells_the_folder(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    answers[0][("bergen", "versions-restore")] = RESTORED
    assert ran("restore", "uploads", "--all", "--json") == 0
    conforms("files-restore", json.loads(capsys.readouterr().out))
    assert answers[1][-1] == ("versions-restore", "bergen", {"set": "uploads"})
    assert ran("restore", "uploads", "one", "--dry-run", "--to", "/srv/back") == 0
    assert answers[1][-1][2] == {"set": "uploads", "path": "one", "dry_run": True, "to": "/srv/back"}
    answers[0][("bergen", "versions-restore")] = RESTORED | {"lost": ["one"], "lost_count": 1}
    assert ran("restore", "uploads", "--all") == 1
    shown = capsys.readouterr().out
    assert "bergen:/srv/uploads.restored-x/uploads" in shown and "written into since" in shown


def offered(answers: dict[tuple[str, str], Answer]) -> None:
    answers[("bergen", "versions-offer")] = RESTORED | {"offer": "20261122T140000Z-0123abcd"}
    answers[("bergen", "versions-withdraw")] = {"set": "uploads"}
    answers[("oslo", "versions-fetch")] = FETCHED


def test_a_snapshot_of_zfs_is_listed_without_a_number_of_files(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    taken = VERSION | {"kind": "zfs", "entries": None, "snapshot": "tank/uploads@secondsite-20261122T130000Z-0123abcd"}
    answers[0][("bergen", "versions-list")] = {"set": "uploads", "folder": "/srv/uploads", "versions": [taken]}
    assert ran("list", "uploads", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    conforms("files-list", told)
    assert told["versions"][0]["snapshot"] == taken["snapshot"]
    assert ran("list", "uploads") == 0
    assert f"{'-':>9}     5.0 MB  {VERSION['id']}" in capsys.readouterr().out


def test_the_primary_s_own_snapshots_do_not_keep_it_from_fetching_the_standby_s(
    answers: tuple[dict[tuple[str, str], Answer], Asked],
) -> None:
    """By ZFS both have some, and the primary's newest may be as new; there is nothing to fetch from itself."""
    offered(answers[0])
    later = VERSION | {"as_of": "2026-11-22T23:00:00.000000Z"}
    answers[0][("oslo", "versions-list")] = {"set": "uploads", "folder": "/srv/uploads", "versions": [later]}
    ran("restore", "uploads", "--all", "--to-primary", "--dry-run")
    assert [at for kind, at, _ in answers[1] if kind == "versions-offer"][:1] == ["bergen"]


def test_what_goes_to_the_primary_is_asked_for_offered_fetched_and_withdrawn(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    offered(answers[0])
    assert ran("restore", "uploads", "--all", "--to-primary") == 2, "nobody is there to answer"
    assert "moved aside" in capsys.readouterr().err
    assert [kind for kind, _, _ in answers[1]] == ["versions-list", "versions-list", "versions-offer"]
    assert answers[1][-1][2]["dry_run"], "nothing is offered before the answer"
    answers[1].clear()
    assert ran("restore", "uploads", "--all", "--to-primary", "--yes", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    conforms("files-restore", told)
    assert (told["primary"], told["site"], told["replaced"], told["to"]) == ("oslo", "bergen", 2, "/srv/uploads")
    assert [(kind, at) for kind, at, _ in answers[1][3:]] == [
        ("versions-offer", "bergen"), ("versions-fetch", "oslo"), ("versions-withdraw", "bergen")
    ]  # fmt: skip
    assert answers[1][3][2]["id"] == VERSION["id"], "the version that was shown, not a newer one"
    assert ran("restore", "uploads", "--all", "--to-primary", "--yes") == 0
    assert "rsync -aHAX /srv/uploads.replaced-x/ /srv/uploads/" in capsys.readouterr().out


def test_a_restore_to_the_primary_of_a_blocked_set_leads_on(
    answers: tuple[dict[tuple[str, str], Answer], Asked],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offered(answers[0])
    copy = {"name": "uploads", "state": "blocked", "reason": "444 of 810 files were rewritten"}
    seen = {"sites": {"oslo": {"role": "primary", "reachable": True}}, "replicas": [copy]}
    monkeypatch.setattr("secondsite.cli.sight.begin", lambda _: lambda: seen)
    assert ran("restore", "uploads", "--all", "--to-primary", "--yes") == 0
    out = capsys.readouterr().out
    assert "444 of 810" in out and out.rstrip().endswith("secondsite files allow-deletions uploads")
    answers[0][("oslo", "versions-fetch")] = FETCHED | {"dry_run": True}
    assert ran("restore", "uploads", "--all", "--to-primary", "--dry-run") == 0
    assert "allow-deletions" not in capsys.readouterr().out


def test_a_dry_run_says_what_would_be_replaced_and_how_many_more_there_are() -> None:
    planned = {**RESTORED, **FETCHED, "primary": "oslo", "to": "/srv/uploads", "site": "bergen", "dry_run": True}
    planned |= {"files": 300, "replaced": 2, "sample": ["a", "inv/", "inv/1"], "sample_replaced": ["a"], "aside": None}
    lines = restore_lines(planned)
    assert lines[1:] == [
        "  ~ a", "  + inv/", "  + inv/1", "  and 298 files more",
        "2 files would be replaced (~), 298 files are not there (+)",
    ]  # fmt: skip


def test_a_path_that_is_not_in_the_version_of_a_moment_may_be_in_others() -> None:
    state = {"there": False, "last_version": VERSION["id"], "at": VERSION["as_of"]}
    told = {"set": "uploads", "path": "x", "states": [state], "silent": {}}
    assert "not in the version of 2026-11-22" in list_lines({**told, "versions": [VERSION]})[1]
    later = VERSION | {"as_of": "2026-11-22T23:00:00.000000Z"}
    assert list_lines({**told, "versions": [VERSION, later]})[1] == "  in none of the versions"


def test_what_was_offered_is_withdrawn_although_it_could_not_be_fetched(
    answers: tuple[dict[tuple[str, str], Answer], Asked],
) -> None:
    offered(answers[0])
    answers[0][("oslo", "versions-fetch")] = FinalError("broken", slug="files-unreadable")
    assert ran("restore", "uploads", "--all", "--to-primary", "--yes") == 3
    assert answers[1][-1][:2] == ("versions-withdraw", "bergen")


def test_versions_at_the_primary_itself_are_not_fetched(
    answers: tuple[dict[tuple[str, str], Answer], Asked], capsys: pytest.CaptureFixture[str]
) -> None:
    offered(answers[0])
    answers[0][("oslo", "versions-offer")] = RESTORED
    assert ran("restore", "uploads", "--all", "--to-primary", "--yes", "--site", "oslo") == 3
    assert "the primary itself" in capsys.readouterr().err


def test_a_host_that_has_versions_asks_nobody_else(
    answers: tuple[dict[tuple[str, str], Answer], Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondsite.cli.keepers.site_here", lambda: "bergen")
    assert ran("list", "uploads") == 0
    assert [at for _, at, _ in answers[1]] == ["bergen"]
    answers[1].clear()
    monkeypatch.setattr("secondsite.cli.keepers.site_here", lambda: "oslo")
    assert ran("list", "uploads") == 0
    assert [at for _, at, _ in answers[1]] == ["oslo", "bergen"], "it has none itself"


def test_a_host_asks_itself_first() -> None:
    assert order(("oslo", "bergen"), None, "bergen") == ("bergen", "oslo")
    assert order(("oslo", "bergen"), None, None) == ("oslo", "bergen")
    assert order(("oslo", "bergen"), "oslo", "bergen") == ("oslo",)


def test_a_line_of_a_manifest_is_read_as_it_was_written() -> None:
    odd = Entry('a/\udcff\n"', "file", 0o4755, 1, 2, 3, -4, (("user.x", b"\x00\xff"),), None, "b")
    assert parsed(odd.line()) == odd and b"\n" not in odd.line()
    with pytest.raises(ValueError, match="no line"):
        parsed(b"{}")


def entry(path: str, size: int = 1, kind: str = "file", time: int = 0) -> Entry:
    return Entry(path, kind, 0o644, 0, 0, size, time)


def test_differences_follow_the_order_of_a_walk() -> None:
    """A folder's content stands before a name that only sorts before its slash."""
    before = [entry("", kind="folder"), entry("a", kind="folder"), entry("a/b"), entry("a-b"), entry("c")]
    after = [entry("", kind="folder", time=9), entry("a", kind="folder"), entry("a-b", 2), entry("b"), entry("c")]
    found = [(one and one.path, other and other.path) for one, other in differing(before, after)]
    assert found == [("a/b", None), ("a-b", "a-b"), (None, "b")]


@pytest.mark.parametrize(
    ("given", "meant"), [("", ""), (".", ""), ("a/b/", "a/b"), ("/srv/up/a", "a"), ("/srv/up", ""), ("./a//b", "a/b")]
)
def test_a_path_is_named_relative_or_absolute(given: str, meant: str) -> None:
    assert relative(Folder("up", Path("/srv/up")), given) == meant


@pytest.mark.parametrize("given", ["..", "a/../../b", "/etc/passwd", "/srv/upper/a", "/"])
def test_a_path_outside_is_refused(given: str) -> None:
    with pytest.raises(UsageError) as refused:
        relative(Folder("up", Path("/srv/up")), given)
    assert refused.value.slug == "path-outside"


def findings(kept: VersionsState | None, state: FilesStatus = FilesStatus.CURRENT) -> list[str]:
    copy = FileSetState("uploads", state, NOW - 1, versions=kept)
    seen = well() | {"bergen": site("bergen", standby(), files=(copy,))}
    told = document(assess(SPEC, seen, (), datetime.fromtimestamp(NOW).astimezone()))
    return [one["message"] for one in told["findings"] if one["check"] == "versions"]


def test_readiness_tells_of_a_version_that_is_overdue_or_cannot_be_made() -> None:
    assert findings(None) == [] and findings(VersionsState(3, NOW - 60)) == []
    assert "overdue" in findings(VersionsState(3, NOW - 60, overdue=True))[0]
    assert "is left" in findings(VersionsState(3, problem="1.0% of the room is left"))[0]
    assert findings(VersionsState(0, overdue=True), FilesStatus.FAILED) == [], "the copy's own finding says enough"


def test_the_moment_of_a_version_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    when: Callable[[str | None], dict[str, Any]] = versions.when
    assert when(None) == {} and when(str(VERSION["id"])) == {"id": VERSION["id"]}
    assert set(when("2h ago")) == {"at"}
