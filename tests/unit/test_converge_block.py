"""Our block in somebody else's file: whatever the file holds, the rest of it is never touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.converge.block import Block, begin_line, end_line, with_block
from secondsite.errors import FinalError
from secondsite.events import ignore

LABEL = "database"
LINES = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20).filter(
    lambda row: "secondsite" not in row
)
TEXTS = st.lists(LINES, max_size=8).map(lambda rows: "".join(f"{row}\n" for row in rows))
BODIES = st.lists(LINES, min_size=1, max_size=4).map("\n".join).filter(lambda body: body.strip("\n") != "")


def bare(text: str) -> str:
    """Every file ends its last line after we were there."""
    return text if not text or text.endswith("\n") else f"{text}\n"


@given(TEXTS, BODIES, st.sampled_from(["top", "end"]))
def test_writing_twice_is_writing_once(text: str, body: str, place: str) -> None:
    once = with_block(text, body, LABEL, place=place)  # type: ignore[arg-type]
    assert with_block(once, body, LABEL, place=place) == once  # type: ignore[arg-type]


@given(TEXTS, BODIES, st.sampled_from(["top", "end"]))
def test_removing_gives_back_the_file(text: str, body: str, place: str) -> None:
    assert with_block(with_block(text, body, LABEL, place=place), "", LABEL) == text  # type: ignore[arg-type]


@given(TEXTS, TEXTS, BODIES, BODIES)
def test_a_new_body_stays_where_the_old_one_stood(above: str, below: str, old: str, new: str) -> None:
    block = "".join([f"{begin_line(LABEL)}\n", f"{old}\n", f"{end_line(LABEL)}\n"])
    changed = with_block(above + block + below, new, LABEL)
    assert changed.startswith(above) and changed.endswith(below)
    assert changed.count(begin_line(LABEL)) == 1


@given(TEXTS, BODIES)
def test_a_file_without_a_last_newline_keeps_its_last_line_whole(text: str, body: str) -> None:
    changed = with_block(text.rstrip("\n"), body, LABEL, place="end")
    assert changed.startswith(bare(text.rstrip("\n")))


@pytest.mark.parametrize(
    "text",
    [
        f"{begin_line(LABEL)}\nx\n",
        f"x\n{end_line(LABEL)}\n",
        f"{begin_line(LABEL)}\n{begin_line(LABEL)}\n{end_line(LABEL)}\n",
    ],
)
def test_a_marker_without_its_partner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands"):
        with_block(text, "y", LABEL)


async def test_a_file_keeps_its_own_mode_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "pg_hba.conf"
    path.write_bytes(b"# caf\xe9\nlocal all all peer\n")
    path.chmod(0o640)
    block = Block(path, "host all all 10.10.0.2/32 reject", LABEL, place="top")
    change = await block.plan()
    assert change is not None and "+host all all 10.10.0.2/32 reject" in change.diff
    await block.apply(change, ignore)
    assert await block.plan() is None
    assert path.read_bytes().endswith(b"# caf\xe9\nlocal all all peer\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_uid == os.getuid()


async def test_a_missing_file_is_not_invented(tmp_path: Path) -> None:
    with pytest.raises(FinalError) as missing:
        await Block(tmp_path / "absent", "x", LABEL).plan()
    assert missing.value.slug == "file-missing"


async def test_broken_markers_are_told_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f"{begin_line(LABEL)}\n")
    with pytest.raises(FinalError) as broken:
        await Block(path, "x", LABEL).plan()
    assert broken.value.slug == "markers-broken"
    assert str(path) in (broken.value.hint or "")
