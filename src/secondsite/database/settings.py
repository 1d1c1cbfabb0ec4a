"""What our own file in conf.d says: a pure function of the specification and what was observed.

The text is the same whichever role a site has at the moment, but for the minimums a standby needs, so a change of
roles rewrites nothing. ``primary_conninfo`` therefore stands here on both sites and points at the other one; it has
no effect without ``standby.signal``. What cuts a standby off is ``ALTER SYSTEM SET primary_conninfo = ''``: that
goes to postgresql.auto.conf, which beats this file over every restart until ``follow`` takes it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from secondsite.database.conffile import quote
from secondsite.database.slot import slot_name
from secondsite.spec import Spec

ROLE = "secondsite_replication"
REWIND_ROLE = "secondsite_rewind"
READER_ROLE = "secondsite_reader"
SLOT_DATABASE = "postgres"  # where a standby asks for logical slots; the streaming itself needs no database
FILE = "secondsite.conf"
HEADER = "# Written by secondsite from secondsite.toml; changes made here are overwritten by the next apply.\n"

# A standby with less than the primary's pauses replay, and pg_promote() then stops it (manual 27.4.3).
AT_LEAST_PRIMARYS = (
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
)
DEFAULTS = {
    "max_connections": 100,
    "max_locks_per_transaction": 64,
    "max_prepared_transactions": 0,
    "max_replication_slots": 10,
    "max_wal_senders": 10,
    "max_worker_processes": 8,
}  # what PostgreSQL 15 to 18 use where no file says anything
FLOORS = {"max_replication_slots": 10, "max_wal_senders": 10}
NEED_RESTART = frozenset(
    {*AT_LEAST_PRIMARYS, "hot_standby", "listen_addresses", "max_replication_slots", "wal_level", "wal_log_hints"}
)  # pg_settings.context = 'postmaster'
WAL_KEEP_MB = 256  # so that an old primary that returns soon can still be rewound
EVERYWHERE = frozenset({"*", "0.0.0.0", "::"})
_MEGABYTES = {"": 1.0, "kb": 1 / 1024, "mb": 1.0, "gb": 1024.0, "tb": 1024.0**2}


@dataclass(frozen=True, slots=True)
class Observed:
    """What the text depends on besides the specification.

    beneath: the cluster's other files, our file left out. primary: the primary's settings, where this site is standby.
    """

    beneath: Mapping[str, str] = field(default_factory=dict)
    data_checksums: bool = False
    primary: Mapping[str, str] = field(default_factory=dict)


def wanted(
    spec: Spec, site: str, observed: Observed, *, own_address: str, peer_address: str, passfile: str
) -> dict[str, str]:
    """Name to value, in the order in which they are written."""
    keep = spec.database.keep_logical_slots
    logical = keep or observed.beneath.get("wal_level") == "logical"
    fixed = {
        "listen_addresses": _listen(spec, own_address, observed.beneath.get("listen_addresses", "localhost")),
        "wal_level": "logical" if logical else "replica",
        "full_page_writes": "on",
        "hot_standby": "on",
        "max_slot_wal_keep_size": f"{max(1, spec.database.max_slot_wal // 2**20)}MB",
        "wal_sender_timeout": "10s",
        "wal_receiver_timeout": "10s",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "1s",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "primary_conninfo": primary_conninfo(spec, site, peer_address=peer_address, passfile=passfile),
        "primary_slot_name": slot_name(site),
    }
    if keep:  # manual 47.2.3; without the feedback the primary would remove rows that a slot's copy still needs
        fixed |= {"sync_replication_slots": "on", "hot_standby_feedback": "on"}
    if not observed.data_checksums:
        fixed["wal_log_hints"] = "on"  # else nobody could ever pg_rewind this cluster
    if _megabytes(observed.beneath.get("wal_keep_size", "0")) < WAL_KEEP_MB:
        fixed["wal_keep_size"] = f"{WAL_KEEP_MB}MB"
    return fixed | _minimums(observed)


def primary_conninfo(spec: Spec, site: str, *, peer_address: str, passfile: str) -> str:
    """The setting of that name. The database in it is for copying logical slots; streaming passes over it."""
    database = f" dbname={SLOT_DATABASE}" if spec.database.keep_logical_slots else ""
    return conninfo(spec, site, peer_address=peer_address, passfile=passfile) + database


def conninfo(spec: Spec, site: str, *, peer_address: str, passfile: str, user: str = ROLE) -> str:
    """How this site's standby reaches its primary. The tunnel encrypts already, so TLS is left out."""
    parts = {
        "host": peer_address,
        "port": spec.database.port,
        "user": user,
        "passfile": passfile,
        "application_name": site,
        "sslmode": "disable",
        "gssencmode": "disable",
        "connect_timeout": 5,
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10000,
    }
    return " ".join(f"{key}={value}" for key, value in parts.items())


def render(settings: Mapping[str, str]) -> str:
    """The file's text; ``conffile.parse`` reads the same settings back."""
    return HEADER + "".join(f"{name} = {quote(value)}\n" for name, value in settings.items())


def _listen(spec: Spec, own_address: str, beneath: str) -> str:
    """Everything it listens on already, and the tunnel; everywhere where clients from outside may connect."""
    present = [part.strip() for part in beneath.split(",") if part.strip()]
    if spec.database.clients or EVERYWHERE & set(present):
        return "*"
    return ",".join(dict.fromkeys(["localhost", *present, own_address]))


def _minimums(observed: Observed) -> dict[str, str]:
    """Lines only for what the other files leave too low, so that they keep the say about everything higher."""
    lines = {}
    for name, default in sorted(DEFAULTS.items()):
        here = _number(observed.beneath.get(name), default)
        there = _number(observed.primary.get(name), 0) if name in AT_LEAST_PRIMARYS else 0
        least = max(FLOORS.get(name, 0), there)
        if here < least:
            lines[name] = str(least)
    return lines


def _number(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


def _megabytes(text: str) -> float:
    number = text.rstrip("kKMGTBb").strip()
    try:
        return float(number) * _MEGABYTES[text[len(number) :].strip().lower()]
    except (KeyError, ValueError):
        return 0.0
