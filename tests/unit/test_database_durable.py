"""A copy and a rewind are called complete once everything is on disk, wherever it lies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from secondsite.database.basebackup import _COPY
from secondsite.database.rewind import _REWIND

NOTED = '#!/bin/sh\nfor one in "$@"; do echo "$one"; done >> "$SYNCED"\n[ -z "$BROKEN" ] || [ "$2" != "$BROKEN" ]\n'


def run(script: str, folder: Path, *, broken: Path | None = None) -> tuple[int, list[str]]:
    data, mark, synced = folder / "main", folder / "complete", folder / "synced"
    (data / "pg_tblspc").mkdir(parents=True)
    for name, target in (("pg_wal", "wal"), ("pg_tblspc/16500", "space"), ("pg_tblspc/16501", "gone")):
        if target != "gone":
            (folder / target).mkdir()
        (data / name).symlink_to(folder / target)
    (folder / "sync").write_text(NOTED)
    (folder / "sync").chmod(0o755)
    names = [str(data), str(mark)] if script is _COPY else ["sh", str(mark), str(data)]
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "SYNCED": str(synced), "BROKEN": str(broken or "")}
    done = subprocess.run(["/bin/sh", "-c", script, *names, "true"], env=environment, check=False)
    places = [line.removeprefix(f"{folder}/") for line in synced.read_text().splitlines() if line != "-f"]
    return done.returncode, places


@pytest.mark.parametrize("script", [_COPY, _REWIND], ids=["copy", "rewind"])
def test_wal_and_tablespaces_on_other_file_systems_are_on_disk_before_the_mark(tmp_path: Path, script: str) -> None:
    assert run(script, tmp_path) == (0, ["main", "main/pg_wal", "main/pg_tblspc/16500", "complete"])
    assert (tmp_path / "complete").exists()


@pytest.mark.parametrize("script", [_COPY, _REWIND], ids=["copy", "rewind"])
def test_nothing_is_called_complete_that_could_not_be_brought_to_disk(tmp_path: Path, script: str) -> None:
    code, places = run(script, tmp_path, broken=tmp_path / "main" / "pg_wal")
    assert code != 0 and places == ["main", "main/pg_wal"]
    assert not (tmp_path / "complete").exists()
