"""What others' programs do wrong: each row of the page names a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/what-goes-wrong.md"
NAMED = re.compile(r"`([a-z/_]+\.py)::(\w+)`")


def test_every_row_names_a_test_that_is_there() -> None:
    rows = [row for row in PAGE.read_text().splitlines() if row.startswith("| ")][2:]
    assert len(rows) >= 18
    for row in rows:
        named = NAMED.findall(row.split(" | ")[-1])
        assert named, row
        for file, test in named:
            tree = ast.parse((ROOT / "tests" / file).read_text())
            defined = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert test in defined, f"{file} has no {test}"
