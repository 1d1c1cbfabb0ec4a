"""The verdict in one sentence, and the four numbers that stand behind it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.evidence.disaster import worked_on
from secondsite.evidence.report import Report, rehearsed
from secondsite.evidence.words import NOT_MEASURED, count, listed, objective, span

_THERE = "found at the old primary"


@dataclass(frozen=True, slots=True)
class Figure:
    """A big number. state: good, bad or unknown. share: of the objective, for a gauge; None without one."""

    title: str
    value: str
    beside: str
    state: str
    share: float | None = None


def sentence(report: Report) -> str:
    """What was broken, what customers felt of it, and what is gone."""
    fault, customer, rpo = report["scenario"], report["customer"], report["rpo"]
    where = f" at {fault['site']}" if fault["site"] else ""
    goal = f"(objective {objective(report['rto']['objective_seconds'])})"
    interruption = outage(report)
    if not rehearsed(report):
        since = f"{fault['site']}'s last sign of life"
        return f"{fault['title']}{where}: the service was away for {interruption} since {since} {goal}, and" + (
            f" {lost_work(report)} (objective {objective(rpo['objective_seconds'])})."
        )
    if interruption == NOT_MEASURED:
        felt = "how long customers were without service was not measured"
    elif customer["outage_seconds"] is None:
        felt = "customers noticed no interruption"
    else:
        felt = f"customers were without service for {interruption} {goal}"
    return f"{fault['title'] or fault['fault']}{where}: {felt}, and {lost_work(report)}" + (
        f" (objective {objective(rpo['objective_seconds'])})." if rpo["measured_seconds"] is not None else "."
    )


def lost_work(report: Report) -> str:
    """What is gone, in words."""
    rpo = report["rpo"]
    if not rehearsed(report):
        return _bounded(report)
    orders, files, seconds = rpo["orders_lost"], rpo["files_lost"], rpo["measured_seconds"]
    if orders is None and files is None:
        return f"what is lost was {NOT_MEASURED}"
    if not orders and not files and orders is not None and files is not None:
        return "nothing that had been acknowledged is lost"
    things = [count(number, noun) for number, noun in ((orders, "order"), (files, "file")) if number is not None]
    verb = "is" if (orders or 0) + (files or 0) == 1 else "are"
    return f"{listed(things)} {verb} lost" + (f", {span(seconds)} of work" if seconds is not None else "")


def _bounded(report: Report) -> str:
    """What is known of the loss where no customer was measured: the bound, and what was found at the old primary."""
    rpo = report["rpo"]
    seconds, rows, files = rpo["estimated_seconds"], rpo.get("rows_lost"), rpo["files_lost"]
    if lived_on(report):
        seconds = rpo["at_most_seconds"]
    bound = "how much work is lost is not known" if seconds is None else f"at most {span(seconds)} of work is lost"
    if lived_on(report):
        until = str(rpo.get("last_lost_at"))[:19].replace("T", " ")
        bound += f" ({report['scenario']['site']} worked on out of sight, by its own clock until {until} UTC)"
    elif seconds is not None and (more := if_it_worked_on(report)) is not None:
        most = f"at most {span(more)}" if more else "nobody knows how much"
        bound += f" if {report['scenario']['site']} died when it fell silent, {most} if it worked on"
    if rows is None and files is None:
        return bound
    found = [count(number, noun) for number, noun in ((rows, "row"), (files, "file")) if number is not None]
    if gone := left_no_row(report):
        found.insert(1, f"{count(gone, 'transaction')} that left none")
    if prepared := rpo.get("prepared_lost"):
        found.append(count(prepared, "prepared transaction"))
    return f"{bound}: {listed(found)} were found that had never arrived"


def lived_on(report: Report) -> bool:
    """Whether the transactions that were found prove that the old primary worked on when nobody heard it any more."""
    return worked_on(report["rto"].get("outage_since"), report["rpo"].get("last_lost_at"))


def left_no_row(report: Report) -> int:
    """How many transactions were lost where not one row was left of them."""
    rpo = report["rpo"]
    return (rpo.get("transactions_lost") or 0) if rpo.get("rows_lost") == 0 else 0


def if_it_worked_on(report: Report) -> float | None:
    """The other bound (seconds; 0 where there is none) where nobody confirmed that the old primary had stopped; None
    where one bound is enough."""
    rpo = report["rpo"]
    least, most = rpo["estimated_seconds"], rpo["at_most_seconds"]
    if report["procedure"].get("fence") == "confirmed" or least is None:
        return None
    return 0.0 if most is None else most if most > least + 1 else None


def outage(report: Report) -> str:
    """The time without service. "none seen" only where customers tried after the fault and none failed."""
    customer = report["customer"]
    if not rehearsed(report):
        return span(report["rto"].get("outage_seconds"))
    if customer["outage_seconds"] is not None:
        return span(customer["outage_seconds"])
    after = [one for one in customer["series"] if one["t"] >= 0]
    return "none seen" if after and all(one["ok"] for one in customer["series"]) else NOT_MEASURED


def standby(report: Report) -> str:
    """The site that took over."""
    told = report["procedure"].get("arguments", {}).get("to")
    others = [name for name in report["scope"]["sites"] if name != report["scenario"]["site"]]
    return str(told or (others[0] if others else "the standby"))


def figures(report: Report) -> list[Figure]:
    """Time without service, work lost, orders lost, files lost."""
    rto, rpo, customer = report["rto"], report["rpo"], report["customer"]
    if not rehearsed(report):
        return _of_failover(report)
    return [
        Figure(
            "Without service", outage(report), _goal("RTO", rto["objective_seconds"]),
            _state(rto["met"]), _share(customer["outage_seconds"], rto["objective_seconds"]),
        ),
        Figure(
            "Work lost", span(rpo["measured_seconds"]), _goal("RPO", rpo["objective_seconds"]),
            _state(rpo["met"]), _share(rpo["measured_seconds"], rpo["objective_seconds"]),
        ),
        _lost("Orders lost", rpo["orders_lost"], customer["orders_acknowledged"], rpo["met"]),
        _lost("Files lost", rpo["files_lost"], customer["files_acknowledged"], rpo["met"]),
    ]  # fmt: skip


def _of_failover(report: Report) -> list[Figure]:
    """The same four where nobody was measured as a customer."""
    rto, rpo = report["rto"], report["rpo"]
    away, most = rto.get("outage_seconds"), rpo["at_most_seconds" if lived_on(report) else "estimated_seconds"]
    bound = NOT_MEASURED if most is None else f"≤ {span(most)}"
    beside = _goal("RPO", rpo["objective_seconds"])
    if lived_on(report):
        beside += "; it worked on out of sight"
    elif worked := if_it_worked_on(report):
        beside += f"; ≤ {span(worked)} if it worked on"
    more = [f"{count(gone, 'transaction')} left none"] if (gone := left_no_row(report)) else []
    if prepared := rpo.get("prepared_lost"):
        more.append(f"{count(prepared, 'prepared transaction')} lost")
    found = (
        ("Rows lost", rpo.get("rows_lost"), "; ".join([_THERE, *more])),
        ("Files lost", rpo["files_lost"], _THERE),
    )
    return [
        Figure("Without service", span(away), _goal("RTO", rto["objective_seconds"]), _state(rto["met"]),
               _share(away, rto["objective_seconds"])),
        Figure("Work lost", bound, beside, _state(rpo["met"]), _share(most, rpo["objective_seconds"])),
        *(Figure(title, NOT_MEASURED if number is None else str(number), where,
                 "good" if number == 0 and where == _THERE else _state(rpo["met"]) if number else "unknown")
          for title, number, where in found),
    ]  # fmt: skip


def _lost(title: str, lost: int | None, acknowledged: int | None, met: bool | None) -> Figure:
    of = "acknowledged: not counted" if acknowledged is None else f"of {acknowledged} acknowledged"
    if lost is None:
        return Figure(title, NOT_MEASURED, of, "unknown")
    return Figure(title, str(lost), of, "good" if lost == 0 else _state(met))


def _goal(name: str, seconds: float | None) -> str:
    return f"{name}: at most {objective(seconds)}" if seconds is not None else f"{name}: not set"


def _state(met: bool | None) -> str:
    return {True: "good", False: "bad", None: "unknown"}[met]


def _share(value: float | None, goal: float | None) -> float | None:
    return None if value is None or not goal else value / goal
