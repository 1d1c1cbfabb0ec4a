"""Plan and apply without hosts: who is primary, what is refused, and a session that ends when nobody is there."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secondsite.cli.bootstrap import phases, preflight, serve, still
from secondsite.cli.bootstrap.consent import agree
from secondsite.cli.bootstrap.lock import hold
from secondsite.cli.bootstrap.look import HostLook, from_json
from secondsite.cli.bootstrap.order import without_repeats
from secondsite.cli.bootstrap.ports import Listener, parse, strangers
from secondsite.cli.bootstrap.program import Program
from secondsite.cli.bootstrap.request import Kind, Phase, Request
from secondsite.cli.bootstrap.request import parse as parse_request
from secondsite.cli.bootstrap.roles import primary_of
from secondsite.cli.bootstrap.total import closing, total
from secondsite.clock import SystemClock
from secondsite.database.facts import ClusterLine, HostFacts
from secondsite.database.seed import Standby
from secondsite.database.state import DatabaseState, Role
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import ChangePlanned, Event, ignore
from secondsite.files.converge import Demoted, Noted
from secondsite.files.parting import Left
from secondsite.recovery import lock as procedure_lock
from secondsite.spec import Spec
from tests.unit import objectives_worlds

SPEC = Spec.model_validate(
    {
        "service": {"name": "shop"},
        "objectives": {"rpo": "1m", "rto": "5m"},
        "sites": {
            name: {"ssh": name, "public": public, "operator": "X AS", "country": "NO", "location": [60, 10]}
            for name, public in (("oslo", "192.0.2.11"), ("bergen", "198.51.100.12"))
        },
        "tunnel": {"network": "10.10.0.0/24"},
        "database": {"cluster": "15/main"},
    }
)


def seen(oslo: str, bergen: str) -> Mapping[str, HostFacts]:
    return {"oslo": HostFacts("oslo", oslo), "bergen": HostFacts("bergen", bergen)}


def asked(role: str, *, replace: bool = False) -> Request:
    return Request(
        Kind.CONVERGE, "bergen", role=role, phase=Phase.UNITS, primary={"system_identifier": "7"}, replace=replace
    )


@pytest.mark.parametrize(
    ("wanted", "now", "identity", "guarded", "stands"),
    [
        (asked("standby"), Role.PRIMARY, "7", False, True),  # it was promoted
        (asked("standby"), Role.PRIMARY, "8", False, False),  # a package's own new cluster
        (asked("standby"), Role.PRIMARY, None, False, False),
        (asked("standby", replace=True), Role.PRIMARY, "7", False, False),  # given up by name
        (asked("standby"), Role.STANDBY, "7", False, False),
        (asked("standby"), Role.ABSENT, None, False, False),
        (asked("primary"), Role.STANDBY, "7", False, True),  # it follows somebody
        (asked("primary"), Role.STANDBY, "7", True, False),  # it is asked about, and opened again
        (asked("primary"), Role.UNKNOWN, None, False, False),  # it restarts
        (asked("primary"), Role.PRIMARY, "7", False, False),
    ],
)
def test_apply_goes_on_only_on_a_host_that_still_has_the_role_it_planned_with(
    wanted: Request, now: Role, identity: str | None, guarded: bool, stands: bool
) -> None:
    state = DatabaseState(now, system_identifier=identity)
    assert (still.objection(wanted, state, None, guarded=guarded) is not None) is stands
    assert "failover to bergen" in (still.objection(wanted, state, "failover to bergen", guarded=guarded) or "")


async def test_a_phase_of_apply_does_not_begin_beside_a_procedure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(still, "PATIENCE_SECONDS", 0.6)
    path = tmp_path / "procedure.lock"
    await still.still_as_planned(SPEC, asked("standby"), path)
    with procedure_lock.hold(path, "failover to bergen", "now"):
        with pytest.raises(FinalError) as refused:
            await still.still_as_planned(SPEC, asked("standby"), path)
        assert (refused.value.slug, refused.value.host, refused.value.step) == ("plan-changed", "bergen", "units")
        waiting = asyncio.create_task(still.still_as_planned(SPEC, asked("standby"), path))
        await asyncio.sleep(0.05)
    await waiting  # the agent's own moment with the lock is waited for


@pytest.mark.parametrize(("oslo", "bergen"), [("primary", "absent"), ("primary", "standby"), ("primary", "stopped")])
def test_the_one_that_accepts_writes_is_primary(oslo: str, bergen: str) -> None:
    assert primary_of(SPEC, seen(oslo, bergen), None) == "oslo"
    assert primary_of(SPEC, seen(bergen, oslo), None) == "bergen"


@pytest.mark.parametrize(
    ("oslo", "bergen", "slug"),
    [
        ("primary", "primary", "two-primaries"),
        ("absent", "absent", "no-cluster"),
        ("stopped", "standby", "no-primary"),
        ("standby", "standby", "no-primary"),
        ("absent", "stopped", "no-primary"),
        ("unknown", "absent", "no-primary"),
    ],
)
def test_anything_else_is_for_a_person(oslo: str, bergen: str, slug: str) -> None:
    with pytest.raises(FinalError) as refused:
        primary_of(SPEC, seen(oslo, bergen), None)
    assert refused.value.slug == slug and refused.value.hint
    assert oslo.replace("absent", "no cluster") in refused.value.message


def test_a_person_may_give_one_of_two_primaries_up() -> None:
    assert primary_of(SPEC, seen("primary", "primary"), "oslo") == "bergen"


def test_the_only_primary_is_never_given_up() -> None:
    with pytest.raises(SecondsiteError) as refused:
        primary_of(SPEC, seen("primary", "standby"), "oslo")
    assert refused.value.slug == "replace-primary"


def test_clusters_of_another_name_are_named() -> None:
    facts = HostFacts("oslo", "absent", clusters=(ClusterLine("17", "main", 5432, "online", "/x"),))
    with pytest.raises(FinalError, match=r"there is 17/main \(online\)"):
        primary_of(SPEC, {**seen("absent", "absent"), "oslo": facts}, None)


LOOK = HostLook("oslo", "key-oslo", HostFacts("oslo", "primary"))
PEER = HostLook("bergen", "key-bergen", HostFacts("bergen", "absent"))


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"taken_ports": (Listener("tcp", 7433, "nginx", "nginx.service"),)}, "port-taken"),
        ({"foreign_tunnel": "/etc/wireguard/wg0.conf"}, "interface-taken"),
        ({"addresses": (("eth1", "10.10.0.9/16"),)}, "network-taken"),
        ({"public_key": "key-bergen"}, "same-host"),
    ],
)
def test_what_would_fail_half_way_is_found_before(change: dict[str, Any], slug: str) -> None:
    assert list(preflight.problems(SPEC, {"oslo": LOOK, "bergen": PEER}, "oslo")) == []
    found = list(preflight.problems(SPEC, {"oslo": replace(LOOK, **change), "bergen": PEER}, "oslo"))
    assert [problem.slug for problem in found] == [slug] and all(problem.hint for problem in found)


def test_a_look_crosses_the_wire_whole() -> None:
    look = replace(LOOK, taken_ports=(Listener("udp", 51820, None, None),), addresses=(("eth0", "192.0.2.11/24"),))
    look = replace(look, as_primary=("file set uploads", "guard"))
    assert from_json(json.loads(json.dumps(look.as_json()))) == look


SS = """udp UNCONN 0 0 0.0.0.0:51820 0.0.0.0:* users:(("nc",pid=41,fd=3))
udp UNCONN 0 0 [::]:51820 [::]:*
tcp LISTEN 0 128 127.0.0.1:7433 0.0.0.0:* users:(("python3",pid=42,fd=3),("python3",pid=43,fd=3))
nonsense
"""


def test_listeners_are_read() -> None:
    assert parse(SS) == [
        ("udp", "0.0.0.0", 51820, "nc", 41),
        ("udp", "[::]", 51820, None, None),
        ("tcp", "127.0.0.1", 7433, "python3", 42),
    ]


def test_our_own_listeners_are_no_strangers() -> None:
    agent = Listener("tcp", 7433, "python3", "secondsite-agent.service")
    tunnel = Listener("udp", 51820, "wireguard-go", "wg-quick@wg0.service")
    other = Listener("tcp", 7434, "rsync", "rsync.service")
    assert strangers((agent, tunnel, other), SPEC, tunnel_is_ours=True, cluster_runs=True) == [other]
    assert strangers((tunnel,), SPEC, tunnel_is_ours=False, cluster_runs=True) == [tunnel]


def test_the_port_of_a_cluster_that_does_not_run_is_free_or_taken() -> None:
    taken = Listener("tcp", 5432, "postgres", "postgresql@17-main.service", "127.0.0.1")
    beside = Listener("tcp", 5432, "pgbouncer", "pgbouncer.service", "192.0.2.12")
    assert strangers((taken, beside), SPEC, tunnel_is_ours=True, cluster_runs=False) == [taken]
    assert strangers((taken, beside), SPEC, tunnel_is_ours=True, cluster_runs=True) == []


def test_requests_are_read_back() -> None:
    request = Request(Kind.CONVERGE, "oslo", "x", "primary", Phase.TUNNEL, "k", {"a": 1}, True, False, ("unit x",))
    assert parse_request(json.dumps(request.as_json())) == request


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"request": "dance"}', '{"request": "observe", "new": 1}'])
def test_lines_that_are_no_request(line: str) -> None:
    with pytest.raises(ValueError):
        parse_request(line)


async def finished(reader: asyncio.StreamReader, *, silence: float) -> list[dict[str, Any]]:
    out = io.StringIO()
    async with asyncio.timeout(5):
        await serve.serve(reader, out, SystemClock(), silence=silence)
    return [json.loads(line) for line in out.getvalue().splitlines()]


async def test_a_session_ends_with_its_input() -> None:
    reader = asyncio.StreamReader()
    reader.feed_eof()
    assert await finished(reader, silence=60) == []


async def test_a_session_ends_when_nobody_speaks() -> None:
    assert await finished(asyncio.StreamReader(), silence=0.05) == []


async def test_work_is_cancelled_when_the_operator_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = asyncio.Event()

    async def slow(*_: object) -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return {}

    monkeypatch.setattr(serve, "answer", slow)
    reader = asyncio.StreamReader()
    reader.feed_data(json.dumps(Request(Kind.OBSERVE).as_json()).encode() + b"\n")
    assert await finished(reader, silence=0.2) == []
    assert cancelled.is_set()


async def test_what_goes_wrong_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serve, "answer", broken)
    reader = asyncio.StreamReader()
    reader.feed_data(b"nonsense\n" + json.dumps(Request(Kind.OBSERVE, "oslo").as_json()).encode() + b"\n")
    told = await finished(reader, silence=0.2)
    assert [event["document"]["error"] for event in told] == ["bad-request", "host-error"]
    assert "No space left" in told[1]["document"]["message"]


def test_a_disruption_that_nobody_agreed_to_stops_the_work() -> None:
    said: list[Event] = []
    check = serve._only_allowed(said.append, ("settings",))
    check(ChangePlanned("settings", "oslo", "x", disrupts="restart"))
    check(ChangePlanned("file", "oslo", "x"))
    with pytest.raises(FinalError) as stopped:
        check(ChangePlanned("tunnel wg0", "oslo", "restart", disrupts="pause"))
    assert stopped.value.slug == "plan-changed" and len(said) == 2


def test_one_apply_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "apply.lock"
    with hold("kari from 192.0.2.1", SystemClock(), lock):
        with pytest.raises(FinalError) as taken, hold("ola", SystemClock(), lock):
            pass
        assert taken.value.slug == "apply-running" and "kari from 192.0.2.1, since 2" in taken.value.message
    with hold("ola", SystemClock(), lock):
        pass


def release(root: Path, name: str, libraries: str) -> None:
    (root / "releases" / name / "bin").mkdir(parents=True)
    (root / "libraries" / libraries).mkdir(parents=True, exist_ok=True)
    (root / "releases" / name / "bin" / "secondsite").write_text(f"join(release, '..', 'libraries', '{libraries}')\n")


async def test_releases_are_swapped_and_old_ones_go(tmp_path: Path) -> None:
    root, command = tmp_path / "opt", tmp_path / "bin" / "secondsite"
    filling = root / "libraries" / "l9.x.partial"
    filling.mkdir(parents=True)
    for number in range(4):
        release(root, f"r{number}", f"l{number // 2}")
        program = Program(f"r{number}", root, command)
        change = await program.plan()
        assert change is not None
        await program.apply(change, ignore)
        assert await program.plan() is None
    assert sorted(path.name for path in (root / "releases").iterdir()) == ["r2", "r3"]
    assert sorted(path.name for path in (root / "libraries").iterdir()) == ["l1", filling.name], "another one's upload"
    assert command.resolve() == root / "releases" / "r3" / "bin" / "secondsite"


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("what?\nyes\n", True), ("\n", False), ("n\n", False)])
async def test_the_loop_goes_on_while_a_person_thinks(
    typed: str, agreed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    monkeypatch.setattr("sys.stdin", os.fdopen(theirs, encoding="utf-8"))
    asked = asyncio.ensure_future(agree("Now?", yes=False))
    await asyncio.sleep(0.05)
    assert not asked.done()
    os.write(ours, typed.encode())
    if agreed:
        await asked
    else:
        with pytest.raises(FinalError) as declined:
            await asked
        assert declined.value.slug == "declined"
    os.close(ours)


def test_a_package_is_announced_once() -> None:
    first = ChangePlanned("packages", "oslo", "install a b", "+a\n+b")
    changes = [first, ChangePlanned("file", "oslo", "x"), ChangePlanned("packages", "oslo", "install b", "+b")]
    assert without_repeats(changes) == changes[:2]
    other = ChangePlanned("packages", "oslo", "install c", "+c")
    assert without_repeats([first, other]) == [first, other]


ROLES = {"oslo": "primary", "bergen": "standby"}
WRITES_FAIL = "PostgreSQL restarts: connections break, and writes fail for some seconds"
PLANNED = [
    ChangePlanned("settings /etc/postgresql/15/main/conf.d/secondsite.conf", "oslo", "update", "", WRITES_FAIL),
    ChangePlanned("unit secondsite-agent.service", "oslo", "restart (its files are newer)"),
    ChangePlanned("settings /etc/postgresql/15/main/conf.d/secondsite.conf", "bergen", "update"),
    ChangePlanned("unit secondsite-agent.service", "bergen", "enable, start"),
]


def test_a_plan_ends_with_how_much_what_restarts_what_users_notice_and_the_command_that_does_it() -> None:
    assert closing(PLANNED, ROLES, "secondsite apply") == [
        "plan: 4 changes: 2 at oslo (primary), 2 at bergen (standby)",
        "restarts: PostgreSQL, secondsite-agent.service at oslo",
        f"users of the service will notice: oslo: {WRITES_FAIL}",
        "next: secondsite apply",
    ]
    assert total(PLANNED, tuple(ROLES))["restarts"] == [
        {"site": "oslo", "what": "PostgreSQL"},
        {"site": "oslo", "what": "secondsite-agent.service"},
    ]


def test_a_plan_that_restarts_nothing_says_that_users_notice_nothing() -> None:
    lines = closing(PLANNED[3:], ROLES, "secondsite apply --replace-standby bergen")
    assert lines[0] == "plan: 1 change: 0 at oslo (primary), 1 at bergen (standby)"
    assert lines[1:3] == ["restarts: nothing", "users of the service will notice: nothing"]
    assert lines[3].endswith("--replace-standby bergen")


async def test_a_site_that_is_given_up_notes_which_generation_the_other_one_left_when_it_took_over() -> None:
    primary = HostFacts("bergen", "primary", timeline=3, forks=((1, 0x3000028), (2, 0x5000A0)))
    now = phases.Situation(objectives_worlds.SPEC, "oslo", "", "standby", primary=primary, replace=True)
    noted = [one.left for one in await phases.resources(Phase.FILES, now) if isinstance(one, Demoted)]
    assert noted and set(noted) == {Left(2, "0/5000A0")}
    never = replace(now, primary=replace(primary, forks=()))
    assert all(one.left is None for one in await phases.resources(Phase.FILES, never) if isinstance(one, Demoted))


async def test_what_only_a_given_up_site_may_have_is_noted_before_its_database_follows_and_the_agent_pulls() -> None:
    primary = HostFacts("bergen", "primary", timeline=2, forks=((1, 0x3000028),))
    now = phases.Situation(objectives_worlds.SPEC, "oslo", "", "standby", primary=primary, replace=True)
    wanted = await phases.resources(Phase.DATABASE, now)
    noted = [at for at, one in enumerate(wanted) if isinstance(one, Noted)]
    (follows,) = (at for at, one in enumerate(wanted) if isinstance(one, Standby))
    assert noted and max(noted) < follows
    assert {one.left for one in wanted if isinstance(one, Noted)} == {Left(1, "0/3000028")}
    kept = await phases.resources(Phase.DATABASE, replace(now, replace=False))
    assert not any(isinstance(one, Noted) for one in kept)
