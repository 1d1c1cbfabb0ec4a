"""Everything that must be true before a planned move, as named checks over one frozen look at both sites. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from secondsite import __version__
from secondsite.database.logical import lost
from secondsite.database.movable import Movable
from secondsite.database.pooler.state import PoolerState
from secondsite.database.settings import AT_LEAST_PRIMARYS
from secondsite.database.state import DatabaseState, Role, Streaming
from secondsite.dns.state import RecordState
from secondsite.errors import FinalError
from secondsite.recovery.handover.survey import Survey

APPLY = "secondsite apply"
LITTLE_LAG = 16 * 1024 * 1024
LITTLE_BACKLOG = 5  # WAL files; a shutdown waits until they are archived


@dataclass(frozen=True, slots=True)
class Look:
    """Both sites before the move.

    state, here: the database that takes over. held: the guard keeps it read-only as a former primary. there: the old
    primary about itself. never_copied: file sets without a complete copy. dns_refusals: what the update server said
    when it was asked whether it would take the change. midway: this very procedure has stopped the writers before.
    """

    site: str
    peer: str
    state: DatabaseState
    here: Movable
    there: Survey
    held: bool = False
    quarantines: bool = False
    missing_units: tuple[str, ...] = ()
    never_copied: tuple[str, ...] = ()
    records: tuple[RecordState, ...] = ()
    dns_refusals: tuple[str, ...] = ()
    dns_may_differ: bool = False
    midway: bool = False
    pooler: PoolerLook | None = None


@dataclass(frozen=True, slots=True)
class PoolerLook:
    """PgBouncer before the move. wanted: the address at which each site's must look for the primary.
    longest_transaction: what a pause waits for at most, in seconds."""

    here: PoolerState
    wanted_here: str
    wanted_there: str
    longest_transaction: float


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason not to begin: which check, where, what was seen, what to do."""

    check: str
    site: str
    message: str
    hint: str


Check = Callable[[Look], Iterator[tuple[str, str, str]]]
CHECKS: list[tuple[str, str, bool, Check]] = []


def check(name: str, question: str, *, midway: bool = False) -> Callable[[Check], Check]:
    """Register a check. midway: it is asked again where the writers are stopped already."""

    def register(function: Check) -> Check:
        CHECKS.append((name, question, midway, function))
        return function

    return register


def faults(look: Look) -> tuple[Fault, ...]:
    """Every fault at once, in the order of the checks."""
    asked = [(name, function) for name, _, midway, function in CHECKS if midway or not look.midway]
    return tuple(Fault(name, *told) for name, function in asked for told in function(look))


def questions(look: Look, found: tuple[Fault, ...]) -> tuple[tuple[str, str, bool], ...]:
    """Every question that was asked: name, question, and whether all is well."""
    wrong = {fault.check for fault in found}
    return tuple((name, asked, name not in wrong) for name, asked, midway, _ in CHECKS if midway or not look.midway)


