"""Patterns mean for the stream what they mean for rsync: the real one says which."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from secondsite.files.stream.exclude import Excludes

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
    source, target = tmp_path / "source", tmp_path / "target"
    for name in TREE:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    subprocess.run(["rsync", "-a", f"--exclude={pattern}", "--", f"{source}/", f"{target}/"], check=True, timeout=20)
    excludes = Excludes([pattern])
    kept = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if not excludes.excluded(bytes(path.relative_to(source)), folder=path.is_dir())
    }
    assert kept == {str(path.relative_to(target)) for path in target.rglob("*")}
