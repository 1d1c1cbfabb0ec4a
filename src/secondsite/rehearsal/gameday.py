"""A game day: break the primary on purpose, see that it is noticed, fail over, and measure as a customer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondsite.clock import Clock, from_text, to_text
from secondsite.errors import FinalError, SecondsiteError
from secondsite.events import Emit, Note, Result
from secondsite.process import run
from secondsite.rehearsal import leftovers, probe, window
from secondsite.rehearsal.account import Account, account
from secondsite.rehearsal.faults import DELAY_SECONDS, ON_HOST, TITLES
from secondsite.rehearsal.observer import Observer, critical, primary_of
from secondsite.remote.host import reach
from secondsite.remote.procedure import carry_out_there
from secondsite.remote.target import target_of
from secondsite.spec import Spec

NOTICE_SECONDS = 60.0
SETTLE_SECONDS = 3.0
SERVED_SECONDS = 120.0
RETURN_SECONDS = 120.0
POWER_SECONDS = 120.0
POLL_SECONDS = 0.2
ENOUGH_GOOD = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be rehearsed. for_seconds: a fault on the host ends by itself after this. approver: by whose leave."""

    fault: str
    for_seconds: float
    reason: str
    confirm: Callable[[str], None]
    return_power: bool = True
    approver: str = ""


@dataclass(slots=True)
class Diary:
    """What has happened so far, for the report."""

    clock: Clock
    emit: Emit
    fault_at: float | None = None
    moments: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)

    def note(self, kind: str, what: str, site: str | None = None, at: float | None = None) -> float:
        """Keep a moment (unix seconds; now where none is given) and say it."""
        moment = self.clock.now().timestamp() if at is None else at
        self.moments.append({"kind": kind, "what": what, "site": site, "at": moment})
        self.emit(Note(what, site))
        return moment

    def check(self, name: str, passed: bool, told: str) -> None:
        """Keep the result of a check."""
        self.checks.append({"name": name, "passed": passed, "told": told})
        self.emit(Note(f"{name}: {told}", level="info" if passed else "error"))


async def hold(spec: Spec, plan: Plan, *, config_sha256: str, work: Path, emit: Emit, clock: Clock) -> Account:
    """Hold the game day; everything it saw. ``work`` is a folder for the customer's log.

    Raises FinalError (``outside-window``, ``not-ready``, ``no-single-primary``) before anything is broken. After
    the fault nothing raises for what the rehearsal found: that is the result.
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
        plan.confirm(f"Break {old} now ({TITLES[plan.fault]}) and let {new} take over?")
        diary = Diary(clock, emit)
        customer = await stack.enter_async_context(probe.customer(argv, work / "customer.jsonl"))
        await _good(customer, since=clock.now().timestamp(), seconds=SERVED_SECONDS)
        await clock.sleep(SETTLE_SECONDS)
        await _break(spec, plan, observers[old], diary)
        result, told = await _recover(spec, plan, observers[new], before, diary)
        await _served(customer, result, diary, new)
        await _heal(spec, plan, old, diary, stack)
        await _left_behind(spec, plan, old, diary)
        after = await observers[new].status()
        await customer.end()  # what is counted and what is asked for must be the same list
        lost = await _verify(customer, diary)
        journal = await _journal(observers[new], result)
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
            noticed=told,
            attempts=customer.attempts(),
            lost=lost,
            procedure=dict(result.document),
            before=before,
            after=after,
            evidence={"journal.jsonl": journal, "customer.jsonl": customer.log.read_bytes()},
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
                    "what": f"{step['title']}: {step['outcome']}",
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


async def _heal(spec: Spec, plan: Plan, old: str, diary: Diary, stack: AsyncExitStack) -> None:
    """End the fault and see what the old primary does when it is back: it must not accept a write."""
    if plan.fault == "power-off":
        on = spec.sites[old].power.on
        if not on or not plan.return_power:
            return
        diary.note("undo", f"{old} gets its power back", old)
        await run(on, timeout=POWER_SECONDS, step="power on")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETURN_SECONDS + plan.for_seconds
    role, told = "unknown", f"{old} did not come back"
    while loop.time() < deadline:
        try:
            async with asyncio.timeout(20), reach(target_of(spec, old)) as host:
                back = Observer(host)
                if plan.fault in ON_HOST:
                    await back.ask(f"fault {plan.fault} --undo")
                state = await back.ask("state --json")
                role = str(state["database"]["role"])
                told = str(state.get("guard_reason") or state["database"].get("reason") or role)
                if role in ("standby", "stopped") and state["agent_running"]:
                    break
        except (SecondsiteError, TimeoutError) as not_yet:
            told = str(not_yet)
        await asyncio.sleep(1.0)
    diary.note("check", f"{old} is back: its database is {role}", old)
    diary.check("old primary accepts no write", role in ("standby", "stopped"), f"{role}: {told}")


async def _left_behind(spec: Spec, plan: Plan, old: str, diary: Diary) -> None:
    """Look at both hosts for what a fault leaves; at the old one only where it has its power back."""
    off = old if plan.fault == "power-off" and not (plan.return_power and spec.sites[old].power.on) else None
    left = await leftovers.look(spec, [site for site in spec.sites if site != off])
    diary.check(leftovers.NAME, *leftovers.judged(left, off))


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
