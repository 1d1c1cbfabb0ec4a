"""Loading: what a sound file gives, and that nothing in a file can surprise the program."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secondsite.errors import UsageError
from secondsite.spec import Spec
from secondsite.spec.crosscheck import crosscheck
from secondsite.spec.draft import draft_of, salvage
from secondsite.spec.explain import explain
from secondsite.spec.faults import SpecFaults
from secondsite.spec.load import load, loads
from secondsite.spec.ssh import split_destination

GOOD = """\
[service]
name = "shop"
units = ["shop.service"]
health = "http://127.0.0.1:8000/health"

[objectives]
rpo = "1m"
rto = "5m"

[sites.oslo]
ssh = "root@192.0.2.11"
public = "192.0.2.11"
operator = "Example Hosting AS"
country = "NO"
location = [59.91, 10.75]
power = { off = ["power", "off", "oslo"] }
fence = [["fence", "oslo"]]

[sites.bergen]
ssh = "root@198.51.100.11:2222"
public = "198.51.100.11"
operator = "Other Hosting AS"
country = "NO"
location = [60.39, 5.32]

[tunnel]
network = "10.10.0.0/24"

[database]
cluster = "15/main"
clients = ["172.16.0.0/16"]

[[files]]
name = "uploads"
path = "/var/www/html/uploads"
bandwidth = "5MB/s"

[[dns]]
zone = "example.no"
name = "shop"
server = "203.0.113.53:5353"
tsig = { name = "shop-key", secret = { file = "/etc/secondsite/tsig.key" } }

[gameday]
url = "https://shop.example.no/"
window = { start = 09:00:00, end = 15:00:00, timezone = "Europe/Oslo" }

