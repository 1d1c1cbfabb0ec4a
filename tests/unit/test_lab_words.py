"""What people write on the lab's command line, and what the lab writes for secondsite to read."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from secondsite.spec.load import loads
from secondsite_lab import links, network, packages, record, service_file, shape, sources
from secondsite_lab.errors import UsageError
from secondsite_lab.identity import Secrets
from secondsite_lab.lab import Lab, lab_named
from secondsite_lab.record import Record
from secondsite_lab.topology import BERGEN, DIRECTIONS, OSLO, WORLD

SECRETS = Secrets("c2VjcmV0", "password")


@pytest.mark.parametrize("suite", packages.SUITES)
@pytest.mark.parametrize("open_database", [False, True])
def test_the_file_a_lab_writes_is_sound(suite: str, open_database: bool) -> None:
    text = service_file.text(Lab("lab"), Record(suite, "btrfs", [], SECRETS, open_database))
    loaded = loads(text.encode(), Path("secondsite.toml"))
    assert list(loaded.spec.sites) == ["oslo", "bergen"]
    assert ("clients" in tomllib.loads(text)["database"]) is open_database


def test_no_secret_stands_in_the_file() -> None:
    text = service_file.text(Lab("lab"), Record("bookworm", "btrfs", [], SECRETS))
    assert SECRETS.tsig not in text
    assert SECRETS.database_password not in text


@pytest.mark.parametrize("name", ["", "Lab", "a/b", "..", "-x", "9", "a" * 25, "ø"])
def test_a_name_that_cannot_be_part_of_other_names_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        lab_named(name)


def test_quality_is_read_in_the_units_people_use() -> None:
    assert shape.parse("10mbit", "2%", "20ms") == shape.Quality(10_000_000, 0.02, 20.0)
    assert shape.parse("512kbit", None, None) == shape.Quality(512_000)
    assert shape.parse("1.5gbit", None, None) == shape.Quality(1_500_000_000)


@pytest.mark.parametrize(
    "words",
    [
        (None, None, None),
        ("fast", None, None),
        ("10", None, None),
        ("nanmbit", None, None),
        ("0mbit", None, None),
        (None, "200%", None),
        (None, "-1%", None),
        (None, None, "soon"),
    ],
)
def test_quality_that_makes_no_sense_is_refused(words: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError):
        shape.parse(*words)


def test_a_link_is_named_by_two_ends_by_one_or_by_none() -> None:
    assert links.directions("oslo", "bergen") == [(OSLO, BERGEN), (BERGEN, OSLO)]
    assert links.directions("oslo", "bergen", one_way=True) == [(OSLO, BERGEN)]
    assert {host for pair in links.directions("world", None) for host in pair} == {OSLO, BERGEN, WORLD}
    assert all(WORLD in pair for pair in links.directions("world", None))
    assert links.directions(None, None) == list(DIRECTIONS)
    with pytest.raises(UsageError):
        links.directions("oslo", None, one_way=True)


def test_every_direction_has_a_place_in_the_routers_rules() -> None:
    rules = network.rules()
    for source, target in DIRECTIONS:
        assert f"iifname {source.name} ip daddr {target.network} jump {network.loss_chain(source, target)}" in rules


def test_sources_of_a_suite_name_its_archive_updates_and_security() -> None:
    names = [line.split()[-2] for line in sources.lines("trixie")]
    assert names == ["trixie", "trixie-updates", "trixie-security"]


def test_the_record_of_a_newer_lab_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDSITE_LAB_RUNTIME", str(tmp_path))
    lab, written = lab_named("newer"), Record("bookworm", "plain", ["/sys/fs/cgroup"], SECRETS)
    record.write(lab, written)
    lab.record.write_text(json.dumps({**json.loads(lab.record.read_text()), "of_next_year": True}))
    assert record.read(lab) == written
