"""`make setup` installs what the program and its lab look for, and the documents say the same."""

from __future__ import annotations

import re

from secondsite_lab import preflight
from tests.docs.markdown import ROOT


def test_setup_installs_what_the_lab_looks_for() -> None:
    script = (ROOT / "scripts" / "setup.sh").read_text()
    wanted = set(re.search(r"WANTED=\(\n(.*?)\n\)", script, re.DOTALL)[1].split())  # type: ignore[index]
    assert {f"{program}:{package}" for program, package in preflight._PACKAGE_OF.items()} <= wanted


def test_every_make_target_is_listed() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = {
        name
        for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
        for name in line.split()
        if "$" not in name
    }
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    needed += [text for group in project["dependency-groups"].values() for text in group]
    decision = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text()
    names = {re.split(r"[\[<>=~!;]", text)[0].strip() for text in needed}
    assert [name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", decision)] == []
