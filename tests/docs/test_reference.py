"""The reference says what the code says: every command, option, key of the file, and error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from scripts.reference import commands, errors, readiness
from scripts.reference.pages import REFERENCE
from scripts.reference.pages import pages as made
from secondsite.cli import main
from secondsite.cli.explanations import everything
from secondsite.cli.render import see
from secondsite.errors import Exit
from secondsite.objectives.checks import CHECKS
from secondsite.objectives.finding import PAGE
from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.failover.plan import STEPS as FAILOVER
from secondsite.recovery.step import Step
from secondsite.recovery.switchover.plan import STEPS as SWITCHOVER
from secondsite.spec import Spec
from secondsite.spec.load import loads

pages = cache(made)  # it takes seconds


@pytest.mark.parametrize("name", ["commands.md", "file.md", "errors.md", "readiness.md"])
def test_page_is_as_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text() == pages()[name], "make reference"


def test_every_exit_code_is_in_the_reference_and_in_its_decision_record() -> None:
    own = {*map(int, Exit), main.BUG, main.INTERRUPTED, main.NOBODY_READS}
    assert {int(code) for code, _ in commands.EXIT_CODES} == own
    record = (REFERENCE.parent / "adr" / "0010-exit-codes.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", record, re.MULTILINE)} == own


def test_every_command_and_option_is_there() -> None:
    text = pages()["commands.md"]
    for title, app in commands.programs().items():
        for name, command, shown in commands.leaves(app):
            assert f"## {title} {name}\n" in text or not shown
            assert f"`{title} {name}" in text or shown
            for argument in commands.arguments(command):
                names = argument.names if argument.index is None else [argument.name.lstrip("-").upper()]
                assert all(name in text for name in names)


def test_every_command_of_the_table_is_known_to_the_parser() -> None:
    from secondsite.cli.main import COMMANDS

    known = {name.split()[0] for name, _, _ in commands.leaves(commands.programs()["secondsite"])}
    assert {command.name for command in COMMANDS} == known


def test_every_key_of_the_file_is_there() -> None:
    text = pages()["file.md"]
    sections = text.split("\n## ")[1:]
    for model, key in _keys(Spec):
        assert any(f"| `{key}` |" in section for section in sections), f"{model}.{key}"
    for name in Spec.model_fields:
        assert f"[{name}" in text


def _keys(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Every key of every section below the whole file."""
    for name, field in model.model_fields.items():
        inner = list(_models(field.annotation))
        if model is not Spec:
            yield model.__name__, name
        for section in inner:
            yield from _keys(section)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def test_every_error_is_explained() -> None:
    assert errors.unexplained() == [], "explain them in src/secondsite/errors.toml, then: make reference"


def test_no_explanation_is_left_over() -> None:
    assert set(errors.explanations()) == {raised.slug for raised in errors.raised_in_code()}


def test_every_error_has_an_exit_code_and_words() -> None:
    raised = list(errors.raised_in_code())
    for slug, told in errors.explanations().items():
        assert set(told) <= {"meaning", "do", "exit"}
        assert told["meaning"].endswith((".", "?")) and told["do"].endswith((".", "?")), slug
        assert errors.exits_of(told, [place for place in raised if place.slug == slug]), f"{slug}: add exit"


def test_the_printed_address_leads_to_the_error() -> None:
    """What a message ends with can be typed, and says for each error what the page says."""
    page = (REFERENCE / "errors.md").read_text()
    told = {one.name: one for one in everything() if one.kind == "error"}
    for slug in {raised.slug for raised in errors.raised_in_code()}:
        *_, command, name = see(slug).split()
        assert (command, name) == ("explain", slug)
        assert f"\n## {slug}\n\n{told[slug].meaning}\n\n**What to do:** {told[slug].do}\n" in page
    assert not (REFERENCE / "errors.toml").exists(), "errors are explained in src/secondsite/errors.toml"


def test_the_address_of_a_finding_leads_to_it() -> None:
    assert REFERENCE.parents[1] / PAGE == REFERENCE / "readiness.md"
    headings = {line.removeprefix("## ") for line in (REFERENCE / "readiness.md").read_text().splitlines()}
    assert {check.name for check in CHECKS} <= headings
    explained = {one.name for one in everything() if one.kind != "error"}
    assert explained <= headings
    assert {check.name for check in CHECKS} | {name for name, *_ in readiness.residency_rules()} == explained


@pytest.mark.parametrize(("heading", "steps"), [("## Failover", FAILOVER), ("## Switchover", SWITCHOVER)])
def test_the_picture_of_a_procedure_shows_its_steps(heading: str, steps: Sequence[type[Step]]) -> None:
    text = (REFERENCE.parent / "explanation" / "recovery-sequence.md").read_text()
    begin = text.index("```mermaid", text.index(f"{heading}\n"))
    picture = text[begin : text.index("```\n", begin)]
    drawn = set(re.findall(r"([a-z-]+)(?:{{.*?}})? --> ([a-z-]+)", picture))
    assert {step.name for step in steps} == {name for edge in drawn for name in edge}
    assert {(need, step.name) for step in steps for need in step.needs} <= drawn


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-demo.md"])
def test_a_shown_failover_has_its_steps_in_their_order(page: str) -> None:
    shown = (REFERENCE.parents[1] / page).read_text().partition("What was done")[2].partition("```")[0]
    titles = [step.title for step in FAILOVER if step is not SendClientsHere]  # the demo has no PgBouncer
    assert re.findall("|".join(map(re.escape, titles)), shown) == titles


def test_the_example_is_sound() -> None:
    path = REFERENCE / "example.toml"
    assert loads(path.read_bytes(), Path("secondsite.toml")).warnings == ()
