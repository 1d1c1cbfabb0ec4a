"""Bad files, each with what must be said about it: ``# fault: PATH | part of the message | part of the hint``.

The comment stands on the faulty line; ``# fault@N:`` names another line, and ``# fault@0:`` none.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from secondsite.errors import Exit
from secondsite.spec.faults import Fault, SpecFaults
from secondsite.spec.load import load

FILES = sorted((Path(__file__).parent / "spec_faults").glob("*.toml"))
MARK = re.compile(r"# fault(?:@(\d+))?:(.*?)(?=# fault|$)")


class Expected(NamedTuple):
    line: int | None
    path: str
    message: str
    hint: str

    def is_met_by(self, fault: Fault) -> bool:
        return (
            (fault.path, fault.line) == (self.path, self.line)
            and self.message in fault.message
            and self.hint in (fault.hint or "")
        )


def expected_of(file: Path) -> list[Expected]:
    wanted = []
    for number, text in enumerate(file.read_text().splitlines(), 1):
        for match in MARK.finditer(text):
            path, message, *hint = (part.strip() for part in match[2].split("|"))
            line = number if match[1] is None else int(match[1]) or None
            wanted.append(Expected(line, path, message, hint[0] if hint else ""))
    return wanted


def faults_of(file: Path) -> SpecFaults:
    with pytest.raises(SpecFaults) as caught:
        load(file)
    return caught.value


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_a_bad_file_is_told_exactly_what_is_wrong_and_where(file: Path) -> None:
    wanted = expected_of(file)
    found = list(faults_of(file).faults)
    assert wanted, "the file says nothing about its faults"
    unmet = [one for one in wanted if not any(one.is_met_by(fault) for fault in found)]
    assert not unmet, f"not told: {unmet}\ntold: {found}"
    assert len(found) == len(wanted), f"told more than is wrong: {found}"


def test_there_are_enough_bad_files_to_trust_the_messages() -> None:
    assert len(FILES) >= 45


def test_a_file_with_ten_faults_reports_all_ten() -> None:
    faulty = faults_of(Path(__file__).parent / "spec_faults" / "ten_faults.toml")
    assert len(faulty.faults) == 10
    assert "has 10 faults" in str(faulty)
    assert faulty.exit is Exit.USAGE


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_no_message_repeats_a_secret_or_speaks_pydantic(file: Path) -> None:
    told = str(faults_of(file))
    for word in ("bm90IGEgc2VjcmV0", "hunter2", "Input should", "pydantic", "Value error", "not permitted", "lax-or"):
        assert word not in told


def test_faults_are_told_in_the_order_of_the_file() -> None:
    lines = [fault.line or 0 for fault in faults_of(Path(__file__).parent / "spec_faults" / "ten_faults.toml").faults]
    assert lines == sorted(lines)
