"""Play one round: put the lab back, load it, break it, let the operator act, heal, come back, gather what was seen."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from campaign.both import at_both
from campaign.breaking import Breaker
from campaign.checks import Evidence, failovers, late_writes, lost, readable, violations
from campaign.journals import completed
from campaign.load import Load, wait_for_load
from campaign.operator import Operator
from campaign.plan import OTHER, Plan, moments
from campaign.states import States
from secondsite_lab.applied import BIN, AppliedLab

KEYS = "SELECT key FROM orders"
SLOTS = "SELECT coalesce(json_agg(s), '[]') FROM (SELECT slot_name, active FROM pg_replication_slots) s"
LEFT = "ls /var/lib/secondsite/fenced /var/lib/secondsite/quarantine 2>/dev/null; true"
REPLAY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Round:
    """How a round went. outage: the longest time in which the client had no row acknowledged. spent: seconds a part."""

    plan: Plan
    evidence: Evidence | None
    wrong: tuple[str, ...]
    outage: float
    seconds: float
    deeds: tuple[str, ...]
    spent: Mapping[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As one entry of build/campaign/SEED.json."""
        seen = self.evidence
        over = failovers(seen) if seen else []
        rpo = (over[0].document.get("rpo") or {}) if over else {}
        return {
            "round": self.plan.number,
            "mode": self.plan.mode,
            "primary": self.plan.primary,
            "faults": [str(fault) for fault in self.plan.faults],
            "reaction": str(self.plan.reaction),
            "way_back": self.plan.way_back,
            "deeds": list(self.deeds),
            "acknowledged": len(seen.acks) if seen else None,
            "lost": len(lost(seen)) if seen and readable(seen) else None,
            "beside": len(late_writes(seen.acks)) if seen else None,  # accepted by the old primary beside the new one
            "reported": {
                "fence": over[0].document.get("fence") if over else None,
                **{key: rpo.get(key) for key in ("estimated_seconds", "at_most_seconds", "known_bytes")},
            }
            if over
            else None,
            "outage_seconds": round(self.outage, 2),
            "seconds": round(self.seconds, 1),
            "spent": {part: round(seconds, 1) for part, seconds in self.spent.items()},
            "verdict": "failed" if self.wrong else "held",
            "wrong": list(self.wrong),
        }


def play(lab: AppliedLab, states: States, plan: Plan, folder: Path) -> Round:
    """One round. A lab that does not even come to its start is a failed round like any other."""
    marks = {"": time.monotonic()}
    config = states.enter(plan.mode, plan.primary)
    marks["state"] = time.monotonic()
    person, breaker = Operator(lab, config, plan), Breaker(lab)
    with Load(lab, folder) as load:
        loaded = wait_for_load(load, plan.primary)
        marks["load"] = time.monotonic()
        _live_through(plan, loaded, breaker, person)
        marks["faults"] = time.monotonic()
        status = person.come_back()
        marks["way back"] = time.monotonic()
        time.sleep(0.5)
    seen = gather(lab, plan, person, breaker, load, status, config)
    marks["proof"] = time.monotonic()
    spent = {part: marks[part] - before for before, part in zip(marks.values(), list(marks)[1:], strict=False)}
    wrong = violations(seen)
    deeds = (*person.deeds, *breaker.troubles)
    outage = longest_gap([ack.acknowledged for ack in seen.acks if ack.path == "service"])
    (folder / "deeds.json").write_text(json.dumps([*deeds, *wrong], indent=2))
    (folder / "procedures.json").write_text(json.dumps([dict(one.document) for one in person.done], indent=2))
    return Round(plan, seen, tuple(wrong), outage, sum(spent.values()), deeds, spent)


