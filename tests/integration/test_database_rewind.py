"""A former primary goes back to where the timelines parted, and nothing that only it has is lost unseen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from secondsite.clock import SystemClock
from secondsite.database import lost, promote
from secondsite.database.cluster import Cluster
from secondsite.database.connect import local
from secondsite.database.control import answering
from secondsite.database.controldata import read
from secondsite.database.fence import hold, mark_standby
from secondsite.database.follow import signal as follow
from secondsite.database.node import Node
from secondsite.database.observe import observe
from secondsite.database.old_wal import changed_pages, only_here
from secondsite.database.state import Role, Streaming
from secondsite.database.wal_end import segment
from secondsite.errors import FinalError
from secondsite.events import Note
from tests.integration.database_clusters import ADDRESSES, Pair, pair

LOST = ("never", "arrived", "anywhere")


@pytest.fixture
def hosts() -> Iterator[Pair]:
    with pair() as both:
        yield both


def sql(hosts: Pair, site: str, *statements: str) -> list[Any]:
    found: list[Any] = []
    with local(hosts.nodes[site].cluster) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            found = cursor.fetchall() if cursor.description else []
    return found


def crash(hosts: Pair, site: str) -> None:
    pid = int((hosts.nodes[site].cluster.data / "postmaster.pid").read_text().splitlines()[0])
    children = [
        int(name) for name in (path.name for path in Path("/proc").iterdir()) if name.isdigit() and _parent(name) == pid
    ]
    for process in (pid, *children):
        with contextlib.suppress(ProcessLookupError):  # one that ends by itself, or follows its postmaster
            os.kill(process, signal.SIGKILL)
    cluster = hosts.nodes[site].cluster
    for trace in (cluster.data / "postmaster.pid", *cluster.socket_directory.iterdir()):
        trace.unlink()  # a power cut leaves them too; but there no process has the number that stands in them


def _parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return -1


async def parted(hosts: Pair, *, segments: int = 1, more: Sequence[str] = ()) -> None:
    """Bergen has taken over while oslo, cut off, went on accepting orders until it crashed; the same ones in so many
    WAL files. more: what it did besides."""
    await hosts.primary()
    sql(
        hosts,
        "oslo",
        "CREATE TABLE orders (id serial PRIMARY KEY, what text)",
        "INSERT INTO orders (what) VALUES ('early')",
    )
    await hosts.standby()
    bergen = hosts.nodes["bergen"].cluster
    promote.detach(bergen)
    await promote.drain(bergen, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    for number in range(segments):
        if number:
            sql(hosts, "oslo", "SELECT pg_switch_wal()")
        for what in LOST:
            sql(hosts, "oslo", f"INSERT INTO orders (what) VALUES ('{what}')")
        sql(hosts, "oslo", "BEGIN", "SAVEPOINT s", "UPDATE orders SET what = 'changed' WHERE id = 1", "COMMIT")
    sql(hosts, "oslo", *more)
    await promote.promote(bergen, timeout_seconds=30)
    sql(hosts, "bergen", "INSERT INTO orders (what) VALUES ('late')")
    crash(hosts, "oslo")


@pytest.mark.parametrize("fenced", [False, True], ids=["as it crashed", "held by its guard"])
async def test_it_follows_again_and_what_was_lost_is_written_down(hosts: Pair, fenced: bool) -> None:
    await parted(hosts)
    oslo = hosts.nodes["oslo"]
    if fenced:
        hold(oslo.cluster, "the guard holds this site")
    await hosts.primary("bergen", rewinding=True)
    await hosts.standby("oslo", replace=True)

    state = observe(oslo.cluster)
    assert (state.role, state.streaming) == (Role.STANDBY, Streaming.STREAMING)
    assert hosts.jobs["oslo"].started == [], [e.text for e in hosts.events if isinstance(e, Note)]
    await arrived(hosts, "oslo", [("early",), ("late",)])

    (summary,) = oslo.state.glob("lost/*/lost.json")
    told = json.loads(summary.read_text())
    rows = [json.loads(line) for line in (summary.with_name("rows.jsonl")).read_text().splitlines()]
    assert (told["commits"], told["rows"]) == (4, 4)
    assert sorted(row["row"]["what"] for row in rows) == sorted([*LOST, "changed"])
    assert all(row["table"] == "orders" and row["at"] for row in rows)
    assert summary.stat().st_mode & 0o077 == 0
    notes = [event.text for event in hosts.events if isinstance(event, Note)]
    assert any("4 transactions" in note and str(summary.parent) in note for note in notes)

    assert sql(hosts, "bergen", "SELECT 1 FROM pg_roles WHERE rolname = 'secondsite_rewind'")
    await hosts.primary("bergen")
    assert not sql(hosts, "bergen", "SELECT 1 FROM pg_roles WHERE rolname = 'secondsite_rewind'")
    assert await hosts.standby("oslo") == ()


async def test_what_was_lost_is_read_although_a_full_disk_has_left_segments_allocated_and_empty(hosts: Pair) -> None:
    """Whatever order the folder is read in: they lie before and behind the others."""
    await parted(hosts)
    wal = hosts.nodes["oslo"].cluster.data / "pg_wal"
    real = [path for path in wal.iterdir() if path.is_file()]
    for path in real:
        path.rename(wal.parent / path.name)
    for number in range(0x40, 0x60):
        if number == 0x50:
            for path in real:
                shutil.copy2(wal.parent / path.name, path)
                shutil.chown(path, "postgres")
        empty = wal / f"{1:08X}{0:08X}{number:08X}"
        empty.touch()
        os.truncate(empty, 2**24)
        shutil.chown(empty, "postgres")
    primary = (await hosts.facts("oslo")).primary
    assert primary is not None
    assert len((await only_here(hosts.nodes["oslo"].cluster, 1, dict(primary.forks)[1])).commits) == 4


async def test_what_was_lost_is_read_in_every_segment_behind_the_switch(hosts: Pair) -> None:
    """A first file that is named is not the last one."""
    await parted(hosts, segments=3)
    primary = (await hosts.facts("oslo")).primary
    assert primary is not None
    found = (await only_here(hosts.nodes["oslo"].cluster, 1, dict(primary.forks)[1])).commits
    assert len(found) == 12
    assert len({one.lsn.split("/")[1].zfill(8)[:2] for one in found}) == 3, "they lie in three files of 16 MB"


async def test_what_was_prepared_before_a_promotion_comes_along_and_is_found(hosts: Pair) -> None:
    await hosts.primary()
    sql(hosts, "oslo", "CREATE TABLE orders (what text)", "ALTER SYSTEM SET max_prepared_transactions = 5")
    await hosts.nodes["oslo"].control.stop()
    await hosts.nodes["oslo"].control.start()
    sql(hosts, "oslo", "BEGIN", "INSERT INTO orders VALUES ('one')", "PREPARE TRANSACTION 'pay 1'")
    await hosts.standby()
    bergen = hosts.nodes["bergen"].cluster
    promote.detach(bergen)
    await promote.drain(bergen, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    promoted = await promote.promote(bergen, timeout_seconds=30)
    sql(hosts, "bergen", "BEGIN", "INSERT INTO orders VALUES ('new')", "PREPARE TRANSACTION 'of the new one'")
    (found,) = promote.prepared_transactions(bergen, promoted.next_xid)
    assert len(promote.prepared_transactions(bergen)) == 2, "what is prepared since is its coordinator's"
    assert (found.gid, found.database) == ("pay 1", "postgres") and found.at
    sql(hosts, "bergen", "COMMIT PREPARED 'pay 1'", "ROLLBACK PREPARED 'of the new one'")
    assert promote.prepared_transactions(bergen) == ()


async def test_what_was_committed_in_two_phases_is_lost_too(hosts: Pair) -> None:
    """The record of a COMMIT PREPARED belongs to no transaction: whose rows they are stands in its text."""
    await hosts.primary()
    sql(hosts, "oslo", "ALTER SYSTEM SET max_prepared_transactions = 5")
    await hosts.nodes["oslo"].control.stop()
    await hosts.nodes["oslo"].control.start()
    order = ("INSERT INTO orders (what) VALUES ('in two phases')", "SAVEPOINT s", "UPDATE orders SET what = 'both'")
    still = ("BEGIN", "INSERT INTO orders (what) VALUES ('nobody saw it')", "PREPARE TRANSACTION 'bank: 7'")
    back = (
        "BEGIN",
        "INSERT INTO orders (what) VALUES ('back')",
        "PREPARE TRANSACTION 'b'",
        "ROLLBACK PREPARED 'b'",
    )
    await parted(hosts, more=("BEGIN", *order, "PREPARE TRANSACTION 'two'", "COMMIT PREPARED 'two'", *still, *back))
    await hosts.primary("bergen", rewinding=True)
    await hosts.standby("oslo", replace=True)
    (summary,) = hosts.nodes["oslo"].state.glob("lost/*/lost.json")
    rows = [json.loads(line) for line in (summary.with_name("rows.jsonl")).read_text().splitlines()]
    told = json.loads(summary.read_text())
    assert told["commits"] == 5
    assert [one["gid"] for one in told["prepared"]] == ["bank: 7"], "promised, and never decided"
    assert any("bank: 7" in event.text for event in hosts.events if isinstance(event, Note))
    assert [row["row"]["what"] for row in rows] == ["both"] * 5, "every row was changed by its subtransaction"


async def test_where_the_wal_behind_the_switch_was_removed_nobody_says_that_nothing_was_lost(hosts: Pair) -> None:
    """It is copied anew then, and what it had is moved aside."""
    await parted(hosts, segments=3, more=("CHECKPOINT",))
    oslo, facts = hosts.nodes["oslo"], await hosts.facts("oslo")
    assert facts.primary is not None
    fork = dict(facts.primary.forks)[1]
    (oslo.cluster.data / "pg_wal" / segment(1, fork, 2**24)).unlink()  # as a slot that was given up leaves it
    with pytest.raises(FinalError) as told:
        await only_here(oslo.cluster, 1, fork)
    assert told.value.slug == "wal-unreadable"
    await hosts.primary("bergen", rewinding=True)
    await hosts.standby("oslo", replace=True)
    assert not list(oslo.state.glob("lost/*/lost.json")), "unknown is not none"
    assert list(oslo.cluster.data.parent.glob("main.aside-*"))
    assert any(isinstance(event, Note) and "cannot be counted" in event.text for event in hosts.events)


async def test_of_a_large_table_only_the_pages_that_were_changed_are_read(
    hosts: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost, "_ALL_PAGES", "the whole of {} shall not be read, for %s")
    await hosts.primary()
    create = "CREATE TABLE large AS SELECT n AS id, repeat('x', 400) AS what FROM generate_series(1, 5000) n"
    sql(hosts, "oslo", create, "ALTER TABLE large ADD PRIMARY KEY (id)", "VACUUM (FREEZE, ANALYZE) large")
    await hosts.standby()
    bergen, oslo = (hosts.nodes[site].cluster for site in ("bergen", "oslo"))
    promote.detach(bergen)
    await promote.drain(bergen, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    sql(hosts, "oslo", "UPDATE large SET what = 'changed' WHERE id IN (1, 2500)", "INSERT INTO large VALUES (0, 'new')")
    sql(hosts, "oslo", "DELETE FROM large WHERE id = 5")
    await promote.promote(bergen, timeout_seconds=30)
    await hosts.nodes["oslo"].control.stop()
    primary = (await hosts.facts("oslo")).primary
    assert primary is not None
    control, fork = await read(oslo), dict(primary.forks)[1]
    found, changed = await only_here(oslo, 1, fork), changed_pages(oslo, control, fork)
    assert changed is not None
    hold(oslo, "read before it is rewound")
    await hosts.nodes["oslo"].control.start()
    await answering(oslo, seconds=20)
    node = hosts.nodes["oslo"]
    kept = lost.write(oslo, found, node.state, SystemClock(), generation=1, secret=node.passfile, touched=changed)
    rows = [json.loads(line)["row"] for line in (kept.folder / "rows.jsonl").read_text().splitlines()]
    assert sorted((row["id"], row["what"]) for row in rows) == [(0, "new"), (1, "changed"), (2500, "changed")]
    assert kept.commits == 3


async def test_a_primary_that_was_stopped_in_good_order_follows_and_keeps_no_slot_of_its_time_as_primary(
    hosts: Pair,
) -> None:
    """Nothing is to rewind then, and a slot that nobody uses keeps WAL on the new standby for ever."""
    await hosts.primary()
    await hosts.standby()
    oslo, bergen = (hosts.nodes[site] for site in ("oslo", "bergen"))
    await oslo.control.stop()
    await promote.drain(bergen.cluster, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    await promote.promote(bergen.cluster, timeout_seconds=30)
    mark_standby(oslo.cluster, "fenced")
    await hosts.primary("bergen", rewinding=True)
    await hosts.standby("oslo", replace=True)
    assert observe(oslo.cluster).streaming is Streaming.STREAMING
    assert hosts.jobs["oslo"].started == []
    assert sql(hosts, "oslo", "SELECT slot_name FROM pg_replication_slots") == []


def was_standby_before(oslo: Node, bergen: Node) -> None:
    """Oslo knows whom to follow, as a host does that was a standby once."""
    known = (bergen.cluster.config / "conf.d" / "secondsite.conf").read_text().splitlines()
    follows = next(line for line in known if line.startswith("primary_conninfo"))
    password = oslo.cluster.data.parent / "pgpass-before"
    password.write_text(bergen.passfile.read_text().replace(ADDRESSES["oslo"], ADDRESSES["bergen"]))
    password.chmod(0o600)
    shutil.chown(password, "postgres")
    follows = follows.replace(ADDRESSES["oslo"], ADDRESSES["bergen"]).replace(str(bergen.passfile), str(password))
    (oslo.cluster.config / "conf.d" / "zz-before.conf").write_text(f"{follows}\n")


@pytest.mark.parametrize("held", [True, False], ids=["held", "only marked, or this shows nothing"])
async def test_a_former_primary_that_is_held_follows_nobody_before_it_is_taken_back(hosts: Pair, held: bool) -> None:
    """Nothing is only there, and the new primary lets it in: it would begin to stream the new timeline by itself."""
    await hosts.primary()
    await hosts.standby()
    oslo, bergen = (hosts.nodes[site] for site in ("oslo", "bergen"))
    await oslo.control.stop()
    await promote.drain(bergen.cluster, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    await promote.promote(bergen.cluster, timeout_seconds=30)
    await hosts.primary("bergen", rewinding=True)
    was_standby_before(oslo, bergen)
    (hold if held else mark_standby)(oslo.cluster, "the guard holds this site")
    await oslo.control.start()
    await answering(oslo.cluster, seconds=20)
    await asyncio.sleep(1.5)
    assert (sql(hosts, "oslo", "SELECT pid FROM pg_stat_wal_receiver") == []) is held
    await hosts.standby("oslo", replace=True)
    assert observe(oslo.cluster).streaming is Streaming.STREAMING


async def test_a_rewind_that_cannot_be_done_ends_in_a_new_copy(hosts: Pair) -> None:
    await parted(hosts)
    await hosts.primary("bergen")  # no role for a rewind: pg_rewind is refused
    await hosts.standby("oslo", replace=True)
    assert observe(hosts.nodes["oslo"].cluster).streaming is Streaming.STREAMING
    assert len(hosts.jobs["oslo"].started) == 1
    assert list(hosts.nodes["oslo"].cluster.data.parent.glob("main.aside-*")), "the old cluster is moved aside"
    assert any(isinstance(event, Note) and "cannot be rewound" in event.text for event in hosts.events)
    assert [record["commits"] for record in records(hosts)] == [4], "written once, before the rewind"


async def test_where_no_rewind_is_possible_what_was_lost_is_written_down_before_the_copy(hosts: Pair) -> None:
    await parted(hosts)
    oslo = hosts.nodes["oslo"]
    (oslo.cluster.config / "conf.d" / "zz-hints.conf").write_text("wal_log_hints = off\n")
    await oslo.control.start()  # its control file says from now on that it cannot be rewound
    await oslo.control.stop()
    await hosts.primary("bergen", rewinding=True)
    await hosts.standby("oslo", replace=True)
    assert observe(oslo.cluster).streaming is Streaming.STREAMING
    assert len(hosts.jobs["oslo"].started) == 1, "a copy, and no rewind"
    assert [(record["commits"], record["rows"]) for record in records(hosts)] == [(4, 4)]
    assert any(isinstance(event, Note) and "4 transactions" in event.text for event in hosts.events)


async def test_where_what_was_lost_cannot_be_read_that_is_told_and_the_copy_goes_on(hosts: Pair) -> None:
    await parted(hosts, segments=3, more=("CHECKPOINT",))
    oslo = hosts.nodes["oslo"]
    (oslo.cluster.config / "conf.d" / "zz-hints.conf").write_text("wal_log_hints = off\n")
    await oslo.control.start()
    await oslo.control.stop()
    await hosts.primary("bergen", rewinding=True)
    primary = (await hosts.facts("oslo")).primary
    assert primary is not None
    (oslo.cluster.data / "pg_wal" / segment(1, dict(primary.forks)[1], 2**24)).unlink()
    await hosts.standby("oslo", replace=True)
    assert observe(oslo.cluster).streaming is Streaming.STREAMING
    assert records(hosts) == []
    assert any(isinstance(event, Note) and "could not be written down" in event.text for event in hosts.events)


async def test_who_dies_between_writing_and_rewinding_does_not_have_the_lost_counted_twice(
    hosts: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parted(hosts)
    await hosts.primary("bergen", rewinding=True)

    async def dies(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("secondsite.database.rewind.start", dies)
        with pytest.raises(asyncio.CancelledError):
            await hosts.standby("oslo", replace=True)
    await asyncio.sleep(1.1)  # a folder's name is a second
    await hosts.standby("oslo", replace=True)
    assert observe(hosts.nodes["oslo"].cluster).streaming is Streaming.STREAMING
    assert hosts.jobs["oslo"].started == [], "it was rewound"
    assert [(record["commits"], record["rows"]) for record in records(hosts)] == [(4, 4)]


def records(hosts: Pair) -> list[Any]:
    return [json.loads(one.read_text()) for one in sorted(hosts.nodes["oslo"].state.glob("lost/*/lost.json"))]


async def test_a_rewind_outlives_who_began_it_and_is_finished_by_the_next_run(hosts: Pair) -> None:
    await parted(hosts)
    await hosts.primary("bergen", rewinding=True)
    oslo = hosts.nodes["oslo"]
    begun = asyncio.create_task(hosts.standby("oslo", replace=True))
    marks = oslo.cluster.data.parent
    while not list(marks.glob("*.secondsite-rewind.complete")):
        assert not begun.done()
        await asyncio.sleep(0.01)
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    await oslo.control.stop()
    await hosts.standby("oslo")  # no flag: the decision was taken
    assert observe(oslo.cluster).streaming is Streaming.STREAMING
    assert hosts.jobs["oslo"].started == []
    await arrived(hosts, "oslo", [("early",), ("late",)])


async def arrived(hosts: Pair, site: str, wanted: list[Any]) -> None:
    for _ in range(100):
        if sql(hosts, site, "SELECT what FROM orders ORDER BY id") == wanted:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{site} has {sql(hosts, site, 'SELECT what FROM orders ORDER BY id')}")


async def promoted_twice(hosts: Pair) -> None:
    """Bergen was promoted (timeline 2) and took orders that oslo, which followed it, never received; it crashed before
    its first checkpoint. Oslo was promoted (timeline 3)."""
    await hosts.primary()
    sql(
        hosts,
        "oslo",
        "CREATE TABLE orders (id serial PRIMARY KEY, what text)",
        "INSERT INTO orders (what) VALUES ('early')",
    )
    await hosts.standby()
    oslo, bergen = (hosts.nodes[site] for site in ("oslo", "bergen"))
    await oslo.control.stop()
    await promote.drain(bergen.cluster, patience_seconds=20, progress=lambda *_: None, receiver_gone=True)
    asked = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    ((checkpointer,),) = sql(hosts, "bergen", asked)
    os.kill(checkpointer, signal.SIGSTOP)  # as one whose checkpoint takes long
    await promote.promote(bergen.cluster, timeout_seconds=30)
    await hosts.primary("bergen")
    follow(oslo.cluster.data)
    await hosts.standby("oslo")
    sql(hosts, "bergen", "INSERT INTO orders (what) VALUES ('arrived')")
    await arrived(hosts, "oslo", [("early",), ("arrived",)])
    promote.detach(oslo.cluster)
    await promote.drain(oslo.cluster, patience_seconds=20, progress=lambda *_: None, receiver_gone=True)
    for number in range(5):
        sql(hosts, "bergen", f"INSERT INTO orders (what) VALUES ('acknowledged {number}')")
    crash(hosts, "bergen")
    await promote.promote(oslo.cluster, timeout_seconds=30)
    sql(hosts, "oslo", "INSERT INTO orders (what) VALUES ('late')")


@pytest.mark.parametrize("held", [False, True], ids=["as it crashed", "started and held by its guard"])
async def test_what_a_promoted_primary_took_before_its_first_checkpoint_is_found(hosts: Pair, held: bool) -> None:
    """Its control file still names the timeline before; so does pg_rewind, which would look for the wrong fork."""
    await promoted_twice(hosts)
    bergen = hosts.nodes["bergen"]
    if held:
        hold(bergen.cluster, "the guard holds this site")
        await bergen.control.start()
        await answering(bergen.cluster, seconds=20)
    control = await read(bergen.cluster)
    assert (control.timeline, control.generation) == (1, 2), "or this shows nothing: there was a checkpoint"
    await hosts.primary("oslo", rewinding=True)
    plan = await hosts.standby("bergen", replace=True, dry_run=True)
    assert any("5 transactions are only here" in change.diff for change in plan), plan
    hosts.jobs["bergen"].started.clear()  # it was seeded once
    await hosts.standby("bergen", replace=True)

    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    await arrived(hosts, "bergen", [("early",), ("arrived",), ("late",)])
    (summary,) = bergen.state.glob("lost/*/lost.json")
    told = json.loads(summary.read_text())
    assert (told["generation"], told["commits"], told["rows"]) == (2, 5, 5)
    rows = [json.loads(line)["row"]["what"] for line in summary.with_name("rows.jsonl").read_text().splitlines()]
    assert sorted(rows) == [f"acknowledged {number}" for number in range(5)]
    assert hosts.jobs["bergen"].started == [], [e.text for e in hosts.events if isinstance(e, Note)]


SEGMENT, PAGE = 2**24, 8192


def overwrite(cluster: Cluster, position: int, content: bytes, *, timeline: int = 1) -> None:
    with (cluster.data / "pg_wal" / segment(timeline, position, SEGMENT)).open("r+b") as file:
        file.seek(position % SEGMENT)
        file.write(content)


@pytest.mark.parametrize("starts", [True, False], ids=["started read-only", "it does not start"])
async def test_damaged_wal_is_not_taken_for_its_end_and_what_lies_behind_is_kept_aside(
    hosts: Pair, starts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pg_waldump says the same of both."""
    settings = hosts.nodes["oslo"].cluster.config / "conf.d" / "zz-checkpoint.conf"
    settings.write_text("max_wal_size = 1GB\n")  # a checkpoint behind the damage may keep it from starting
    await parted(hosts, segments=3)
    oslo, primary = hosts.nodes["oslo"], (await hosts.facts("oslo")).primary
    assert primary is not None
    since = dict(primary.forks)[1]
    before = await only_here(oslo.cluster, 1, since)
    assert (len(before.commits), before.complete) == (12, True)
    overwrite(oslo.cluster, since - since % SEGMENT + SEGMENT + 100, b"\xff" * 64)
    found = await only_here(oslo.cluster, 1, since)
    assert (len(found.commits), found.complete) == (4, False)

    await hosts.primary("bergen", rewinding=True)
    plan = await hosts.standby("oslo", replace=True, dry_run=True)
    assert any("at least 4 transactions are only here" in change.diff for change in plan), plan
    if not starts:

        async def dies(*_: object) -> None:
            raise FinalError("it does not answer", slug="database-not-answering")

        monkeypatch.setattr("secondsite.database.only_here._read_only", dies)
    await hosts.standby("oslo", replace=True)
    assert observe(oslo.cluster).streaming is Streaming.STREAMING
    assert [(one["commits"], one["rows"], one["complete"]) for one in records(hosts)] == [(4, 4 * starts, False)]
    assert list(oslo.cluster.data.parent.glob("main.aside-*")), "the old cluster is moved aside, and not written over"
    notes = [event.text for event in hosts.events if isinstance(event, Note)]
    assert any("at least 4 transactions" in note for note in notes)
    assert any("cannot be rewound" in note and "damaged" in note for note in notes)


