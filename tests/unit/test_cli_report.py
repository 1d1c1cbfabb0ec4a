"""report and journal: lists, words, proofs and exit codes; the end of a game day at 80 columns."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from secondsite.cli import report as command
from secondsite.cli.main import main
from secondsite.cli.schemas import conforms
from secondsite.cli.views.gameday import lines, show
from secondsite.clock import SystemClock
from secondsite.errors import RetryableError
from secondsite.evidence.html import render
from secondsite.evidence.write import altered, write
from secondsite.files import parting, store
from secondsite.recovery.journal import Journal, Kind, read
from secondsite.remote.journals import unpack
from secondsite.spec import paths
from tests.fakes.clock import SetClock
from tests.unit.evidence_sample import empty, sample

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "example.toml"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two reports below the folder of reports; nothing in the working directory."""
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(command, "HERE", tmp_path / "nothing-here")
    for name, document, day in (("one", empty(), "21"), ("two", sample(), "22")):
        document |= {"id": f"202611{day}T031200Z-gameday-{name}", "created_at": f"2026-11-{day}T03:13:00.000000Z"}
        write(document, tmp_path / "reports" / name, {"customer.jsonl": b"{}\n"})
    return tmp_path / "reports"


@pytest.fixture
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A failover that was taken back."""
    monkeypatch.setattr(paths, "JOURNAL", tmp_path / "journal")
    made = Journal.create(paths.JOURNAL, "20261122T031201Z-failover-77e0", SystemClock())
    made.append(Kind.OPENED, {"procedure": "failover", "arguments": {"to": "bergen"}, "steps": ["assess", "fence"]})
    made.append(Kind.INTENT, {"step": "fence", "site": "oslo"})
    error = {"message": "oslo could not be fenced"}
    made.append(Kind.RESULT, {"step": "fence", "site": "oslo", "result": "failed", "seconds": 2.01, "error": error})
    made.append(Kind.UNDONE, {"step": "fence"})
    made.append(Kind.CLOSED, {"outcome": "rolled_back", "rto_seconds": None})
    made.close()
    return made.path


LOST = {
    "written_at": "2026-11-22T04:00:00.000000Z", "generation": 1, "commits": 3, "rows": 1,
    "first_at": "2026-11-22T03:11:58Z", "last_at": "2026-11-22T03:12:00Z", "transactions": [],
}  # fmt: skip


@pytest.fixture
def lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site on which a former primary was taken back."""
    monkeypatch.setattr(paths, "LOST", tmp_path / "database" / "lost")
    monkeypatch.setattr(paths, "SITE", tmp_path / "site")
    monkeypatch.setattr(store, "STORE", tmp_path / "files")
    paths.SITE.write_text("oslo\n")
    folder = paths.LOST / "20261122T040000Z"
    folder.mkdir(parents=True)
    (folder / "lost.json").write_text(json.dumps(LOST))
    row = {"database": "shop", "schema": "public", "table": "orders", "lsn": "0/3", "at": "x", "row": {"item": "sko"}}
    (folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (paths.LOST / "20261122T050000Z").mkdir()  # being written
    return folder


def test_lost_work_is_told_and_its_rows_are_written_for_a_person(
    lost: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--lost-rows"]) == 0
    told = capsys.readouterr().out
    assert "3 transactions from 2026-11-22T03:11:58Z" in told and "1 rows in shop.public.orders" in told
    assert str(lost) in told
    file = tmp_path / "rows.jsonl"
    assert main(["report", "--lost-rows", "--output", str(file)]) == 0
    (row,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (row["site"], row["row"]) == ("oslo", {"item": "sko"}) and file.stat().st_mode & 0o077 == 0
    assert main(["report", "--lost-rows", "--output", str(file)]) == 2
    assert main(["report", "--lost-rows", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["lost"]
    assert record["site"] == "oslo" and len(record["lost_rows"]) == record["rows"] == 1


LOST_FILE = {"path": "a\udcff.jpg", "bytes": 1200, "modified_at": None, "changed_at": "2026-11-22T03:11:59.100000Z"}
LOST_FILES = {
    "written_at": "2026-11-22T04:00:00Z", "parted_at": "2026-11-22T03:59:00Z", "set": "uploads",
    "folder": "/srv/uploads", "complete_until": "2026-11-22T03:11:58Z", "count": 1, "bytes": 1200, "older": 2,
    "kept_in": ["/var/lib/secondsite/aside/files-uploads-1"],
    "files": [{**LOST_FILE, "kept": "/var/lib/secondsite/aside/files-uploads-1/a\udcff.jpg"}],
}  # fmt: skip


def keep_lost_files(lost: Path, **more: object) -> None:
    """As a former primary's first pull writes them down."""
    folder = store.STORE / parting.LOST
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "20261122T040000Z-uploads.json").write_text(json.dumps(LOST_FILES | more))


def test_lost_files_are_listed_with_the_place_where_each_lies(
    lost: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_lost_files(lost)
    assert main(["report", "--lost-files"]) == 0
    told = capsys.readouterr().out
    assert "oslo: 1 file of uploads (1.2 kB) never reached the other site" in told and "a\\udcff.jpg" in told
    assert "files-uploads-1" in told and "2 that were older" in told and "2026-11-22T03:11:59Z" in told
    assert main(["report", "--lost-files", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["lost_files"]
    assert record["site"] == "oslo" and record["files"] == LOST_FILES["files"]
    file = tmp_path / "files.jsonl"
    assert main(["report", "--lost-files", "--output", str(file)]) == 0
    (line,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["site"], line["set"], line["path"]) == ("oslo", "uploads", "a\udcff.jpg")


def test_files_that_may_have_arrived_are_told_apart_and_not_counted_as_lost(
    lost: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_lost_files(lost, count=0, bytes=0, files=[], perhaps=[LOST_FILE])
    assert main(["report", "--lost-files"]) == 0
    told = capsys.readouterr().out
    assert "every file" not in told and "never reached the other site" not in told
    assert "oslo: 1 file of uploads (1.2 kB) may never have reached it" in told and "a\\udcff.jpg" in told
    assert "kept at oslo in" in told
    (lost / "lost.json").unlink()
    assert main(["report", "--lost-rows"]) == 0
    assert "perhaps 1 file of uploads (1.2 kB) at oslo: secondsite report --lost-files" in capsys.readouterr().out
    file = tmp_path / "files.jsonl"
    assert main(["report", "--lost-files", "--output", str(file)]) == 0
    (line,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert (line["path"], line["certain"]) == ("a\udcff.jpg", False)


def test_where_no_row_was_lost_nobody_is_told_that_nothing_was(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lost / "lost.json").unlink()
    keep_lost_files(lost)
    assert main(["report", "--lost-rows"]) == 0
    told = capsys.readouterr().out
    assert "no lost rows are known" in told and "nothing was lost" not in told
    assert "1 file of uploads (1.2 kB) at oslo: secondsite report --lost-files" in told


def test_where_every_file_had_arrived_that_is_said(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep_lost_files(lost, count=0, files=[])
    assert main(["report", "--lost-files"]) == 0
    assert "oslo: every file of uploads had reached the other site" in capsys.readouterr().out
    assert main(["report", "--lost-rows"]) == 0
    assert "files were lost" not in capsys.readouterr().out


def test_reports_are_listed_newest_first(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "✓ passed" in first and "gameday-two" in first and "✗ not passed" in second
    assert main(["report", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["passed"] for one in told["reports"]] == [True, False]


def test_a_report_is_found_by_id_beginning_folder_and_latest(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (
        "20261122T031200Z-gameday-two",
        "20261122",
        str(kept / "two"),
        str(kept / "two/report.html"),
        "latest",
    ):
        assert main(["report", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["id"] == "20261122T031200Z-gameday-two"
    assert main(["report", "2026"]) == 2
    assert "2 reports begin with 2026" in capsys.readouterr().err


def test_a_changed_report_is_shown_and_told(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kept / "two/customer.jsonl").write_bytes(b"[]\n")
    assert main(["report", "latest"]) == 1
    shown = capsys.readouterr()
    assert "customer.jsonl was changed" in shown.err and "PASSED" in shown.out


def test_page_and_folder_are_handed_out(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, copy = tmp_path / "page.html", tmp_path / "copy"
    assert main(["report", "latest", "--html", str(page), "--output", str(copy)]) == 0
    assert "4.26 s" in page.read_text() and (copy / "SHA256SUMS").is_file()
    assert main(["report", "latest", "--output", str(copy)]) == 2
    assert main(["report", "--html", str(page)]) == 2


def test_journal_in_words_and_its_proof(journals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal"]) == 0
    assert "taken back" in capsys.readouterr().out
    assert main(["journal", "latest"]) == 0
    told = capsys.readouterr().out
    assert "oslo could not be fenced" in told and "fence: failed, 2.01 s" in told and "✓ intact, 5 records" in told
    assert main(["journal", str(journals), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["intact"] and document["outcome"] == "rolled_back"
    assert document["records"][-1]["hash"] == document["head"]


@pytest.mark.parametrize("arguments", [[], ["--verify"], ["latest"], ["latest", "--verify"], ["--json"]])
def test_a_changed_journal_ends_with_1(
    journals: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    journals.write_bytes(journals.read_bytes().replace(b"2.01", b"0.01"))
    assert main(["journal", *arguments]) == 1
    out = capsys.readouterr().out
    assert "NOT INTACT" in out or '"intact": false' in out


def test_unknown_journal(journals: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "nowhere"]) == 2
    assert "no journal nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("document", [sample(), empty(), {"report": "gameday"}])
def test_summary_fits_80_columns(document: dict[str, object]) -> None:
    assert max(map(len, lines(document))) <= 80


def test_summary_says_what_it_cost() -> None:
    text = "\n".join(lines(sample()))
    for told in ("PASSED", "4.26 s", "612 ms", "2.75 s", "874 ms", "at most 2.29 s", "of 361", "of 73", "03:12:04.207"):
        assert told in text
    assert text.index("Cut the old primary") < text.index("point of no return") < text.index("Promote the standby")


def test_a_last_pull_that_fetched_nothing_is_marked_in_the_summary_and_on_the_page() -> None:
    report = sample()
    step = next(step for step in report["procedure"]["steps"] if step["name"] == "files")
    whole = render(report)
    step["details"] = {"sets": {"uploads": {"final_pull": "oslo does not answer"}}}
    text = lines(report)
    at = next(place for place, line in enumerate(text) if "Fetch the last files" in line)
    assert "! Fetch the last files" in text[at] and "uploads: oslo does not answer" in text[at + 1]
    assert render(report).count(">!</text>") == whole.count(">!</text>") + 1


def test_summary_invents_nothing() -> None:
    text = "\n".join(lines(empty()))
    assert "NOT PASSED" in text and text.count("not measured") >= 6 and "served" not in text.split("What was done")[1]


def test_summary_without_a_terminal_holds_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    document = sample()
    document["checks"][0]["told"] = "[bold]as it is[/bold]"
    show(document)
    out = capsys.readouterr().out
    assert "\x1b" not in out and "[bold]as it is[/bold]" in out


def test_reports_of_another_service_are_left_out_where_a_file_is_named(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example and the samples are of the service "shop"."""
    write(sample() | {"id": "mail-gameday", "service": "mail"}, kept / "mail", {})
    assert main(["--config", str(EXAMPLE), "report", "--json"]) == 0
    assert {one["service"] for one in json.loads(capsys.readouterr().out)["reports"]} == {"shop"}
    assert main(["report", "mail", "--json"]) == 0
    assert main(["report", "mail", "--config", str(EXAMPLE)]) == 2
    assert "no report mail" in capsys.readouterr().err


@pytest.fixture
def elsewhere(journals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that is no site: bergen has a journal, oslo does not answer. What was asked is listed."""
    asked: list[str] = []
    content = journals.read_bytes()
    monkeypatch.setattr(paths, "JOURNAL", tmp_path / "not-here")
    monkeypatch.setattr(paths, "SITE", tmp_path / "no-site")

    async def fetch(_: object, site: str, into: Path) -> None:
        asked.append(site)
        if site == "oslo":
            raise RetryableError("192.0.2.11 does not answer on port 22", host=site)
        into.mkdir()
        (into / journals.name).write_bytes(content)

    monkeypatch.setattr("secondsite.remote.journals.fetch", fetch)
    return asked


def test_elsewhere_the_journals_of_both_sites_are_fetched_and_a_silent_one_is_told(
    elsewhere: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", "--config", str(EXAMPLE)]) == 1
    shown = capsys.readouterr()
    assert sorted(elsewhere) == ["bergen", "oslo"]
    assert shown.out.startswith("bergen:\n20261122T031201Z-failover-77e0") and "✓ intact" in shown.out
    assert "oslo could not be asked" in shown.err and "does not answer on port 22" in shown.err
    assert main(["journal", "latest", "--json", "--config", str(EXAMPLE)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["site"], told["path"]) == (
        "bergen",
        str(tmp_path / "not-here" / "20261122T031201Z-failover-77e0.jsonl"),
    )
    assert told["intact"] and told["records"][-1]["hash"] == told["head"]


def test_elsewhere_without_a_file_nobody_knows_where_the_sites_are(
    elsewhere: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "CONFIG", tmp_path / "no-file")
    assert main(["journal"]) == 2
    assert "--config" in capsys.readouterr().err
    assert elsewhere == []


def test_a_journal_that_was_fetched_stays_in_its_folder(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("./good.jsonl", "../evil.jsonl", "./notes.txt"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"{}\n"))
    unpack(base64.encodebytes(packed.getvalue()).decode(), tmp_path / "in")
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == ["evil.jsonl", "good.jsonl"]
    assert not (tmp_path / "evil.jsonl").exists()
    unpack("", tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


FAILED_OVER = "20261122T031200Z-failover-77e0"


@pytest.fixture
def failed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bergen, which took over from oslo: 226 s after the last sign of life came the command, 3.5 s later it served."""
    for name, place in (("JOURNAL", "journal"), ("REPORTS", "reports"), ("SITE", "site"), ("LOST", "database/lost")):
        monkeypatch.setattr(paths, name, tmp_path / place)
    monkeypatch.setattr(store, "STORE", tmp_path / "files")
    monkeypatch.setattr(command, "HERE", tmp_path / "elsewhere")
    paths.SITE.write_text("bergen\n")
    clock = SetClock(datetime(2026, 11, 22, 3, 12, tzinfo=UTC))
    made = Journal.create(paths.JOURNAL, FAILED_OVER, clock)
    arguments = {"to": "bergen", "commanded_at": "2026-11-22T03:12:00Z", "reason": "oslo burned"}
    steps = ["assess", "fence", "promote", "dns", "application", "checkpoint"]
    made.append(Kind.OPENED, {"procedure": "failover", "arguments": arguments, "steps": steps})
    rpo = {"estimated_seconds": 1.6, "at_most_seconds": 227.0, "worst": "uploads", "heard_at": "2026-11-22T03:08:14Z"}
    for name in steps[:-1]:
        made.append(Kind.INTENT, {"step": name, "site": "bergen"})
        clock.pass_(0.7)
        details = {"rpo": rpo} if name == "assess" else {"fence": "unconfirmed"} if name == "fence" else {}
        body = {"step": name, "site": "bergen", "result": "done", "seconds": 0.7, "details": details}
        made.append(Kind.RESULT, body)
    made.append(Kind.CLOSED, {"outcome": "completed", "rto_seconds": 3.5})
    made.close()
    return paths.REPORTS / FAILED_OVER


def test_the_last_failover_gets_the_report_that_a_game_day_has(
    failed_over: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "failover", "--config", str(EXAMPLE)]) == 0
    told = capsys.readouterr().out
    assert "failover of shop" in told and "3.50 s" in told and "1.60 s" in told and "last sign of life" in told
    assert "3 min 50 s" in told, "the customer has waited for the operator, too"
    assert max(map(len, told.splitlines()[:-1])) <= 80
    assert altered(failed_over) == [] and (failed_over / "journal.jsonl").is_file()
    page = (failed_over / "report.html").read_text()
    assert "Failover report: shop" in page and "customer was at work" not in page and "not known" in page
    assert "journal of the procedure, 12 records, hash chain intact" in page
    document = json.loads((failed_over / "report.json").read_text())
    conforms("report", document)
    assert document["rto"]["outage_seconds"] == 229.5 and document["rpo"]["files_lost"] is None
    skipped = [step["name"] for step in document["procedure"]["steps"] if step["outcome"] == "skipped"]
    assert skipped == ["checkpoint"] and document["procedure"]["steps"][0]["title"] != "assess"
    assert main(["report", "latest", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == FAILED_OVER, "it is kept with the others"


def test_where_both_hosts_are_reached_the_report_tells_what_was_found_at_the_old_primary(
    failed_over: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = next(paths.JOURNAL.iterdir()).read_bytes()
    monkeypatch.setattr(paths, "JOURNAL", tmp_path / "not-here")
    monkeypatch.setattr(paths, "SITE", tmp_path / "no-site")

    async def fetch(_: object, site: str, into: Path) -> None:
        into.mkdir()
        if site == "bergen":
            (into / f"{FAILED_OVER}.jsonl").write_bytes(content)

    async def fetched(_: object, flag: str, key: str) -> list[dict[str, object]]:
        rows = {"site": "oslo", **LOST, "lost_rows": [{}]}
        before = {"site": "oslo", **LOST_FILES, "written_at": "2026-11-21T04:00:00Z", "count": 9}
        return [rows] if key == "lost" else [before, {"site": "oslo", **LOST_FILES}]

    monkeypatch.setattr("secondsite.remote.journals.fetch", fetch)
    monkeypatch.setattr("secondsite.cli.lost.fetched", fetched)
    assert main(["report", "failover", "--config", str(EXAMPLE)]) == 0
    folder = tmp_path / "elsewhere" / FAILED_OVER
    document = json.loads((folder / "report.json").read_text())
    assert (document["rpo"]["rows_lost"], document["rpo"]["files_lost"]) == (1, 1), "of this failover, not of another"
    assert document["found"]["files"][0]["kept_in"] == LOST_FILES["kept_in"]
    assert document["rpo"]["last_lost_at"] == LOST["last_at"] and document["rpo"]["met"] is None
    page = (folder / "report.html").read_text()
    assert "at most 3 min 47 s of work is lost (oslo worked on out of sight, by its own clock until" in page
    assert "oslo died when it fell silent" not in page, "the lost commits prove that it did not"
    assert "1 row and 1 file were found that had never arrived" in (folder / "report.html").read_text()
    (line,) = (folder / "lost-files.jsonl").read_text().splitlines()
    assert json.loads(line)["kept"].startswith("/var/lib/secondsite/aside/")
    assert folder.stat().st_mode & 0o077 == 0


def test_the_old_primarys_clock_does_not_decide_what_the_report_of_a_failover_takes_in(
    failed_over: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (journal,) = paths.JOURNAL.iterdir()
    clock, again = SetClock(datetime(2026, 11, 22, 3, 12, tzinfo=UTC)), tmp_path / "promoted"
    made = Journal.create(again, FAILED_OVER, clock)
    for record in read(journal).records:
        told = record.body.get("step") == "promote" and record.kind is Kind.RESULT
        details = {"details": {"timeline": 2, "switch_point": "0/5000A0"}} if told else {}
        made.append(record.kind, {**record.body, **details})
    made.close()
    monkeypatch.setattr(paths, "JOURNAL", again)
    monkeypatch.setattr(paths, "SITE", tmp_path / "no-site")
    parted = {"site": "oslo", "generation": 1, "since": "0/5000A0", "written_at": "2026-11-22T03:10:00Z"}

    async def fetched(_: object, flag: str, key: str) -> list[dict[str, object]]:
        older = {"since": "0/3000028", "written_at": "2026-11-23T03:10:00Z"}
        if key == "lost":
            return [LOST | parted | {"lost_rows": [{}]}, LOST | parted | older | {"rows": 9, "lost_rows": []}]
        return [LOST_FILES | parted, LOST_FILES | parted | older | {"count": 9}]

    monkeypatch.setattr("secondsite.cli.lost.fetched", fetched)
    assert main(["report", "failover", "--config", str(EXAMPLE)]) == 0
    document = json.loads((tmp_path / "elsewhere" / FAILED_OVER / "report.json").read_text())
    assert (document["rpo"]["rows_lost"], document["rpo"]["files_lost"]) == (1, 1)


def test_the_report_of_a_failover_tells_transactions_that_left_no_row_and_prepared_ones(
    failed_over: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promised = [{"gid": "pay <7>", "lsn": "0/3", "at": "2026-11-22T03:11:59Z"}]
    rows = {"site": "oslo", **LOST, "rows": 0, "prepared": promised, "lost_rows": []}
    monkeypatch.setattr("secondsite.cli.failover_report._found", lambda *_: ([rows], []))
    assert main(["report", "failover", "--config", str(EXAMPLE)]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines()[:-1])) <= 80
    assert re.search(r"transactions without a row lost +3\n", told), told
    assert re.search(r"prepared transactions lost +1\n", told), told
    document = json.loads((failed_over / "report.json").read_text())
    conforms("report", document)
    assert (document["rpo"]["transactions_lost"], document["rpo"]["prepared_lost"]) == (3, 1)
    assert document["found"]["prepared"] == ["pay <7>"]
    page = (failed_over / "report.html").read_text()
    assert "no rows, 3 transactions that left none, no files and 1 prepared transaction were found" in page
    assert "Prepared transactions lost" in page and "pay &lt;7&gt;" in page
    assert "3 transactions left none; 1 prepared transaction lost" in page


def test_without_a_failover_there_is_no_report_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "JOURNAL", tmp_path / "journal")
    monkeypatch.setattr(paths, "SITE", tmp_path / "site")
    paths.SITE.write_text("bergen\n")
    assert main(["report", "failover", "--config", str(EXAMPLE)]) == 2
    assert "no failover is known at bergen" in capsys.readouterr().err
