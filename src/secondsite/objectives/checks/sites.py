"""Checks of the two sites: who answers, who may write, and whether both run the same."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.clock import ago
from secondsite.database.state import Role, Streaming
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.root import FORMER_PRIMARY
from secondsite.objectives.situation import Situation
from secondsite.objectives.snapshot import SiteState

registry = Registry()


def _database_seen(state: SiteState) -> bool:
    return state.database.role is not Role.UNKNOWN


_CLOCKS_APART = 2.0  # seconds
_LITTLE_DISK = 1_000_000_000
SET_UP = "`secondsite plan` shows what would be done; `secondsite apply` does it"


def back(site: str) -> str:
    """How a site that has lost its role becomes the standby of the one that has it now."""
    return f"`secondsite apply --replace-standby {site}` makes it the standby; what only it has is written down first"


def home(site: str) -> str:
    """Both ways back for a former primary, which is the standby of the other site after either."""
    return f"`secondsite failback` brings the service home to it; or {back(site)}"


def mended(state: SiteState | None, peer: str, otherwise: str) -> str:
    """What to do about a site that is held back: a switchover that stopped it half-way is gone on with at the peer."""
    if state is not None and f"{peer} takes over by switchover" in (state.guard_reason or ""):
        return f"at {peer}: `secondsite switchover --resume` finishes it, or takes it back"
    return otherwise


@registry.check("two-primaries", Severity.CRITICAL, "Does at most one site accept writes?", sees=_database_seen)
def two_primaries(judged: Judged) -> Iterator[Problem]:
    """The worst that can be: both accept writes, and what one takes the other will never know."""
    writable = judged.situation.writable
    if len(writable) > 1:
        shown = " and ".join(f"{state.site} (timeline {state.database.timeline})" for state in writable)
        keep = judged.situation.primary
        yield Problem(
            None,
            f"two sites accept writes at the same time: {shown}",
            f"stop the application and the database at the site that is not to be kept (most likely not {keep}), "
            "then `secondsite apply --replace-standby` with that site",
        )


@registry.check(
    "no-primary", Severity.CRITICAL, "Does one site accept writes?", Needs.ANY, sees=lambda s: s.database.writable
)
def no_primary(judged: Judged) -> Iterator[Problem]:
    """Nobody can work: every site answers, and none accepts writes."""
    situation = judged.situation
    if situation.writable or len(situation.here) < len(situation.spec.site_names):
        return
    primary = situation.primary
    state = situation.present(primary) if primary else None
    reason = state.guard_reason or state.database.reason if state else None
    because = f": {reason}" if reason else ""
    standby = situation.standby or "SITE"
    hint = mended(state, standby, f"`secondsite failover --to {standby}`, or repair it")
    yield Problem(primary, f"no site accepts writes{because}", hint)


@registry.check("reachable", Severity.CRITICAL, "Does every site answer?", Needs.NOBODY)
def reachable(judged: Judged) -> Iterator[Problem]:
    """A site that does not answer is a site about which nothing is known."""
    situation = judged.situation
    for site in situation.spec.site_names:
        silence = situation.silence(site)
        if silence is None:
            continue
        if not silence.set_up:
            yield Problem(site, silence.reason, SET_UP)
        else:
            yield Problem(site, f"does not answer: {silence.reason}", _way_to(situation, site))


def _way_to(situation: Situation, site: str) -> str:
    peer = situation.spec.peer_of(site)
    if site == situation.primary:
        return f"if it is lost: `secondsite failover --to {peer}`"
    other = situation.silence(peer)
    if other is not None and not other.set_up:
        return f"look at its power and network, then `secondsite apply`, which sets up {peer} and {site}"
    if situation.primary is None:
        return "look at its power and network, and ask again"
    return f"there is nowhere to go until {site} answers: look at its power, network and tunnel"


@registry.check(
    FORMER_PRIMARY, Severity.CRITICAL, "Is no former primary left to be taken back?", Needs.BOTH, sees=_database_seen
)
def former_primary(judged: Judged) -> Iterator[Problem]:
    """A failover shuts the old primary out, and its guard keeps it read-only when it comes back. It has another history
    then and is no standby until it is taken back. What follows from that is not told beside it."""
    situation = judged.situation
    site, primary = situation.former, situation.primary
    if site is None or primary is None:
        return
    state = situation.present(site)
    alone = f"nothing is replicated to it, so {primary} works without a standby"
    if state is None:
        silence = situation.silence(site)
        message = f"was primary until {primary} took over, and does not answer: {silence.reason if silence else ''}"
        yield Problem(site, f"{message}; {alone}", f"once it has power and network again: {home(site)}")
        return
    if not _database_seen(state):
        reason = f" ({state.database.reason})" if state.database.reason else ""
        message = f"was primary until {primary} took over, and nobody could look at its database{reason}"
        hint = f"stop the application and the database at {site}; then {home(site)}"
        yield Problem(site, f"{message}: it may still accept writes, which would be lost; {alone}", hint)
        return
    stopped = state.database.role is Role.STOPPED
    if state.guard_reason:
        held = f"{'stopped; its guard holds it' if stopped else 'held read-only by its guard'}: {state.guard_reason}"
    else:
        held = f"{'stopped' if stopped else 'read-only'}: {primary} has shut it out since it took over"
    yield Problem(site, f"was primary, and is {held}; {alone}", mended(state, primary, home(site)))


@registry.check("agent", Severity.CRITICAL, "Does the agent run at every site?")
def agent(judged: Judged) -> Iterator[Problem]:
    """Without its agent a site takes no samples, pulls no files and cannot be asked to stop writing."""
    for state in judged.situation.here:
        if not state.agent_running:
            hint = "systemctl start secondsite-agent; journalctl -u secondsite-agent says why it stopped"
            yield Problem(state.site, "the agent is not running", hint)


@registry.check(
    "agent-duties", Severity.WARNING, "Does every duty of the agents succeed?", sees=lambda s: s.agent_running
)
def agent_duties(judged: Judged) -> Iterator[Problem]:
    """A duty that fails is isolated from the others, and told here."""
    for state in judged.situation.here:
        for trouble in state.troubles:
            yield Problem(state.site, f"{trouble.duty} fails: {trouble.message}", "journalctl -u secondsite-agent")


@registry.check("guard", Severity.WARNING, "Is no site held read-only by its guard?", sees=_database_seen)
def guard(judged: Judged) -> Iterator[Problem]:
    """The guard holds a host that came back and may not write."""
    for state in judged.situation.here:
        if state.guard_reason:
            holding = f"the guard holds it read-only: {state.guard_reason}"
            peer = judged.situation.spec.peer_of(state.site)
            yield Problem(state.site, holding, mended(state, peer, back(state.site)))


@registry.check("unfinished", Severity.CRITICAL, "Is every failover and every switchover finished?")
def unfinished(judged: Judged) -> Iterator[Problem]:
    """A procedure that died or stopped half-way has left the sites between two states. It is only a warning where the
    world shows none: the site that was to take over follows a primary that accepts writes."""
    situation = judged.situation
    for state in situation.here:
        old = state.unfinished
        if old is None:
            continue
        peer = situation.present(situation.spec.peer_of(state.site))
        whole = peer is not None and peer.database.writable and state.database.streaming is Streaming.STREAMING
        age = ago(state.taken_at - old.since)
        yield Problem(
            state.site,
            f"the {old.procedure} {old.id}, begun {age} ago, is not finished",
            f"`secondsite {old.procedure} --resume --to {state.site}`",
            Severity.WARNING if whole else None,
        )


@registry.check("quarantine", Severity.CRITICAL, "Is the peer let in?")
def quarantine(judged: Judged) -> Iterator[Problem]:
    """After a failover the old primary is shut out until it has been taken back as a standby."""
    for state in judged.situation.here:
        if state.quarantining_peer:
            peer = judged.situation.spec.peer_of(state.site)
            yield Problem(state.site, f"{peer} is quarantined, so nothing is replicated to it", back(peer))


@registry.check(
    "application", Severity.WARNING, "Does the application answer at the primary?", Needs.PRIMARY,
    sees=lambda s: s.healthy is not None, named=lambda spec: bool(spec.service.health),
)  # fmt: skip
def application(judged: Judged) -> Iterator[Problem]:
    """The health URL of the file, asked on the primary itself."""
    for state in judged.situation.here:
        if state.database.writable and state.healthy is False:
            service = judged.situation.spec.service
            message = f"the application does not answer at {service.health}"
            yield Problem(state.site, message, "look at its units: " + ", ".join(service.units))


@registry.check(
    "units", Severity.CRITICAL, "Are the application's units in place?",
    sees=lambda s: bool(s.units), named=lambda spec: bool(spec.service.units),
)  # fmt: skip
def units(judged: Judged) -> Iterator[Problem]:
    """They must run at the primary, exist at the standby, and not run there."""
    for state in judged.situation.here:
        for unit in state.units:
            if unit.active == "missing":
                yield Problem(state.site, f"{unit.name} does not exist", f"install the application at {state.site}")
            elif state.database.writable and unit.active not in ("active", "activating", "reloading"):
                yield Problem(
                    state.site, f"{unit.name} is {unit.active}", f"systemctl start {unit.name}", Severity.WARNING
                )
            elif state.database.role is Role.STANDBY and unit.active == "active":
                message = f"{unit.name} runs although this is the standby"
                yield Problem(state.site, message, f"systemctl stop {unit.name}", Severity.WARNING)


@registry.check("config", Severity.WARNING, "Was the same file applied at both sites?")
def config(judged: Judged) -> Iterator[Problem]:
    """Two different files are two different ideas of what is protected."""
    if len({state.config_hash for state in judged.situation.here}) > 1:
        yield Problem(None, "the sites were given different files", "`secondsite apply`")


@registry.check("version", Severity.WARNING, "Do both sites run the same secondsite?")
def version(judged: Judged) -> Iterator[Problem]:
    """Different programs may disagree about a step both must take."""
    versions = {state.site: state.version for state in judged.situation.here}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{site} has {version}" for site, version in versions.items())
        yield Problem(None, f"different versions of secondsite: {shown}", "`secondsite apply`")


@registry.check(
    "clocks", Severity.WARNING, "Do the sites agree about the time?", Needs.ANY,
    sees=lambda s: s.peer_clock_offset is not None,
)  # fmt: skip
def clocks(judged: Judged) -> Iterator[Problem]:
    """Lag in seconds is measured between two clocks; the difference is corrected for, but logs are not."""
    offsets = [s.peer_clock_offset for s in judged.situation.here if s.peer_clock_offset is not None]
    apart = max(offsets, key=abs, default=0.0)
    if abs(apart) > _CLOCKS_APART:
        yield Problem(None, f"the sites' clocks are {abs(apart):.1f} s apart", "start chrony or systemd-timesyncd")


@registry.check("disk", Severity.WARNING, "Is there room on the disks?", sees=lambda s: s.disk_free_bytes is not None)
def disk(judged: Judged) -> Iterator[Problem]:
    """A full disk stops the primary's writes, or the standby's replication."""
    for state in judged.situation.here:
        free = state.disk_free_bytes
        if free is not None and free < _LITTLE_DISK:
            severity = Severity.CRITICAL if free < _LITTLE_DISK // 5 else None
            yield Problem(state.site, f"{free / 1e6:,.0f} MB left on the disk", "make room before it is full", severity)