async def test_where_the_wal_ends_by_a_crash_is_not_taken_for_damage(hosts: Pair) -> None:
    """Zeros, a file that was recycled, and a record that was written in part: over pages, and into the next file."""
    large = "SELECT pg_logical_emit_message(true, 'large', repeat('x', 100000))"
    await parted(hosts, segments=2, more=(large, "INSERT INTO orders (what) VALUES ('behind it')"))
    oslo, primary = hosts.nodes["oslo"].cluster, (await hosts.facts("oslo")).primary
    assert primary is not None
    since, wal = dict(primary.forks)[1], oslo.data / "pg_wal"
    second = wal / segment(1, since + SEGMENT, SEGMENT)
    written = second.read_bytes()
    base = since - since % SEGMENT + SEGMENT
    begins = base + written.index(b"large\0xxxx")

    async def left(content: bytes) -> tuple[int, bool]:
        second.write_bytes(content)
        found = await only_here(oslo, 1, since)
        return len(found.commits), found.complete

    assert await left(written) == (10, True)
    cut = begins % SEGMENT // PAGE * PAGE + 3 * PAGE
    assert await left(written[:cut].ljust(SEGMENT, b"\0")) == (8, True), "zeros behind a part of a record"
    assert await left(written[:cut] + (b"\x10\xd1" + b"\1" * 8190) * ((SEGMENT - cut) // PAGE)) == (8, True)
    hole = written[: cut + 5] + b"\xff" * 64 + written[cut + 69 :]
    assert await left(hole) == (8, False), "the rest of it was written, and more behind it"
    hole = written[: cut + 500] + b"\xff" * 64 + written[cut + 564 :]
    assert await left(hole) == (8, False), "nothing but its checksum says so"
    assert await left(b"\0" * SEGMENT) == (4, True)
    second.unlink()
    assert (await only_here(oslo, 1, since)).complete


@pytest.mark.parametrize("known", [True, False], ids=["its history tells", "its history is gone"])
async def test_a_site_that_was_promoted_beside_the_primary_is_not_given_up_unseen(hosts: Pair, known: bool) -> None:
    """Its timeline is none of the primary's: a person has opened that one again."""
    await hosts.primary()
    sql(hosts, "oslo", "CREATE TABLE orders (id serial PRIMARY KEY, what text)")
    await hosts.standby()
    bergen = hosts.nodes["bergen"]
    promote.detach(bergen.cluster)
    await promote.drain(bergen.cluster, patience_seconds=10, progress=lambda *_: None, receiver_gone=True)
    await promote.promote(bergen.cluster, timeout_seconds=30)
    sql(hosts, "bergen", "INSERT INTO orders (what) VALUES ('acknowledged at bergen')", "CHECKPOINT")
    await bergen.control.stop()
    if not known:
        (bergen.cluster.data / "pg_wal" / "00000002.history").unlink()
    plan = await hosts.standby("bergen", replace=True, dry_run=True)
    told = "1 transactions are only here" if known else "cannot be counted"
    assert any(told in change.diff for change in plan), plan
    await hosts.standby("bergen", replace=True)
    assert observe(bergen.cluster).streaming is Streaming.STREAMING
    notes = [event.text for event in hosts.events if isinstance(event, Note)]
    assert any(("1 transactions" if known else "cannot be counted") in note for note in notes), notes
    rows = [
        json.loads(line)
        for file in bergen.state.glob("lost/*/rows.jsonl")
        for line in file.read_text().split("\n")[:-1]
    ]
    assert [row["row"]["what"] for row in rows] == (["acknowledged at bergen"] if known else [])
