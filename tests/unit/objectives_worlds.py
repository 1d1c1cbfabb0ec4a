"""Worlds for the laws of objectives: any two sites, in any trouble."""

from __future__ import annotations

from hypothesis import strategies as st

from secondsite.database.commit_wait import names
from secondsite.database.state import DatabaseState, Follower, Role, SlotState, Streaming
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.files.state import FileSetState, FilesStatus
from secondsite.objectives.snapshot import CommitWait, LastPrimary, Silence, SiteState, SiteView, UnitState
from secondsite.spec import Spec
from secondsite.tunnel.state import TunnelState

NOW = 1_800_000_000.0
SITE = {"operator": "Example AS", "country": "NO", "location": [60, 10]}
FILE = {
    "service": {"name": "shop", "units": ["shop.service"], "health": "http://127.0.0.1:8000/"},
    "objectives": {"rpo": "10s", "rto": "1m"},
    "sites": {
        "oslo": SITE | {"ssh": "root@192.0.2.11", "public": "192.0.2.11"},
        "bergen": SITE | {"ssh": "root@198.51.100.11", "public": "198.51.100.11"},
    },
    "tunnel": {"network": "10.10.0.0/24"},
    "database": {"cluster": "15/main", "max_slot_wal": "1GB"},
    "files": [{"name": "uploads", "path": "/srv/uploads"}],
    "dns": [{"zone": "example.no", "name": "shop", "server": "203.0.113.53", "ttl": 60}],
}
SPEC = Spec.model_validate(FILE)


def spec(**database: object) -> Spec:
    """The same with other keys in [database]."""
    return Spec.model_validate(FILE | {"database": {"cluster": "15/main", "max_slot_wal": "1GB"} | database})


SETTINGS = (
    ("max_connections", "100"),
    ("wal_log_hints", "on"),
    ("data_checksums", "off"),
    ("full_page_writes", "on"),
    ("max_slot_wal_keep_size", "953MB"),
    ("synchronous_standby_names", ""),
    ("synchronous_commit", "on"),
)
SYNCHRONOUS = (*SETTINGS[:-2], ("synchronous_standby_names", names("bergen")), ("synchronous_commit", "on"))


def primary(**more: object) -> DatabaseState:
    """A healthy primary."""
    slot = SlotState("secondsite_bergen", True, "reserved", 10**9)
    return DatabaseState(**{
        "role": Role.PRIMARY, "system_identifier": "7", "timeline": 1, "flushed": 1000, "heartbeat_at": NOW - 0.2,
        "slots": (slot,), "settings": SETTINGS, **more,
    })  # type: ignore[arg-type]  # fmt: skip


def standby(**more: object) -> DatabaseState:
    """Its standby, streaming."""
    return DatabaseState(**{
        "role": Role.STANDBY, "system_identifier": "7", "timeline": 1, "received": 1000, "replayed": 1000,
        "streaming": Streaming.STREAMING, "heartbeat_at": NOW - 0.8, "primary_flushed": 1000,
        "primary_told_at": NOW - 0.8, "settings": SETTINGS, **more,
    })  # type: ignore[arg-type]  # fmt: skip


def follower(**more: object) -> Follower:
    """Bergen's connection, as oslo sees it."""
    return Follower(**{
        "name": "bergen", "state": "streaming", "sync_state": "sync", "flushed": 1000, "replied_at": NOW - 0.1, **more,
    })  # type: ignore[arg-type]  # fmt: skip


def in_step(**more: object) -> SiteState:
    """Oslo, whose commits wait for bergen."""
    database = primary(followers=(follower(),), settings=SYNCHRONOUS)
    return site("oslo", **{"database": database, "commits": CommitWait(True, 0.4, True), **more})  # type: ignore[arg-type]


def site(name: str, database: DatabaseState, **more: object) -> SiteState:
    """A site where everything else is well."""
    files = FilesStatus.SOURCE if database.writable else FilesStatus.CURRENT
    answer = ServerAnswer("203.0.113.53", ("192.0.2.11",), 60, 1)
    return SiteState(**{
        "site": name, "taken_at": NOW, "version": "1", "agent_running": True, "config_hash": "h",
        "database": database, "tunnel": TunnelState(up=True, last_handshake_at=NOW - 30),
        "files": (FileSetState("uploads", files, None if database.writable else NOW - 2.0),),
        "units": (UnitState("shop.service", "active" if database.writable else "inactive"),),
        "dns": (RecordState("example.no", "shop", (answer,), "oslo"),),
        "active": database.writable, "disk_free_bytes": 10**11, "healthy": True if database.writable else None,
        "peer_clock_offset": 0.0, **more,
    })  # type: ignore[arg-type]  # fmt: skip


def well() -> dict[str, SiteView]:
    """Both sites, nothing wrong."""
    return {"oslo": site("oslo", primary()), "bergen": site("bergen", standby())}


def instants() -> st.SearchStrategy[float | None]:
    """Moments about now, and none."""
    return st.none() | st.floats(NOW - 10_000, NOW + 5)


def positions() -> st.SearchStrategy[int | None]:
    """Positions, and none."""
    return st.none() | st.integers(0, 10**6)


def databases() -> st.SearchStrategy[DatabaseState]:
    """Any cluster."""
    return st.builds(
        DatabaseState,
        role=st.sampled_from(Role),
        system_identifier=st.sampled_from([None, "7", "8"]),
        timeline=st.none() | st.integers(1, 3),
        flushed=positions(),
        received=positions(),
        replayed=positions(),
        streaming=st.sampled_from(Streaming),
        replay_paused=st.booleans(),
        heartbeat_at=instants(),
        primary_flushed=positions(),
        primary_told_at=instants(),
        followers=st.sampled_from([(), (follower(),), (follower(sync_state="async"),)]),
        settings=st.sampled_from([(), SETTINGS, SYNCHRONOUS]),
    )


def states(name: str) -> st.SearchStrategy[SiteState]:
    """Any site that answers."""
    copies = st.builds(
        FileSetState, name=st.just("uploads"), status=st.sampled_from(FilesStatus), complete_at=instants()
    )
    lasts = st.builds(
        LastPrimary,
        at=st.floats(NOW - 1000, NOW),
        flushed=st.integers(0, 10**6),
        timeline=st.integers(1, 3),
        synchronous=st.booleans(),
        in_step_at=st.none() | st.floats(NOW - 1000, NOW),
    )
    waiting = st.builds(
        CommitWait,
        answers=st.booleans(),
        missing_seconds=st.floats(0, 1000),
        covered=st.booleans(),
        stopped_at=st.none() | st.floats(NOW - 1000, NOW),
    )
    return st.builds(
        site,
        name=st.just(name),
        database=databases(),
        files=st.tuples() | st.tuples(copies),
        last_primary=st.none() | lasts,
        commits=st.none() | waiting,
        active=st.booleans(),
        agent_running=st.booleans(),
        peer_clock_offset=st.none() | st.floats(-5, 5),
    )


def views() -> st.SearchStrategy[dict[str, SiteView]]:
    """Any two sites, silent ones among them."""

    def either(name: str) -> st.SearchStrategy[SiteView]:
        silent = st.builds(
            Silence, site=st.just(name), reason=st.just("no answer"), since=instants(), last=st.none() | states(name)
        )
        return states(name) | silent

    return st.fixed_dictionaries({"oslo": either("oslo"), "bergen": either("bergen")})
