"""Bring the faults of a plan upon the lab, and heal them: each with a command of ``secondsite-lab``."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field

from campaign.both import at_both
from campaign.plan import OTHER, Fault, Kind
from secondsite_lab.applied import AppliedLab

AGENT = "secondsite-agent.service"


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault as it happened, by the monotonic clock. healed: when the last of it was gone."""

    fault: Fault
    began: float
    healed: float


@dataclass
class Breaker:
    """Breaks and heals, and remembers when. ``off``: hosts without power now."""

    lab: AppliedLab
    off: set[str] = field(default_factory=set)
    began: dict[Fault, float] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def inject(self, fault: Fault) -> None:
        """Begin a fault. What cannot break because another fault has broken it already is noted."""
        self.began[fault] = time.monotonic()
        if fault.host in self.off and fault.kind not in (
            Kind.LINK_CUT,
            Kind.LINK_ONE_WAY,
            Kind.SITE_CUT,
            Kind.SLOW_LINK,
        ):
            self.troubles.append(f"{fault.kind} at {fault.host}, which is off")
            return
        if fault.kind is Kind.POWER_OFF:
            self.off.add(fault.host)
        self._try(*_begin(fault))

    def heal(self, fault: Fault) -> None:
        """End a fault; a host that lost its power gets it back."""
        if fault.kind is Kind.POWER_OFF:
            self._try("power-on", fault.host)
            self.off.discard(fault.host)
        elif fault.kind in (Kind.LINK_CUT, Kind.LINK_ONE_WAY, Kind.SLOW_LINK):
            self._try("link", "heal", fault.host, OTHER[fault.host])
        elif fault.kind is Kind.SITE_CUT:
            self._try("link", "heal", fault.host)
        elif fault.kind is not Kind.AGENT_KILLED and fault.host not in self.off:
            self._try("fault", "heal", fault.host)
        self.happened.append(Happened(fault, self.began[fault], time.monotonic()))

    def heal_all(self) -> None:
        """Whatever a fault at the same host or link may have kept from being healed."""
        for host in sorted(self.off):
            self._try("power-on", host)
        self.off.clear()
        self._try("link", "heal")
        at_both(lambda host: self._try("fault", "heal", host))

    def _try(self, *words: str) -> None:
        try:
            self.lab.lab(*words, timeout=60)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failed:
            told = getattr(failed, "stderr", "") or str(failed)
            self.troubles.append(f"{' '.join(words)}: {str(told).strip()[-200:]}")


def _begin(fault: Fault) -> tuple[str, ...]:
    here, there = fault.host, OTHER[fault.host]
    match fault.kind:
        case Kind.POWER_OFF:
            return ("power-off", here)
        case Kind.LINK_CUT:
            return ("link", "cut", here, there)
        case Kind.LINK_ONE_WAY:
            return ("link", "cut", here, there, "--one-way")
        case Kind.SITE_CUT:
            return ("link", "cut", here)
        case Kind.SLOW_LINK:
            return ("link", "shape", here, there, *fault.detail)
        case Kind.FREEZE:
            return ("fault", "freeze", here)
        case Kind.DISK_FULL:
            return ("fault", "fill-disk", here)
        case Kind.AGENT_KILLED:
            return ("exec", here, "--", "systemctl", "kill", "--signal=KILL", AGENT)
        case Kind.CLOCK_JUMP:
            return ("fault", "clock", here, *fault.detail)
