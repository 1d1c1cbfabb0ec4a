"""A game day: break the primary on purpose, see that it is noticed, fail over, and measure as a customer."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from secondsite.clock import Clock, from_text, to_text
from secondsite.errors import FinalError, SecondsiteError, UnknownOutcomeError
from secondsite.events import Emit, Result
from secondsite.process import run
from secondsite.recovery.unfetched import shown
from secondsite.rehearsal import probe, window
from secondsite.rehearsal.account import Account, account
from secondsite.rehearsal.diary import Diary, Plan, ask, words
from secondsite.rehearsal.faults import DELAY_SECONDS, ON_HOST, TITLES
from secondsite.rehearsal.heal import POWER_SECONDS, hear, left_behind, surely_healed
from secondsite.rehearsal.observer import Observer, critical, primary_of
from secondsite.remote.host import reach
from secondsite.remote.procedure import carry_out_there
from secondsite.remote.target import target_of
from secondsite.spec import Spec, paths

NOTICE_SECONDS = 60.0
SETTLE_SECONDS = 3.0
SERVED_SECONDS = 120.0
POLL_SECONDS = 0.2
ENOUGH_GOOD = 5
# 64 KiB and an fsync: more than a procedure writes until its promotion.
_TRY_JOURNAL = (
    f"set -e; mkdir -p -m 700 {paths.JOURNAL}; new=$(mktemp {paths.JOURNAL}/.try-XXXXXX); trap 'rm -f \"$new\"' EXIT; "
    'head -c 65536 /dev/zero > "$new"; sync "$new"'
)


async def hold(spec: Spec, plan: Plan, *, config_sha256: str, work: Path, emit: Emit, clock: Clock) -> Account:
    """Hold the game day; everything it saw. ``work`` is a folder for the customer's log.

    Raises FinalError (``outside-window``, ``not-ready``, ``no-single-primary``, ``journal-unwritable``) before anything
    is broken. After the fault nothing raises: the fault is taken back whatever has happened, and that is the result.
    """
    refused = window.refusal(spec.gameday, clock.now())
    if refused:
        raise FinalError(refused, slug="outside-window", hint="wait, or change [gameday.window]")
    argv = probe.program(spec)
    async with AsyncExitStack() as stack:
        observers = {
            site: Observer(await stack.enter_async_context(reach(target_of(spec, site)))) for site in spec.sites
        }
        before = await _ready(observers)
        old = primary_of(before)
        if old is None:
            raise FinalError("not exactly one site is primary", slug="no-single-primary", hint="secondsite status")
        new = spec.peer_of(old)
        await _journal_writable(observers[new])
        plan.confirm(f"Break {old} now ({TITLES[plan.fault]}) and let {new} take over?")
        diary = Diary(clock, emit)
        customer = await stack.enter_async_context(probe.customer(argv, work / "customer.jsonl"))
        await _good(customer, since=clock.now().timestamp(), seconds=SERVED_SECONDS)
        await clock.sleep(SETTLE_SECONDS)
        result, told = await _break_and_recover(spec, plan, observers, old, before, customer, diary)
        outcome = None if result is None else str(result.document["outcome"])
        moved = outcome in ("completed", "blocked")
        healed = await surely_healed(spec, plan, old, diary, moved=moved)
        await ask("both hosts looked at", diary, left_behind(spec, plan, old, diary, moved=moved))
        after = await ask("status afterwards", diary, observers[new].status()) or {}
        await ask(
            "customer's end", diary, customer.end()
        )  # what is counted and what is asked for must be the same list
        lost = await _verify(customer, diary)
        journal = None if result is None else await ask("journal fetched", diary, _journal(observers[new], result))
        as_before = healed and after != {} and primary_of(after) == old
        return account(
            spec=spec,
            report_id=f"{clock.now():%Y%m%dT%H%M%SZ}-gameday-{secrets.token_hex(2)}",
            config_sha256=config_sha256,
            scenario={
                "fault": plan.fault,
                "title": TITLES[plan.fault],
                "site": old,
                "reason": plan.reason,
                "approver": plan.approver or None,
            },
            moments=diary.moments,
            checks=diary.checks,
            fault_at=diary.fault_at or 0.0,
            halfway=outcome in ("blocked", "failed") or (not moved and not as_before),
            noticed=told,
            attempts=customer.attempts(),
            lost=lost,
            procedure=_not_begun(new) if result is None else dict(result.document),
            before=before,
            after=after,
            evidence={
                **({} if journal is None else {"journal.jsonl": journal}),
                "customer.jsonl": customer.log.read_bytes(),
            },
        )


async def _break_and_recover(
    spec: Spec,
    plan: Plan,
    observers: dict[str, Observer],
    old: str,
    before: dict[str, Any],
    customer: probe.Probe,
    diary: Diary,
) -> tuple[Result | None, str | None]:
    """Break ``old`` and let the other site take over. Raises only where nothing was broken; whatever happens behind the
    fault, an interrupt too, is kept in the diary, because the fault must be taken back."""
    new = spec.peer_of(old)
    result: Result | None = None
    noticed: str | None = None
    try:
        await _break(spec, plan, observers[old], diary)
        result, noticed = await _recover(spec, plan, observers[new], before, diary)
        await _served(customer, result, diary, new)
    except (Exception, asyncio.CancelledError) as failure:
        refused = isinstance(failure, SecondsiteError) and not isinstance(failure, UnknownOutcomeError)
        if diary.fault_at is None and refused:
            raise  # nothing was broken
        if diary.fault_at is None:
            diary.fault_at = diary.note("fault", f"{TITLES[plan.fault]}, as far as is known", old)
        diary.check("the failover was carried out", False, words(failure))
        if isinstance(failure, asyncio.CancelledError):
            hear(spec, plan, old, diary)
    return result, noticed


def _not_begun(site: str) -> dict[str, Any]:
    """A procedure of which nothing is known."""
    return {
        "procedure": "failover",
        "id": None,
        "outcome": None,
        "arguments": {"to": site},
        "steps": [],
        "rto": {"measured_seconds": None},
        "rpo": {},
        "journal": None,
    }


async def _journal_writable(standby: Observer) -> None:
    """The failover that follows must not be stopped by a full disk: a fault would stay for nothing."""
    done = await standby.host.run(_TRY_JOURNAL, timeout=20, step="try the journal", check=False)
    if not done.ok:
        raise FinalError(
            f"the journal in {paths.JOURNAL} cannot be written, so nothing is broken on purpose: {done.why()}",
            slug="journal-unwritable",
            host=standby.host.site,
            hint=f"df -h {paths.JOURNAL}; make room, then repeat",
        )


async def _ready(observers: dict[str, Observer]) -> dict[str, Any]:
    """A status that says ready. Rehearsing what is already broken proves nothing and may cost data."""
    status = await next(iter(observers.values())).status()
    if not status["ready"]:
        found = "; ".join(str(finding["message"]) for finding in critical(status).values()) or "see secondsite status"
        raise FinalError(
            f"a failover now would not work, so nothing is broken on purpose: {found}",
            slug="not-ready",
            hint="secondsite readiness",
        )
    return status


async def _break(spec: Spec, plan: Plan, primary: Observer, diary: Diary) -> None:
    site = primary.host.site
    if plan.fault in ON_HOST:
        told = await primary.ask(f"fault {plan.fault} --undo-after-seconds {plan.for_seconds:g}")
        diary.fault_at = diary.note("fault", TITLES[plan.fault], site, at=diary.clock.now().timestamp() + DELAY_SECONDS)
        diary.note("undo", f"armed before: ends by itself after {told['undo_after_seconds']:g} s", site)
        return
    off = spec.sites[site].power.off
    if not off:
        raise FinalError(
            f"the file names no command that powers {site} off",
            slug="no-power-command",
            hint=f'add power = {{ off = ["PROGRAM", ...], on = [...] }} to [sites.{site}]',
        )
    primary.host.connection.abort()
    diary.fault_at = diary.note("fault", TITLES[plan.fault], site)
    await run(off, timeout=POWER_SECONDS, step="power off")


async def _recover(
    spec: Spec, plan: Plan, standby: Observer, before: dict[str, Any], diary: Diary
) -> tuple[Result, str | None]:
    """Wait until it is noticed, then fail over. Not noticing is a finding; the failover goes on all the same."""
    site = standby.host.site
    noticed: str | None = None
    try:
        noticed, _ = await standby.until_noticed(before, patience_seconds=NOTICE_SECONDS)
        diary.note("detection", f"status says: {noticed}", site)
    except FinalError as unseen:
        diary.check("noticed", False, unseen.message)
    diary.note("decision", f"secondsite failover --to {site}", site)
    arguments = {
        "to": site,
        "commanded_at": to_text(diary.clock.now()),
        "accept_unconfirmed_fence": True,  # the fault is ours: what it breaks is known
        "reason": plan.reason or f"game day: {plan.fault}",
    }
    if plan.approver:
        arguments["approved_by"] = plan.approver
    result = await carry_out_there(spec, "failover", arguments, at=site, emit=diary.emit)
    if "error" in result.document:
        raise FinalError(
            f"the failover did not begin: {result.document['message']}",
            slug=str(result.document["error"]),
            host=site,
            hint=result.document.get("hint"),
        )
    for step in result.document["steps"]:
        if step["ended_at"]:
            diary.moments.append(
                {
                    "kind": "step",
                    "what": f"{step['title']}: {shown(step['outcome'], step.get('details') or {})}",
                    "site": step["site"],
                    "at": from_text(step["ended_at"]).timestamp(),
                }
            )
    return result, noticed


async def _served(customer: probe.Probe, result: Result, diary: Diary, site: str) -> None:
    decided = from_text(result.document["arguments"]["commanded_at"]).timestamp()
    served = await _good(customer, since=decided, seconds=SERVED_SECONDS)
    if served is None:
        diary.check("customer served", False, f"no customer was served within {SERVED_SECONDS:g} s")
        return
    diary.note("customer", "first customer is served again", site, at=served)
    await diary.clock.sleep(SETTLE_SECONDS)


async def _verify(customer: probe.Probe, diary: Diary) -> dict[str, Any]:
    try:
        return dict(await customer.verify())
    except SecondsiteError as failure:
        diary.check("customer's own list", False, failure.message)
        return {}


async def _journal(observer: Observer, result: Result) -> bytes:
    path = str(result.document["journal"])
    done = await observer.host.run('exec cat -- "$(cat)"', stdin=path.encode(), timeout=20, step="fetch the journal")
    return done.stdout.encode()


async def _good(customer: probe.Probe, *, since: float, seconds: float) -> float | None:
    """Wait for ``ENOUGH_GOOD`` acknowledged attempts sent after ``since``; when the first was acknowledged."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline:
        good = sorted(
            one.acknowledged_at
            for one in customer.attempts()
            if one.acknowledged_at is not None and one.sent_at >= since
        )
        if len(good) >= ENOUGH_GOOD:
            return good[0]
        await asyncio.sleep(POLL_SECONDS)
    return None