def _live_through(plan: Plan, loaded: float, breaker: Breaker, person: Operator) -> None:
    """Every moment of the plan at its time. A procedure goes on beside what breaks and heals meanwhile."""
    acting: threading.Thread | None = None
    for moment in moments(plan):
        time.sleep(max(0.0, loaded + moment.at - time.monotonic()))
        if moment.fault is None:
            acting = threading.Thread(target=person.react)
            acting.start()
        elif moment.heals:
            breaker.heal(moment.fault)
        else:
            breaker.inject(moment.fault)
    if acting is not None:
        acting.join()
    breaker.heal_all()


def gather(
    lab: AppliedLab, plan: Plan, person: Operator, breaker: Breaker, load: Load,
    status: dict[str, dict[str, Any]], config: Path,
) -> Evidence:  # fmt: skip
    """Ask the lab all that the checker wants to know, after the load has ended."""
    there = at_both(lambda site: _keys(person, site))
    deadline = time.monotonic() + REPLAY_SECONDS
    while there["oslo"] != there["bergen"] and time.monotonic() < deadline:
        time.sleep(0.5)
        there = at_both(lambda site: _keys(person, site))
    acks, left = load.acknowledged(), at_both(lambda site: _left(person, site))
    missing = any(ack.key not in keys for keys in there.values() for ack in acks)
    return Evidence(
        mode=plan.mode,
        primary=plan.primary,
        acks=acks,
        faults=tuple(breaker.happened),
        procedures=completed(person.done, person.run),
        there=there,
        written_down=_written_down(lab, config) if missing else None,
        status=status,
        slots=at_both(lambda site: json.loads(_sql(person, site, SLOTS) or "[]")),
        left_over=(*left["oslo"], *left["bergen"]),
        epoch=time.time() - time.monotonic(),
    )


def _left(person: Operator, site: str) -> list[str]:
    found = [f"{path} is left at {site}" for path in person.run(site, ["sh", "-c", LEFT]).split()]
    return found if person.journals_whole(site) else [*found, f"a journal at {site} is not whole"]


def _sql(person: Operator, site: str, query: str) -> str:
    return person.run(site, ["psql", "-XAtqc", query, "shop"], user="postgres").strip()


def _keys(person: Operator, site: str) -> frozenset[str]:
    return frozenset(_sql(person, site, KEYS).split())


def _written_down(lab: AppliedLab, config: Path) -> frozenset[str] | None:
    argv = lab.world(str(BIN / "secondsite"), "--config", str(config), "report", "--lost-rows", "--json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        return None
    found = json.loads(done.stdout)["lost"]
    rows = [row for record in found for row in record["lost_rows"]]
    return frozenset(row["row"]["key"] for row in rows if row["table"] == "orders") if found else None


def longest_gap(moments_: list[float]) -> float:
    """The longest time between two of these moments; 0 where there are fewer than two."""
    return max((later - earlier for earlier, later in pairwise(sorted(moments_))), default=0.0)


def keep_logs(lab: AppliedLab, folder: Path) -> None:
    """Journals, and what agent and PostgreSQL have said, of both hosts; they may be off."""
    from secondsite_lab import inside
    from secondsite_lab.errors import LabError
    from secondsite_lab.lab import lab_named
    from secondsite_lab.topology import host_named

    for site in OTHER:
        for name, command in {
            f"{site}-journal.txt": ["journalctl", "--no-pager", "-o", "short-precise", "-n", "4000"],
            f"{site}-postgresql.log": ["sh", "-c", "tail -n 4000 /var/log/postgresql/*.log"],
            f"{site}-procedures.jsonl": ["sh", "-c", "tail -n +1 /var/lib/secondsite/journal/*"],
            f"{site}-status.json": ["secondsite", "status", "--json"],
        }.items():
            try:
                argv = inside.argv(lab_named(lab.name), host_named(site), command)
                with (folder / name).open("wb") as out:
                    subprocess.run(argv, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=30)
            except (LabError, subprocess.TimeoutExpired) as silent:
                (folder / name).write_text(f"{silent}\n")
