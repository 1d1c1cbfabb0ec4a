"""Take the fault of a game day back whatever has happened, and see what it leaves."""

from __future__ import annotations

import asyncio

from secondsite.errors import SecondsiteError
from secondsite.events import Note
from secondsite.process import run
from secondsite.rehearsal import leftovers
from secondsite.rehearsal.diary import Diary, Plan, ask
from secondsite.rehearsal.faults import ON_HOST
from secondsite.rehearsal.observer import Observer
from secondsite.rehearsal.standing import standing
from secondsite.remote.host import reach
from secondsite.remote.target import target_of
from secondsite.spec import Spec

RETURN_SECONDS = 120.0
POWER_SECONDS = 120.0


def hear(spec: Spec, plan: Plan, old: str, diary: Diary) -> None:
    """The first interrupt ends the rehearsal; what it has broken must not stay so, and is taken back all the same."""
    diary.interrupted = True
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
    if not diary.undone:
        goes_on = "It is taken back from here, and the report is written; a second Ctrl-C ends this without either"
        diary.emit(Note(f"interrupted: {_stands(spec, plan, old, diary)}. {goes_on}", level="warning"))


def _stands(spec: Spec, plan: Plan, old: str, diary: Diary) -> str:
    now, on = diary.clock.now().timestamp(), spec.sites[old].power.on
    return standing(plan.fault, old, until=(diary.fault_at or now) + plan.for_seconds, now=now, power_on=on)


async def surely_healed(spec: Spec, plan: Plan, old: str, diary: Diary, *, moved: bool) -> bool:
    """``_heal``, which one interrupt does not stop. A second one does, and says what it leaves behind."""
    try:
        return await _heal(spec, plan, old, diary, moved=moved)
    except asyncio.CancelledError:
        if not diary.interrupted:
            hear(spec, plan, old, diary)
            return await surely_healed(spec, plan, old, diary, moved=moved)
        if not diary.undone:
            diary.emit(Note(f"interrupted again: {_stands(spec, plan, old, diary)}", level="error"))
        raise


async def _heal(spec: Spec, plan: Plan, old: str, diary: Diary, *, moved: bool) -> bool:
    """End the fault and see what the old primary does when it is back: where another has taken over it must not accept
    a write, else it must serve again. True where it was seen to do so, or is to stay off. Raises nothing."""
    wanted = ("standby", "stopped") if moved else ("primary",)
    if plan.fault == "power-off":
        on = spec.sites[old].power.on
        if moved and not (on and plan.return_power):
            return True
        if not on:
            diary.check("the fault is taken back", False, f"the file names no command that powers {old} on again")
            return False
        diary.note("undo", f"{old} gets its power back", old)
        powered = await ask("the fault is taken back", diary, run(on, timeout=POWER_SECONDS, step="power on"))
        diary.undone = powered is not None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RETURN_SECONDS + plan.for_seconds
    role, told = "unknown", f"{old} did not come back"
    while loop.time() < deadline:
        try:
            async with asyncio.timeout(20), reach(target_of(spec, old)) as host:
                back = Observer(host)
                if plan.fault in ON_HOST:
                    diary.undone = not (await back.ask(f"fault {plan.fault} --undo"))["left"]
                state = await back.ask("state --json")
                role = str(state["database"]["role"])
                told = str(state.get("guard_reason") or state["database"].get("reason") or role)
                if role in wanted and state["agent_running"]:
                    break
        except (SecondsiteError, TimeoutError, OSError) as not_yet:
            told = str(not_yet)
        await asyncio.sleep(1.0)
    diary.note("check", f"{old} is back: its database is {role}", old)
    name = "old primary accepts no write" if moved else "the fault is taken back, and the primary serves again"
    diary.check(name, role in wanted, f"{role}: {told}")
    return role in wanted


async def left_behind(spec: Spec, plan: Plan, old: str, diary: Diary, *, moved: bool) -> None:
    """Look at both hosts for what a fault leaves; at the old one only where it has its power back."""
    returns = bool(spec.sites[old].power.on) and (plan.return_power or not moved)
    off = old if plan.fault == "power-off" and not returns else None
    left = await leftovers.look(spec, [site for site in spec.sites if site != off])
    diary.check(leftovers.NAME, *leftovers.judged(left, off))
