"""PgBouncer on this host, as the procedures use it: clients wait while the service moves, and go on where it is."""

from __future__ import annotations

import asyncio

from secondsite.database import door
from secondsite.database.cluster import Cluster
from secondsite.database.pooler import act, state
from secondsite.database.pooler.include import address_of
from secondsite.database.pooler.state import PoolerState
from secondsite.errors import RetryableError
from secondsite.recovery import lock
from secondsite.recovery.step import Details
from secondsite.spec import Spec, paths

ADMITS_SECONDS = 5.0
SILENT = "pooler-unreachable"
POLL_SECONDS = 0.01


async def look(spec: Spec) -> PoolerState | None:
    """PgBouncer here; None where the file describes none."""
    pooler = spec.database.pooler
    return None if pooler is None else await asyncio.to_thread(state.look, pooler)


async def hold(spec: Spec, *, silent_too: bool = False) -> float | None:
    """Its clients wait from now on; seconds until nobody was in a transaction, None where there is no pooler.

    The mark comes first: whoever finds it knows that the clients wait because of us. silent_too: a PgBouncer that does
    not answer is no reason to stop, and None. Raises what ``act.pause`` raises.
    """
    pooler = spec.database.pooler
    if pooler is None:
        return None
    _mark()
    try:
        return await asyncio.to_thread(act.pause, pooler)
    except RetryableError as failed:
        if failed.slug == "pooler-busy":  # it has let them go on again, and that was seen
            paths.POOLER_PAUSED.unlink(missing_ok=True)
        if failed.slug == SILENT and silent_too:
            return None
        raise


async def go_on(spec: Spec, site: str, primary: str, *, seconds: float = ADMITS_SECONDS) -> Details:
    """Its clients go on with the database at ``primary``, as soon as that lets them in; repeatable. {address, cut}, and
    ``warning``: what a person should know.

    Too early a try would fail, and PgBouncer would hand that on to its clients for ``server_login_retry``. But after
    ``seconds`` they are let go whatever is seen: an error tells them more than silence. Where PgBouncer does not answer
    nobody is served by it; the mark is left, so that the agent does it later. Raises FinalError as ``act.resume`` does.
    """
    pooler = spec.database.pooler
    if pooler is None:
        return {}
    address = address_of(spec, site, primary)
    shut = await _until_it_admits(spec, address, seconds)
    try:
        cut = await asyncio.to_thread(act.resume, spec, pooler, address)
    except RetryableError as failed:
        if failed.slug != SILENT:
            raise
        _mark()
        return {"address": address, "warning": f"{failed.message}; its clients are sent on when it does"}
    paths.POOLER_PAUSED.unlink(missing_ok=True)
    if shut is None:
        return {"address": address, "cut": cut}
    told = f"clients of PgBouncer were let go, but the database of {primary} ({address}) may refuse them: {shut.told}"
    return {"address": address, "cut": cut, "warning": told}


async def _until_it_admits(spec: Spec, address: str, seconds: float) -> act.Shut | None:
    """None once it lets clients in, else what was seen last."""
    pooler, loop = spec.database.pooler, asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while pooler is not None:
        shut = await asyncio.to_thread(act.admits, address, spec.database.port, pooler.databases[0])
        if shut is None or loop.time() > deadline:
            return shut
        await asyncio.sleep(POLL_SECONDS)
    return None


def _mark() -> None:
    paths.RUN.mkdir(exist_ok=True)
    paths.POOLER_PAUSED.touch()


async def settled(spec: Spec, site: str, primary: str) -> bool:
    """Do its clients go on with ``primary`` already? True where there is no pooler."""
    found = await look(spec)
    return found is None or well(found, address_of(spec, site, primary))


def well(found: PoolerState, address: str) -> bool:
    """Pure: does it answer, with every database sent to ``address`` and none paused?"""
    return found.reason is None and not (found.missing or found.paused or found.elsewhere(address))


def due(site: str, peer: str, *, fenced: bool, writable: bool, peer_writable: bool) -> str | None:
    """Pure: with which site clients that we let wait should go on; None as long as nobody can tell."""
    if writable:
        return None if fenced else site
    return peer if peer_writable else None


async def keep(spec: Spec, site: str, *, writable: bool, peer_writable: bool) -> str | None:
    """No pause outlives what it was for: whoever made it may have died. With which site the clients go on now; None
    where nothing is to be done. While a procedure works on this host it has the say. Raises SecondsiteError."""
    if spec.database.pooler is None or not paths.POOLER_PAUSED.exists() or lock.holder(paths.LOCK) is not None:
        return None
    fenced = paths.FENCED.exists()
    primary = due(site, spec.peer_of(site), fenced=fenced, writable=writable, peer_writable=peer_writable)
    if primary is None:
        return None
    found = await look(spec)
    if found is None or found.reason is not None:
        return None  # it is asked again when it answers
    shut = await _until_it_admits(spec, address_of(spec, site, primary), 0)
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if shut is not None and not (shut.by_line and primary == site and not door.is_shut(cluster)):
        return None  # its door is closed: it is stepping down, or has, and the procedure is not over
    told = await go_on(spec, site, primary, seconds=0)
    return primary if "cut" in told else None
