"""Libraries for another Python are fetched once, also where two ask for them at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondsite.remote import foreign


def test_who_fetches_what_another_run_has_fetched_meanwhile_takes_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = 0

    def resolve(version: str, arch: str, work: Path) -> None:
        nonlocal fetched
        fetched += 1
        (work / "tree").mkdir()
        (work / "tree" / "library.py").write_text("ours")
        if fetched == 1:  # somebody else is quicker
            assert foreign.foreign_libraries(version, arch, tmp_path).is_dir()

    monkeypatch.setattr(foreign, "_resolve", resolve)
    found = foreign.foreign_libraries("3.13", "x86_64", tmp_path)
    assert fetched == 2 and (found / "library.py").read_text() == "ours"
    assert [each.name for each in (tmp_path / "foreign").iterdir()] == [found.name], "nothing is left behind"
