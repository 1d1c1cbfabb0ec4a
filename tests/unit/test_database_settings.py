"""The text of our settings file, and the reader of PostgreSQL's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondsite.database import conffile
from secondsite.database.settings import Observed, render, wanted
from secondsite.spec import Spec

SITE = {"operator": "Example AS", "country": "NO", "location": [60, 10]}
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
NAMES = st.from_regex(r"[a-z][a-z_]{0,20}(\.[a-z_]{1,10})?", fullmatch=True)


def spec(**database: object) -> Spec:
    return Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "1m", "rto": "5m"},
            "sites": {
                "oslo": SITE | {"ssh": "root@192.0.2.11", "public": "192.0.2.11"},
                "bergen-2": SITE | {"ssh": "root@198.51.100.11", "public": "198.51.100.11"},
            },
            "tunnel": {"network": "10.10.0.0/24"},
            "database": {"cluster": "15/main", "max_slot_wal": "20GB"} | database,
        }
    )


def lines(observed: Observed | None = None, site: str = "bergen-2", **database: object) -> dict[str, str]:
    addresses = {"own_address": "10.10.0.2", "peer_address": "10.10.0.1"}
    return wanted(spec(**database), site, observed or Observed(), passfile="/p", **addresses)


def test_a_standby_is_told_whom_to_follow_and_with_which_slot_but_no_password() -> None:
    found = lines()
    assert found["primary_slot_name"] == "secondsite_bergen_2"
    assert "host=10.10.0.1 " in found["primary_conninfo"]
    assert "application_name=bergen-2" in found["primary_conninfo"]
    assert "passfile=/p" in found["primary_conninfo"]
    assert "password=" not in found["primary_conninfo"]


def test_slot_wal_is_always_limited() -> None:
    assert lines()["max_slot_wal_keep_size"] == "19073MB"
    assert lines(max_slot_wal="1kB")["max_slot_wal_keep_size"] == "1MB", "0 or less would mean something else"


def test_it_listens_where_it_did_and_on_the_tunnel() -> None:
    assert lines()["listen_addresses"] == "localhost,10.10.0.2"
    there = Observed({"listen_addresses": "localhost, 192.0.2.11"})
    assert lines(there)["listen_addresses"] == "localhost,192.0.2.11,10.10.0.2"
    assert lines(Observed({"listen_addresses": "*"}))["listen_addresses"] == "*"
    assert lines(clients=["203.0.113.0/24"])["listen_addresses"] == "*"


def test_logical_decoding_stays_possible_where_it_is() -> None:
    assert lines()["wal_level"] == "replica"
    assert lines(Observed({"wal_level": "logical"}))["wal_level"] == "logical"
    assert lines(Observed({"wal_level": "minimal"}))["wal_level"] == "replica"


def test_logical_slots_are_copied_where_the_file_asks_for_it() -> None:
    asked, silent = lines(cluster="17/main", keep_logical_slots=True), lines(cluster="17/main")
    assert asked["wal_level"] == "logical"
    assert asked["sync_replication_slots"] == asked["hot_standby_feedback"] == "on"
    assert asked["primary_conninfo"].endswith(" dbname=postgres")
    assert "dbname" not in silent["primary_conninfo"] and "sync_replication_slots" not in silent
    assert asked.keys() - silent.keys() == {"sync_replication_slots", "hot_standby_feedback"}


def test_hints_are_logged_unless_checksums_do_it() -> None:
    assert lines()["wal_log_hints"] == "on"
    assert "wal_log_hints" not in lines(Observed(data_checksums=True))


@given(st.integers(0, 500), st.integers(0, 500))
def test_no_minimum_is_ever_lowered_and_none_is_below_the_primarys(here: int, primary: int) -> None:
    observed = Observed({"max_connections": str(here)}, primary={"max_connections": str(primary)})
    assert int(lines(observed).get("max_connections", here)) >= max(here, primary)


@pytest.mark.parametrize(("beneath", "kept"), [("64MB", True), ("1GB", False), ("256MB", False), ("0", True)])
def test_some_wal_is_kept_for_a_returning_primary(beneath: str, kept: bool) -> None:
    assert ("wal_keep_size" in lines(Observed({"wal_keep_size": beneath}))) is kept


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_what_is_written_is_read_back(settings: dict[str, str]) -> None:
    assert dict(conffile.effective(conffile.parse(render(settings)))) == settings


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("port = 5432", "5432"),
        ("port=5432 # comment", "5432"),
        ("PORT 5432", "5432"),
        ("port = '54''32'", "54'32"),
        (r"port = '54\'32'", "54'32"),
        (r"port = 'a\tb\101'", "a\tbA"),
        ("port = 'a # b'  # c", "a # b"),
    ],
)
def test_a_line_is_read_as_postgresql_reads_it(row: str, value: str) -> None:
    assert conffile.effective(conffile.parse(row)) == {"port": value}


def test_includes_are_followed_in_order_and_ours_can_be_left_out(tmp_path: Path) -> None:
    main = tmp_path / "postgresql.conf"
    main.write_text("a = 1\ninclude_dir = 'conf.d'\ninclude_if_exists 'nowhere.conf'\nb = 1\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10.conf").write_text("a = 2\nb = 2\n")
    ours = tmp_path / "conf.d" / "secondsite.conf"
    ours.write_text("a = 3\n")
    assert conffile.effective(conffile.load(main))["a"] == "3"
    found = conffile.load(main, without=[ours])
    assert (conffile.effective(found)["a"], conffile.effective(found)["b"]) == ("2", "1")
    assert conffile.includes_folder(found, tmp_path / "conf.d")
    assert not conffile.includes_folder(found, tmp_path / "other.d")
