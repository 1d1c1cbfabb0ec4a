"""Checks of what is asked once a minute: what would break, hold up or spoil a promotion, and what will end soon."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from secondsite.database.condition import Condition
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState

registry = Registry(sees=lambda state: state.condition is not None)
_LONG_SECONDS = 600.0
_MANY_WAITING = 10  # WAL files, of 16 MB each by default
_FEW_INODES = 0.05
_LITTLE_BYTES = 10**9


def _conditions(judged: Judged) -> Iterator[tuple[SiteState, Condition]]:
    for state in judged.situation.here:
        if state.condition is not None:
            yield state, state.condition


@registry.check("collations", Severity.CRITICAL, "Do the indexes fit the sorting rules of each host?")
def collations(judged: Judged) -> Iterator[Problem]:
    """Another glibc or ICU sorts otherwise: an index built with other rules misses rows (PostgreSQL manual 24.2.2)."""
    for state, condition in _conditions(judged):
        for database, recorded, actual in condition.collations:
            yield Problem(
                state.site,
                f"database {database} was built with collation version {recorded}, this host has {actual or 'none'}",
                "the same release at both sites, or REINDEX DATABASE, then ALTER DATABASE … REFRESH COLLATION VERSION"
                " (or ALTER COLLATION … REFRESH VERSION)",
            )


@registry.check("extensions", Severity.CRITICAL, "Has each host the extensions that the databases use?")
def extensions(judged: Judged) -> Iterator[Problem]:
    """The standby has the catalog's word for it only: their libraries come from packages of its own."""
    for state, condition in _conditions(judged):
        for missing in condition.extensions:
            yield Problem(
                state.site,
                f"no files for the extension of {missing}",
                "install the package of the version that the other site has",
            )


@registry.check("alter-system", Severity.CRITICAL, "Can settings be changed while the server runs?")
def alter_system(judged: Judged) -> Iterator[Problem]:
    """allow_alter_system = off refuses ALTER SYSTEM (PostgreSQL 17 and newer; its manual, ALTER SYSTEM), and so does a
    postgresql.auto.conf that the server may not write. With a wrong line in any file a reload applies nothing.

    A failover cuts the standby off from the old primary by ALTER SYSTEM before it promotes it, and mode sync lets
    commits wait, or not, the same way.
    """
    for state, condition in _conditions(judged):
        if not condition.alter_system:
            message = "allow_alter_system is off: a failover could not cut the standby off from the old primary"
            yield Problem(state.site, message, "set allow_alter_system = on and reload")
        for why in condition.settings_held:
            message = f"no setting can be changed while the server runs: {why}"
            yield Problem(state.site, message, "correct it; SELECT * FROM pg_file_settings shows what is read")


@registry.check("replay-delayed", Severity.WARNING, "Does the standby replay without a delay?", Needs.STANDBY)
def replay_delayed(judged: Judged) -> Iterator[Problem]:
    """recovery_min_apply_delay: a promotion has to replay all that waits, mistakes included."""
    for state, condition in _conditions(judged):
        if not state.database.writable and condition.apply_delay not in ("0", "0ms"):
            yield Problem(
                state.site,
                f"replay is delayed by {condition.apply_delay}, which a promotion has to catch up",
                "set recovery_min_apply_delay = 0 and reload, if this is the standby that is to take over",
            )


@registry.check("long-transactions", Severity.WARNING, "Is no transaction open for long?")
def long_transactions(judged: Judged) -> Iterator[Problem]:
    """At the primary a planned move ends it; at the standby it can hold up replay."""
    for state, condition in _conditions(judged):
        if condition.transaction_seconds > _LONG_SECONDS:
            yield Problem(
                state.site,
                f"a transaction has been open for {condition.transaction_seconds / 60:.0f} min",
                "SELECT pid, usename, query FROM pg_stat_activity ORDER BY xact_start shows whose it is",
            )


@registry.check("prepared-transactions", Severity.WARNING, "Is no prepared transaction forgotten?", Needs.PRIMARY)
def prepared_transactions(judged: Judged) -> Iterator[Problem]:
    """It survives a promotion with its locks, and nobody may be left to end it (manual, PREPARE TRANSACTION)."""
    for state, condition in _conditions(judged):
        if state.database.writable and condition.prepared:
            shown = ", ".join(condition.prepared[:3])
            yield Problem(
                state.site,
                f"{len(condition.prepared)} prepared transactions are older than a minute: {shown}",
                "COMMIT PREPARED or ROLLBACK PREPARED them",
            )


@registry.check("archiver", Severity.WARNING, "Does WAL archiving keep up?")
def archiver(judged: Judged) -> Iterator[Problem]:
    """Where archive_mode is on: what is not archived fills the disk, and a shutdown waits for it."""
    for state, condition in _conditions(judged):
        if condition.archive_failed_at is not None:
            since = datetime.fromtimestamp(condition.archive_failed_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            yield Problem(
                state.site, f"WAL archiving fails, last at {since}", "see the server's log, and archive_command"
            )
        elif condition.archive_waiting > _MANY_WAITING:
            yield Problem(
                state.site,
                f"{condition.archive_waiting} WAL files wait to be archived",
                "is the archive slow, or full?",
            )


@registry.check("expiry", Severity.WARNING, "Will every password and certificate outlive the next weeks?")
def expiry(judged: Judged) -> Iterator[Problem]:
    """A login that has expired fails after a promotion as before it, and nobody expects it then."""
    for state, condition in _conditions(judged):
        for ends in condition.expiries:
            if not state.database.writable and ends.what.startswith("the password"):
                continue  # roles are the primary's; the standby only repeats them
            when = datetime.fromtimestamp(ends.at, UTC).strftime("%Y-%m-%d")
            over = ends.at < state.taken_at
            yield Problem(state.site, f"{ends.what} {'ended' if over else 'ends'} on {when}", "renew it in time")


@registry.check("inodes", Severity.WARNING, "Is there room for more files?")
def inodes(judged: Judged) -> Iterator[Problem]:
    """A file system can run out of inodes long before it is full."""
    for state, condition in _conditions(judged):
        free, total = condition.inodes_free, condition.inodes_total
        if free is not None and total and free / total < _FEW_INODES:
            yield Problem(
                state.site, f"{free:,} of {total:,} inodes are left on the disk", "find what keeps so many small files"
            )


@registry.check("tablespaces", Severity.WARNING, "Are the folders of the tablespaces there, with room on their disks?")
def tablespaces(judged: Judged) -> Iterator[Problem]:
    """The standby repeats whatever is written to a tablespace. A full disk below one stops its replay, and a folder
    that is not there ends its server (PostgreSQL manual 23.6)."""
    for state, condition in _conditions(judged):
        for one in condition.tablespaces:
            if one.free_bytes is None:
                message = f"{one.path}, the folder of tablespace {one.name}, is not there"
                hint = "mount its disk, or make the folder, owned by postgres, as at the other site"
                yield Problem(state.site, message, hint, Severity.CRITICAL)
            elif one.free_bytes < _LITTLE_BYTES:
                message = f"{one.free_bytes / 1e6:,.0f} MB left on the disk of tablespace {one.name}, {one.path}"
                yield Problem(state.site, message, "make room before it is full")