@check("standby", "Is the site that takes over a standby?", midway=True)
def _standby(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.state.role is Role.PRIMARY:
        yield look.site, f"{look.site} is the primary already (timeline {look.state.timeline})", "secondsite status"
    elif look.state.role is not Role.STANDBY:
        yield look.site, f"its database is {look.state.role}: {look.state.reason}", "secondsite readiness"
    elif look.held:
        hint = f"secondsite apply --replace-standby {look.site}"
        yield look.site, "it is a former primary that the guard holds read-only, not a standby", hint


@check("primary", "Does the other site accept writes?")
def _primary(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.there.role != Role.PRIMARY:
        yield look.peer, f"its database is {look.there.role}, so there is nothing to move", "secondsite status"
    elif look.there.problem is not None:
        yield look.peer, look.there.problem, "secondsite status"


@check("same-database", "Are both the same cluster in the same generation?")
def _same(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.there.role != Role.PRIMARY or look.state.role is not Role.STANDBY:
        return
    if look.there.system_identifier != look.state.system_identifier:
        yield look.site, "it is a copy of another database", "secondsite apply"
    elif look.there.timeline != look.state.timeline:
        message = f"it is on timeline {look.state.timeline}, the primary on {look.there.timeline}"
        yield look.site, message, f"secondsite apply --replace-standby {look.site}"


@check("streaming", "Does the standby stream, and the primary see it stream?")
def _streaming(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.state.role is not Role.STANDBY:
        return
    if look.state.streaming is not Streaming.STREAMING and not look.state.replay_paused:
        yield look.site, f"it does not stream: {look.state.streaming}", "secondsite readiness"
    elif look.there.problem is None and look.there.database.follower_state != "streaming":
        seen = look.there.database.follower_state or "nobody"
        yield look.peer, f"its database sees {look.site} not streaming: {seen}", "secondsite readiness"


@check("replay", "Does the standby replay at once what it receives?", midway=True)
def _replay(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.state.replay_paused:
        yield look.site, "replay is paused", "find out who paused it and why: secondsite readiness has the command"
    delay = look.here.settings.get("recovery_min_apply_delay", "0")
    if delay != "0":
        yield look.site, f"replay is delayed on purpose (recovery_min_apply_delay = {delay} ms)", "set it to 0"


@check("lag", "Is the standby only a little behind?")
def _lag(look: Look) -> Iterator[tuple[str, str, str]]:
    flushed, reached = look.there.database.flushed, look.state.replayed
    if flushed is not None and reached is not None and flushed - reached > LITTLE_LAG:
        message = f"it is {(flushed - reached) / 1e6:,.0f} MB of WAL behind"
        yield look.site, message, "wait until it has caught up: secondsite status --watch"


@check("settings", "Could each follow the other?")
def _settings(look: Look) -> Iterator[tuple[str, str, str]]:
    ours, theirs = look.here.settings, look.there.database.settings
    for name in AT_LEAST_PRIMARYS:
        if name in ours and name in theirs and ours[name] != theirs[name]:
            message = f"{name} is {ours[name]} at {look.site} and {theirs[name]} at {look.peer}"
            yield look.site, message, "give both the same value, restart that database, then repeat"
    if theirs.get("wal_sender_timeout") == "0":
        yield look.peer, "wal_sender_timeout is 0: its shutdown may wait for ever", "secondsite apply"


@check("slot", "Does the primary keep the WAL that the standby needs?")
def _slot(look: Look) -> Iterator[tuple[str, str, str]]:
    unknown = look.there.role != Role.PRIMARY or look.there.problem is not None
    if not unknown and look.there.database.slot not in ("reserved", "extended"):
        yield look.peer, f"the slot of {look.site} is {look.there.database.slot or 'missing'}", "secondsite apply"


@check("busy", "Does nothing run that a stop would break?")
def _busy(look: Look) -> Iterator[tuple[str, str, str]]:
    there = look.there.database
    if there.backups_running:
        yield look.peer, f"{there.backups_running} base backup(s) run there", "wait until they have ended"
    if there.prepared_transactions:
        hint = "commit or roll them back: SELECT * FROM pg_prepared_xacts"
        yield look.peer, f"{there.prepared_transactions} prepared transaction(s) are open", hint
    if there.archive_failing or there.archive_waiting > LITTLE_BACKLOG:
        state = "its archive command fails" if there.archive_failing else "its archive is behind"
        message = f"{state}: {there.archive_waiting} WAL files wait, and a shutdown waits for them"
        yield look.peer, message, "SELECT * FROM pg_stat_archiver"
    for name in lost(there.logical.unmarked, there.logical.marked, look.here.logical.copies):
        hint = (
            f"secondsite readiness says why; or let its consumer end, drop it, and create it at {look.site} afterwards"
        )
        yield look.peer, f"the logical slot {name} would not move along", hint


@check("procedures", "Is nothing else under way or unfinished there?")
def _procedures(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.there.busy is not None:
        yield look.peer, f"{look.there.busy} runs there", "wait for it"
    if look.there.unfinished is not None:
        kind = next((kind for kind in ("failover", "switchover") if kind in look.there.unfinished), "journal")
        hint = f"on {look.peer}: secondsite {kind}" + (" --resume" if kind != "journal" else "")
        yield look.peer, f"{look.there.unfinished} was not finished there", hint
    if look.there.fenced is not None:
        yield look.peer, f"it is fenced: {look.there.fenced}", "secondsite status"
    for here, other, quarantined in (
        (look.peer, look.site, look.there.quarantines),
        (look.site, look.peer, look.quarantines),
    ):
        if quarantined:
            hint = f"secondsite apply --replace-standby {other}"
            yield here, f"it keeps {other} in quarantine since a failover", hint


@check("version", "Do both run the same secondsite?", midway=True)
def _version(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.there.version != __version__:
        yield look.peer, f"it runs secondsite {look.there.version}, this site {__version__}", "secondsite apply"


@check("way-back", "Could the old primary follow the new one?")
def _way_back(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.there.reverse is not None and look.there.role == Role.PRIMARY:
        message = f"its database could not follow {look.site} afterwards: {look.there.reverse}"
        yield look.peer, message, "secondsite apply"


@check("application", "Runs the application there, and can it run here?")
def _application(look: Look) -> Iterator[tuple[str, str, str]]:
    for unit in look.missing_units:
        yield look.site, f"there is no unit {unit}", f"install it at {look.site}, then: secondsite apply"
    if not look.there.units_running and look.there.role == Role.PRIMARY:
        yield look.peer, "the application does not run there", "secondsite status"


@check("pooler", "Can the clients of PgBouncer wait?")
def _pooler(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.pooler is None:
        return
    sides = ((look.site, look.pooler.here, look.pooler.wanted_here),
             (look.peer, look.there.pooler, look.pooler.wanted_there))  # fmt: skip
    for site, found, wanted in sides:
        if found is None or found.reason is not None:
            yield site, _silent(found), APPLY
        elif not found.included:
            yield site, "PgBouncer's configuration does not include our file", APPLY
        elif found.missing:
            yield site, f"PgBouncer knows no database {', '.join(found.missing)}", APPLY
        elif found.elsewhere(wanted):
            yield site, f"PgBouncer does not look for {', '.join(found.elsewhere(wanted))} at {wanted}", APPLY
        elif found.paused:
            yield site, f"PgBouncer is paused: {', '.join(found.paused)}", "find out who paused it, then RESUME"
        elif found.in_sessions:
            message = f"PgBouncer pools {', '.join(found.in_sessions)} in sessions: a pause would wait for every client"
            yield site, message, "pool_mode = transaction, if the clients bear it"


def _silent(found: PoolerState | None) -> str:
    return f"PgBouncer cannot be asked: {found.reason if found else 'not described there'}"


def silent_poolers(look: Look) -> tuple[tuple[str, str], ...]:
    """Pure: each PgBouncer that cannot be asked, as site and sentence. With the writers stopped that is no reason to
    take everything back: nobody is served by it, and its state is what this procedure has made of it."""
    sides = ((look.site, look.pooler.here), (look.peer, look.there.pooler)) if look.pooler is not None else ()
    return tuple((site, _silent(found)) for site, found in sides if found is None or found.reason is not None)


@check("transactions", "Is no transaction long that a pause would wait for?")
def _transactions(look: Look) -> Iterator[tuple[str, str, str]]:
    if look.pooler is not None and look.there.longest_transaction > look.pooler.longest_transaction:
        message = (
            f"a transaction has been open for {look.there.longest_transaction:.0f} s, and a pause would wait for it"
        )
        yield look.peer, message, "wait, or end it: SELECT pid, xact_start, query FROM pg_stat_activity ORDER BY 2"


@check("files", "Was every file set copied completely?")
def _files(look: Look) -> Iterator[tuple[str, str, str]]:
    for name in look.never_copied:
        yield look.site, f"the file set {name} was never copied completely", "secondsite readiness"


@check("dns", "Do the records point to the primary, and would the server change them?", midway=True)
def _dns(look: Look) -> Iterator[tuple[str, str, str]]:
    for record in () if look.dns_may_differ else look.records:
        if record.points_to not in (look.peer, look.site if look.midway else look.peer):
            told = record.points_to or ", ".join(record.mentions) or "nowhere that is known"
            message = f"{record.name}.{record.zone} points to {told}, not to {look.peer}"
            yield look.site, message, "secondsite readiness"
    for refusal in look.dns_refusals:
        yield look.site, f"the DNS server would not take the change: {refusal}", "secondsite readiness"


@check("dns-key", "Does this host have the key that signs the change?", midway=True)
def _dns_key(look: Look) -> Iterator[tuple[str, str, str]]:
    for record in look.records:
        if record.key_problem is not None:
            hint = "put the secret there, as on the other host: base64, owner root, mode 0600"
            yield look.site, f"{record.name}.{record.zone} cannot be changed: {record.key_problem}", hint


@dataclass(frozen=True, slots=True)
class Refusal:
    """What to tell: one message and one next step for all faults. keyless: the DNS key is all that is missing."""

    message: str
    hint: str
    keyless: bool = False

    def error(self, site: str) -> FinalError:
        """The same as an error at the site that was to take over."""
        if self.keyless:
            return FinalError(self.message, slug="dns-secret", host=site, hint=self.hint)
        return FinalError(self.message, slug="switchover-refused", host=site, hint=self.hint)


def refusal(found: tuple[Fault, ...]) -> Refusal | None:
    """All faults as one refusal; None where there is none."""
    if not found:
        return None
    told = "; ".join(f"{fault.site}: {fault.message}" for fault in found)
    hints = list(dict.fromkeys(fault.hint for fault in found))
    keyless = {fault.check for fault in found} == {"dns-key"}
    return Refusal(f"nothing was touched, because {told}", "; ".join(hints), keyless)
