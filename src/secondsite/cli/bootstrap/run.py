"""What ``plan`` and ``apply`` share: load, connect, look, show; and the document that both print."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondsite.cli.bootstrap.connected import connected
from secondsite.cli.bootstrap.consent import agree
from secondsite.cli.bootstrap.order import Order
from secondsite.cli.bootstrap.protection import Protection, protection
from secondsite.cli.bootstrap.summary import in_one_look, summary
from secondsite.cli.bootstrap.total import closing, total
from secondsite.cli.bootstrap.verify import Check
from secondsite.cli.sight_ssh import Hosts
from secondsite.errors import Exit, HalfwayError, UsageError
from secondsite.events import ChangePlanned, Emit, Note
from secondsite.spec import Spec
from secondsite.spec.load import Loaded, load


async def plan(
    path: Path, replace_standby: str | None, emit: Emit, *, read_only: bool = True, details: bool = False
) -> dict[str, Any]:
    """The document of a plan; both hosts are looked at and nothing is changed. Raises SecondsiteError.

    details: every change is told with its diff, however many they are.
    """
    loaded = load(path)
    _known_site(loaded.spec, replace_standby)
    _tell_unkept(loaded, emit)
    async with connected(loaded.spec, emit, read_only=read_only) as sessions:
        order = Order(loaded.spec, loaded.text, sessions, emit, replace_standby)
        await order.observe()
        changes = await order.plan()
        again = _given_up(replace_standby)
        _show(order, emit, details=details, otherwise=f"secondsite plan --details{again}")
        told = document(order, "planned")
        if changes:
            for line in closing(changes, _roles(order), f"secondsite apply{again}"):
                emit(Note(line))
        return told


async def apply(
    path: Path, replace_standby: str | None, emit: Emit, *, yes: bool, details: bool = False
) -> tuple[dict[str, Any], int]:
    """Plan, ask, make the changes, verify; the document and the exit code. Raises SecondsiteError.

    details: as in ``plan``. With ``yes`` the changes are told as they are planned: ``emit`` knows what to leave out.
    """
    loaded = load(path)
    _known_site(loaded.spec, replace_standby)
    _tell_unkept(loaded, emit)
    async with connected(loaded.spec, emit, read_only=False) as sessions:
        order = Order(loaded.spec, loaded.text, sessions, emit, replace_standby)
        await order.observe()
        changes = await order.plan()
        if not changes:
            emit(Note("nothing to change"))
        else:
            otherwise = f"secondsite plan --details{_given_up(replace_standby)}"
            _show(order, emit, details=details or yes, otherwise=otherwise)
            await _agree(changes, yes, emit)
            await order.apply(allowed=None if yes else [change.resource for change in changes if change.disrupts])
        if changes:
            checks, end = await order.verify(), None
        else:  # what is as it was may be looked at from both sides at once
            checks, end = await at_once(order.verify(), _protection(loaded.spec))
    failed = [check for check in checks if not check.ok]
    if failed:
        raise not_working(failed, order)
    for check in checks:
        emit(Note(f"{check.name}: {check.message}", check.site))
    end = end or await _protection(loaded.spec)
    emit(Note(end.told, level="info" if end.protects else "warning"))
    emit(Note(f"next: {end.next}"))
    outcome = "applied" if changes else "unchanged"
    told = {"checks": [check.as_json() for check in checks], "protection": end.as_json()}
    return document(order, outcome) | told, int(Exit.OK)


async def at_once(
    verify: Coroutine[Any, Any, list[Check]], protection: Coroutine[Any, Any, Protection]
) -> tuple[list[Check], Protection | None]:
    """Both, side by side. Where a check has failed the protection is not waited for, and is None: it cannot come."""
    looking = asyncio.create_task(protection)
    try:
        checks = await verify
        return checks, await looking if all(check.ok for check in checks) else None
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def _given_up(site: str | None) -> str:
    """The option as it was given: without it a plan of a former primary is refused."""
    return f" --replace-standby {site}" if site else ""


async def _protection(spec: Spec) -> Protection:
    async with Hosts(spec) as hosts:
        return await protection(hosts.look)


def document(order: Order, outcome: str) -> dict[str, Any]:
    """What both commands print with --json."""
    return {
        "outcome": outcome,
        "primary": order.primary,
        "standby": order.standby,
        "sites": {site: {"role": role} for site, role in _roles(order).items()},
        "changes": [asdict(change) for change in order.changes],
        "done": [asdict(change) for change in order.done],
        "disrupts": [asdict(change) for change in order.changes if change.disrupts],
        "total": total(order.changes, order.spec.site_names),
    }


def not_working(failed: Sequence[Check], order: Order) -> HalfwayError:
    """Everything was set and something does not work: told with every check that failed."""
    told = "; ".join(f"{check.site}: {check.name}: {check.message}" for check in failed)
    return HalfwayError(
        f"everything is set up, and this does not work yet: {told}. The service runs at {order.primary}",
        slug="not-working",
        host=failed[0].site,
        step="verify",
        hint=f"{failed[0].hint or 'secondsite status'}; then: secondsite apply",
    )


def _roles(order: Order) -> dict[str, str]:
    return {site: "primary" if site == order.primary else "standby" for site in order.spec.site_names}


def _show(order: Order, emit: Emit, *, details: bool, otherwise: str) -> None:
    """Every change where they can be read, else what they come to. otherwise: the command that shows every change."""
    changes = order.changes
    if not changes:
        emit(Note("nothing to change"))
    elif details or in_one_look(changes):
        for change in changes:
            emit(change)
    else:
        for line in summary(changes, _roles(order)):
            emit(Note(line))
        emit(Note(f"every change with its diff: {otherwise}"))


async def _agree(changes: Sequence[ChangePlanned], yes: bool, emit: Emit) -> None:
    """Users notice nothing of most changes; those they notice need an answer. Raises UsageError, FinalError."""
    noticed = [f"{change.site}: {change.resource}: {change.disrupts}" for change in changes if change.disrupts]
    if noticed and not yes:
        emit(Note("users of the service will notice: " + "; ".join(noticed), level="warning"))
        await agree(f"Make these {len(changes)} changes now?", yes=yes)


def _tell_unkept(loaded: Loaded, emit: Emit) -> None:
    """What the file asks of a file set and nobody does yet: somebody might rely on it."""
    for warning in loaded.warnings:
        if warning.path.startswith("files"):
            emit(Note(warning.text(loaded.path), level="warning"))


def _known_site(spec: Spec, site: str | None) -> None:
    if site is not None and site not in spec.sites:
        raise UsageError(f"--replace-standby {site}: the sites are {' and '.join(spec.sites)}", slug="no-such-site")
