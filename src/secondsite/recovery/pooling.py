"""PgBouncer on this host, as the procedures use it: clients wait while the service moves, and go on where it is."""

from __future__ import annotations

import asyncio

from secondsite.database.pooler import act, state
from secondsite.database.pooler.include import address_of
from secondsite.database.pooler.state import PoolerState
from secondsite.errors import RetryableError
from secondsite.recovery import lock
from secondsite.spec import Spec, paths

ADMITS_SECONDS = 5.0
POLL_SECONDS = 0.01


async def look(spec: Spec) -> PoolerState | None:
    """PgBouncer here; None where the file describes none."""
    pooler = spec.database.pooler
    return None if pooler is None else await asyncio.to_thread(state.look, pooler)


async def hold(spec: Spec) -> float | None:
    """Its clients wait from now on; seconds until nobody was in a transaction, None where there is no pooler.

    The mark comes first: whoever finds it knows that the clients wait because of us. Raises what ``act.pause`` raises.
    """
    pooler = spec.database.pooler
    if pooler is None:
        return None
    paths.RUN.mkdir(exist_ok=True)
    paths.POOLER_PAUSED.touch()
    try:
        return await asyncio.to_thread(act.pause, pooler)
    except RetryableError:
        paths.POOLER_PAUSED.unlink(missing_ok=True)  # it has let them go on again, or there is nobody
        raise


async def go_on(spec: Spec, site: str, primary: str, *, seconds: float = ADMITS_SECONDS) -> dict[str, object]:
    """Its clients go on with the database at ``primary``, as soon as that lets them in; repeatable.

    Too early a try would fail, and PgBouncer would hand that on to its clients for ``server_login_retry``. Raises
    RetryableError (``pooler-shut-out``) where the database does not let this host in within ``seconds``.
    """
    pooler = spec.database.pooler
    if pooler is None:
        return {}
    address, loop = address_of(spec, site, primary), asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        refused = await asyncio.to_thread(act.admits, address, spec.database.port, pooler.databases[0])
        if refused is None:
            break
        if loop.time() > deadline:
            raise RetryableError(
                f"the database of {primary} does not let PgBouncer at {site} in ({address}): {refused}",
                slug="pooler-shut-out",
                host=site,
                hint="secondsite apply; its clients wait meanwhile",
            )
        await asyncio.sleep(POLL_SECONDS)
    cut = await asyncio.to_thread(act.resume, spec, pooler, address)
    paths.POOLER_PAUSED.unlink(missing_ok=True)
    return {"address": address, "cut": cut}


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
    try:
        await go_on(spec, site, primary, seconds=0)
    except RetryableError as shut_out:
        if shut_out.slug != "pooler-shut-out":
            raise
        return None  # its door is closed: it is stepping down, or has, and the procedure is not over
    return primary
