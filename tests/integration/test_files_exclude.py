"""Patterns mean for the stream what they mean for rsync: the real one says which."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondsite.files.stream.exclude import Excludes, understood
from secondsite.spec import FileSet

TREE = [
    "a.tmp", "keep", "cache/x", "cache/sub/y", "sub/cache/z", "sub/a.tmp", "sub/deep/er/file", "dir/one", "x/dir/two",
    "foo/bar", "y/foo/bar", "foo/z/bar", "ab", "abc", "sub/abc", "star*/q", "logs/a.log", "logs/b/a.log", "cachex/f",
    "new\nline", ".hidden", "sub/.hidden/f",
]  # fmt: skip
PATTERNS = [
    "*.tmp", "/cache/", "cache/", "cache", "/cache", "dir/***", "/dir/***", "foo/bar", "/foo/bar", "foo/*/bar",
    "foo/**", "**/bar", "**bar", "a?", "a??", "/sub/**/file", "sub/**", "*", "/*", "*/", "logs/*.log", "logs/**.log",
    ".*", "s*b", "keep/", "/x/", "x/***", "**/", "new*", "**/deep/**", "sub/deep/er", "*/cache",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_leaves_out_what_rsync_leaves_out(tmp_path: Path, pattern: str) -> None:
    agree(tmp_path, [pattern])


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        (["keep"], ["*"]),
        (["/sub/", "/sub/deep/", "/sub/deep/***"], ["*"]),
        (["*/", "*.log"], ["*"]),
        (["dir/***"], ["*/"]),
        (["/cache/x"], ["/cache/"]),  # its folder is left out, and with it what is in it
        (["/cache/", "/cache/x"], ["/cache/*"]),
        (["/cache/x"], ["/cache/*"]),
        (["**/deep/**"], ["sub/**"]),
        (["a.tmp"], ["*.tmp", "sub"]),
        (["star*/"], ["s*"]),
        (["foo/**/bar"], ["bar"]),
        (["logs/**.log"], ["*.log", ".*"]),
    ],
)
def test_what_is_included_stays_as_with_rsync(tmp_path: Path, include: list[str], exclude: list[str]) -> None:
    """rsync is asked in its own words: --include first, then --exclude."""
    words = FileSet.model_construct(include=tuple(include), exclude=tuple(exclude))
    plainly = [*(f"--include={one}" for one in include), *(f"--exclude={one}" for one in exclude)]
    agree(tmp_path, words.patterns, plainly)


PIECES = ["*", "**", "?", "/", "a", "sub", "deep", "cache", "foo", "bar", ".tmp", ".log", "x", "/***", "dir", "+", "#"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join), max_size=3),
    st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join), max_size=3),
)
def test_whatever_is_included_and_excluded_the_stream_answers_as_rsync(include: list[str], exclude: list[str]) -> None:
    include, exclude = ([one for one in each if understood([one])] for each in (include, exclude))
    words = FileSet.model_construct(include=tuple(include), exclude=tuple(exclude))
    with tempfile.TemporaryDirectory() as folder:
        agree(Path(folder), words.patterns)


def agree(tmp_path: Path, patterns: Sequence[str], plainly: Sequence[str] = ()) -> None:
    """As the stream reads them, as rsync is given them, and in ``plainly`` rsync's own words."""
    source, target = tmp_path / "source", tmp_path / "target"
    for name in TREE:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    given = [f"--exclude={one}" for one in patterns]
    subprocess.run(["rsync", "-a", *given, "--", f"{source}/", f"{target}/"], check=True, timeout=20)
    if plainly:
        other = ["rsync", "-an", "--delete", "--out-format=%i %n", *plainly, "--", f"{source}/", f"{target}/"]
        assert subprocess.run(other, check=True, timeout=20, capture_output=True, text=True).stdout == ""
    excludes = Excludes(patterns)
    kept = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if not excludes.excluded(bytes(path.relative_to(source)), folder=path.is_dir())
    }
    assert kept == {str(path.relative_to(target)) for path in target.rglob("*")}