[residency]
allowed_countries = ["NO"]
max_distance_km = 400
"""
FILE = Path("secondsite.toml")


def faults_of(text: str | bytes) -> SpecFaults:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(SpecFaults) as caught:
        loads(raw, FILE)
    return caught.value


def test_a_sound_file_gives_its_sections_its_text_and_its_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "secondsite.toml"
    path.write_text(GOOD)
    loaded = load(path)
    assert loaded.spec.site_names == ("oslo", "bergen")
    assert loaded.spec.objectives.rto == 300
    assert str(loaded.spec.tunnel_address("bergen")) == "10.10.0.2"
    assert loaded.text == GOOD
    assert loaded.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert loaded.path == path
    assert loaded.warnings == ()


def test_the_defaults_stand_where_the_file_says_nothing() -> None:
    spec = loads(GOOD.encode(), FILE).spec
    assert (spec.tunnel.port, spec.tunnel.interface, spec.database.mode) == (51820, "wg0", "async")
    assert spec.files[0].max_delete == 0.2
    assert spec.guard.when_nobody_answers == "wait"


def test_a_file_that_cannot_be_read_is_a_usage_error_with_a_next_step(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.toml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read") as caught:
            load(path)
        assert caught.value.hint


def test_a_byte_that_is_not_utf8_is_found_at_its_line() -> None:
    (fault,) = faults_of(b'[service]\nname = "sh\xf8p"\n').faults
    assert (fault.line, fault.message) == (2, "is not UTF-8 text")


def test_a_byte_order_mark_and_windows_line_ends_are_welcome() -> None:
    assert loads(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), FILE).spec.service.name == "shop"


def test_an_unclosed_bracket_is_reported_at_the_end_of_the_file() -> None:
    (fault,) = faults_of('[service]\nunits = [\n  "a.service",\n').faults
    assert fault.line == 3
    assert fault.hint == "a bracket is not closed"


def test_the_error_carries_every_fault_for_programs() -> None:
    document = faults_of(GOOD.replace('"NO"', '"XX"')).as_json()
    assert document["error"] == "bad-file"
    assert document["exit_code"] == 2
    assert [fault["path"] for fault in document["faults"]] == [
        "sites.oslo.country",
        "sites.bergen.country",
        "residency.allowed_countries[0]",
    ]
    json.dumps(document)


def test_what_is_sound_is_salvaged_from_a_broken_file() -> None:
    data = tomllib.loads(GOOD)
    data["sites"]["oslo"]["country"] = "XX"
    data["files"].insert(0, {"name": 3})
    draft = salvage(data)
    assert list(draft.sites) == ["bergen"]
    assert list(draft.files) == [1]
    assert draft.site_names == ("oslo", "bergen")
    assert draft.tunnel is not None


def test_a_sound_file_has_no_contradictions_and_salvages_whole() -> None:
    spec = loads(GOOD.encode(), FILE).spec
    assert crosscheck(draft_of(spec)) == ()
    assert salvage(tomllib.loads(GOOD)) == draft_of(spec)


WARNED = [
    ("location = [60.39, 5.32]", "location = [59.9105, 10.75]", "sites.bergen.location", "56 m apart"),
    ('"Other Hosting AS"', '"example hosting as "', "sites.bergen.operator", "both sites are run by"),
    ('server = "203.0.113.53:5353"', 'server = "192.0.2.11"', "dns[0].server", "stands at oslo"),
    ('tsig = { name = "shop-key", secret = { file = "/etc/secondsite/tsig.key" } }', "", "dns[0].tsig", "not signed"),
    ('network = "10.10.0.0/24"', 'network = "8.8.8.0/24"', "tunnel.network", "is not private"),
    ('health = "http://127.0.0.1:8000/health"', "", "service.health", "no health URL"),
]


@pytest.mark.parametrize(("old", "new", "path", "message"), WARNED, ids=[case[2] for case in WARNED])
def test_what_is_allowed_but_unwise_is_a_warning(old: str, new: str, path: str, message: str) -> None:
    (warning,) = loads(GOOD.replace(old, new).encode(), FILE).warnings
    assert warning.path == path
    assert message in warning.message
    assert warning.line is not None
    assert warning.hint


def test_a_file_without_dns_is_warned_about_and_so_is_an_open_database() -> None:
    text = GOOD.replace("172.16.0.0/16", "0.0.0.0/0").replace("[[dns]]", "[ignored]")
    text = text[: text.index("[ignored]")] + text[text.index("[gameday]") :]
    assert "overlaps tunnel.network" in str(faults_of(text))
    warnings = loads(text.replace("0.0.0.0/0", "172.16.0.0/16").encode(), FILE).warnings
    assert [warning.path for warning in warnings] == ["dns"]


def _places(data: Any, loc: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [loc] if loc else []
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return found + [place for key, value in pairs for place in _places(value, (*loc, key))]


VALUES = st.recursive(
    st.none().map(lambda _none: "") | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["0.0.0.0/0", "::1", "fe80::1%eth0", "1.1.1.1:", "[::1]:5", "//x", "/\u0000", "@", "http://["])
    | st.dates() | st.times() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(st.sampled_from(_places(tomllib.loads(GOOD))), VALUES)
def test_whatever_a_value_is_replaced_by_the_file_is_taken_or_refused_in_words(
    place: tuple[Any, ...], value: object
) -> None:
    data: Any = tomllib.loads(GOOD)
    target = data
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    try:
        spec = Spec.model_validate(data)
    except ValidationError as wrong:
        problems = explain(wrong, data)
        crosscheck(salvage(data))
        assert problems
        for problem in problems:
            assert problem.loc[: len(place)] == place[: len(problem.loc)]
            assert not any(word in problem.message for word in ("Input", "pydantic", "Value error", "valid "))
    else:
        crosscheck(draft_of(spec))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("root@192.0.2.11", ("root", "192.0.2.11", None)),
        ("oslo", (None, "oslo", None)),
        ("me@oslo.example.no:2222", ("me", "oslo.example.no", 2222)),
        ("root@[2001:db8::1]:22", ("root", "2001:db8::1", 22)),
    ],
)
def test_ssh_destinations_are_split_into_user_host_and_port(text: str, parts: tuple[object, ...]) -> None:
    assert split_destination(text) == parts


@pytest.mark.parametrize("text", ["", "-x", "a b", "root@", "host:", "host:0", "host:70000", "user@-x", "a@b@c", "::1"])
def test_what_is_no_ssh_destination_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no SSH destination"):
        split_destination(text)


@pytest.mark.parametrize("bare", ["10s", "1h30m", "500MB", "20GiB", "5MB/s", "20%", "1.5h  # a comment"])
def test_a_quantity_without_quotes_is_shown_with_them(bare: str) -> None:
    with pytest.raises(SpecFaults) as caught:
        loads(f"[files]\nmuch = {bare}\n".encode(), Path("x"))
    (fault,) = caught.value.faults
    assert fault.line == 2 and (fault.hint or "").endswith(f'much = "{bare.split()[0]}"')


def test_other_faults_keep_their_own_hint() -> None:
    with pytest.raises(SpecFaults) as caught:
        loads(b"name = shop\n", Path("x"))
    assert 'name = "shop"' in (caught.value.faults[0].hint or "") and "durations" not in str(caught.value)
