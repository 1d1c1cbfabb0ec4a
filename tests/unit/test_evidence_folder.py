"""The folder of a report: written whole, readable, and proof against changes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from secondsite.cli.schemas import conforms
from secondsite.clock import SystemClock
from secondsite.errors import FinalError
from secondsite.evidence.write import altered, read, write
from secondsite.recovery.journal import Journal, Kind
from tests.unit.evidence_sample import empty, sample


def journal(folder: Path) -> bytes:
    """A journal of two records."""
    made = Journal.create(folder, "one", SystemClock())
    made.append(Kind.OPENED, {"procedure": "failover", "arguments": {}, "steps": []})
    made.append(Kind.CLOSED, {"outcome": "completed", "rto_seconds": 2.377})
    made.close()
    return made.path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    evidence = {"journal.jsonl": journal(tmp_path / "journal"), "customer.jsonl": b'{"id": 1}\n{"id": 2}\n'}
    write(sample(), tmp_path / "report", evidence)
    return tmp_path / "report"


def test_what_was_written_is_read_again_and_fits_its_schema(folder: Path) -> None:
    document = read(folder)
    conforms("report", document)
    assert {**document, "manifest": []} == json.loads(json.dumps(sample()))
    assert {path.name for path in folder.iterdir()} == {
        "SHA256SUMS", "customer.jsonl", "journal.jsonl", "report.html", "report.json",
    }  # fmt: skip


def test_manifest_says_what_the_files_prove(folder: Path) -> None:
    told = {entry["file"]: entry["told"] for entry in read(folder)["manifest"]}
    assert "2 records, hash chain intact" in told["journal.jsonl"]
    assert "2 lines" in told["customer.jsonl"]
    page = (folder / "report.html").read_text()
    assert all(entry["sha256"] in page for entry in read(folder)["manifest"])


def test_everything_fits_until_something_is_changed(folder: Path) -> None:
    assert altered(folder) == []
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    for name in ("report.json", "report.html", "journal.jsonl"):
        path, whole = folder / name, (folder / name).read_bytes()
        path.write_bytes(whole.replace(b"bergen", b"tromso") if b"bergen" in whole else whole + b"\n")
        assert [problem.split()[0] for problem in altered(folder)] == [name]
        path.write_bytes(whole)
    (folder / "customer.jsonl").unlink()
    assert altered(folder) == ["customer.jsonl is missing"]


def test_a_changed_evidence_file_shows_even_where_the_sums_were_made_anew(folder: Path) -> None:
    (folder / "customer.jsonl").write_bytes(b"{}\n")
    sums = subprocess.run(["sha256sum", "customer.jsonl"], cwd=folder, check=True, capture_output=True).stdout
    (folder / "SHA256SUMS").write_bytes(sums)
    assert altered(folder) == ["customer.jsonl was changed after the report was written"]


def test_a_report_without_a_customer_is_kept_as_well(tmp_path: Path) -> None:
    write(empty(), tmp_path, {})
    conforms("report", read(tmp_path))
    assert altered(tmp_path) == []


@pytest.mark.parametrize("name", ["../journal.jsonl", "a/b", "report.json", ".hidden", ""])
def test_evidence_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        write(sample(), tmp_path / "report", {name: b""})
    assert not (tmp_path / "report").exists()


def test_no_report_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FinalError) as told:
        read(tmp_path)
    assert told.value.slug == "no-report"
