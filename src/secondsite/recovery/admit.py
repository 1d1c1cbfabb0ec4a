"""Carry out the guard's verdict on this host: open it for writes, or keep it read-only and say why."""

from __future__ import annotations

import contextlib
import json

from secondsite.clock import Clock
from secondsite.database import door
from secondsite.database import fence as database
from secondsite.database.cluster import Cluster
from secondsite.database.control import SystemdControl
from secondsite.database.controldata import read as read_control
from secondsite.database.slot import slot_name
from secondsite.recovery import application
from secondsite.recovery.fence import note_verdict
from secondsite.recovery.guard import Ruling, Verdict, ask
from secondsite.spec import Spec, paths

SHUT_DOWN = "shut down"  # a primary's control file, stopped in good order (pg_controldata)


async def at_start(spec: Spec, site: str, clock: Clock) -> Verdict:
    """Before the database starts: a standby may always; what would start writable must be allowed to.

    Held back, the database comes up read-only (standby.signal), keeps its data and can be rewound later.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if (cluster.data / "standby.signal").exists() and not database.marked_by_us(cluster):
        return Verdict(Ruling.ALLOW, "it starts as a standby")
    control = await read_control(cluster)
    # A fence is asked first: what allowed an earlier start must not outlive it.
    verdict = (
        fenced()
        or admitted()
        or await ask(
            spec, site, control.generation, cannot_be_replaced=_cannot_be_replaced(spec, site, cluster, control.state)
        )
    )
    note_verdict(verdict.ruling, verdict.reason, clock)
    if verdict.ruling is Ruling.ALLOW:
        database.unmark(cluster)
        open_here()
    else:
        paths.ACTIVE.unlink(missing_ok=True)
        database.hold(cluster, verdict.reason)
    return verdict


async def asked(spec: Spec, site: str) -> Verdict:
    """What the guard would say now; nothing changes."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    control = await read_control(cluster)
    return fenced() or await ask(
        spec, site, control.generation, cannot_be_replaced=_cannot_be_replaced(spec, site, cluster, control.state)
    )


async def ask_again(spec: Spec, site: str, clock: Clock) -> Verdict | None:
    """Where the guard holds this host back: has the answer changed? Opens the host if it is allowed now.

    None where the guard does not hold it. Restarting without standby.signal goes on in the old timeline: nothing
    was promoted, so nothing has forked.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if not database.marked_by_us(cluster) or last_ruling() is not Ruling.WAIT:
        return None
    verdict = await ask(spec, site, await generation(cluster), cannot_be_replaced=False)
    if fenced() is not None:  # it came while the others were asked
        return None
    if verdict.ruling is Ruling.ALLOW:  # noted once the database has stopped: until then it is a site that is held
        await release(spec, clock, verdict.reason)
    else:
        note_verdict(verdict.ruling, verdict.reason, clock)
    return verdict


async def release(spec: Spec, clock: Clock, reason: str) -> None:
    """Open this host for writes: on the guard's word, or a person's. The start that follows asks nobody again."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    await database.stop(cluster)
    database.unmark(cluster)
    door.unlock(cluster)
    note_verdict(Ruling.ALLOW, reason, clock)
    open_here()
    paths.ADMITTED.write_text(f"{reason}\n")
    await SystemdControl(cluster).start()
    await application.start(spec.service.units)


async def release_by_person(spec: Spec, clock: Clock) -> None:
    """Open this host whatever the guard says, and end a fence: somebody who knows has decided."""
    paths.FENCED.unlink(missing_ok=True)
    await release(spec, clock, "a person allowed it: secondsite guard --allow")


def admitted() -> Verdict | None:
    """The decision that led to this very start, used once."""
    try:
        reason = paths.ADMITTED.read_text(errors="replace").strip()
        paths.ADMITTED.unlink()
    except OSError:
        return None
    return Verdict(Ruling.ALLOW, reason)


def fenced() -> Verdict | None:
    """A fence holds until the procedure that set it, or a person, takes it back: the peer may be about to promote.

    One that cannot be read is a fence all the same.
    """
    try:
        return Verdict(Ruling.HOLD, paths.FENCED.read_text(errors="replace").strip())
    except FileNotFoundError:
        return None
    except OSError as unreadable:
        why = unreadable.strerror or str(unreadable)
        return Verdict(Ruling.HOLD, f"this site is fenced, and the reason in {paths.FENCED} cannot be read: {why}")


def open_here() -> None:
    """Let the application's units start."""
    paths.RUN.mkdir(exist_ok=True)
    paths.ACTIVE.touch()


def last_ruling() -> Ruling | None:
    """What the guard has said last, if it is known."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # whatever a power cut has made of it
        return Ruling(json.loads(paths.GUARD_VERDICT.read_text())["verdict"])
    return None


def _cannot_be_replaced(spec: Spec, site: str, cluster: Cluster, state: str) -> bool:
    """Can nobody have taken over from this host while it was down? Either it never was: only its database is started
    again, and the application's mark is still there. Or it went in good order, and keeps no WAL for a standby: the
    slot of one is a folder of the stopped cluster (pg_replslot)."""
    kept_for_standby = cluster.data / "pg_replslot" / slot_name(spec.peer_of(site))
    return paths.ACTIVE.exists() or (state == SHUT_DOWN and not kept_for_standby.exists())


async def generation(cluster: Cluster) -> int:
    """The newest timeline the cluster was on, from its control file: known without a running postmaster."""
    return (await read_control(cluster)).generation
