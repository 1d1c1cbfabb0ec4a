"""What happens in a round: drawn from seed and number alone, so that any round can be played again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

SITES = ("oslo", "bergen")
OTHER = {"oslo": "bergen", "bergen": "oslo"}
FIRST, LAST = 1.5, 6.0  # seconds after the load began in which something breaks
SHORTEST, LONGEST = 1.0, 9.0  # how long it stays broken
CLOCK_JUMPS = (-3600.0, -120.0, -20.0, -3.0, 3.0, 20.0, 120.0, 3600.0)
DEATHS = ("none", "agent-killed", "ctrl-c")


class Mode(StrEnum):
    """What a commit waits for."""

    ASYNC = "async"
    BLOCK = "sync-block"
    DEGRADE = "sync-degrade"


class Kind(StrEnum):
    """What breaks."""

    POWER_OFF = "power-off"
    LINK_CUT = "link-cut"  # between the sites, both ways
    LINK_ONE_WAY = "link-one-way"  # from the host to the other site
    SITE_CUT = "site-cut"  # the host from everybody
    SLOW_LINK = "slow-link"  # between the sites
    FREEZE = "freeze"
    DISK_FULL = "disk-full"
    AGENT_KILLED = "agent-killed"
    CLOCK_JUMP = "clock-jump"


class Act(StrEnum):
    """What the operator does."""

    WAIT = "wait"
    FAILOVER = "failover"
    SWITCHOVER = "switchover"


class WayBack(StrEnum):
    """How the operator comes back from a failover."""

    FAILBACK = "failback"
    REPLACE = "apply --replace-standby"


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks at ``host``, from ``at`` until ``healed_at`` (seconds after the load began).

    detail: options of `secondsite-lab link shape`, or the seconds by which a clock jumps.
    """

    kind: Kind
    host: str
    at: float
    healed_at: float
    detail: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f"{self.host}>{OTHER[self.host]}" if self.kind is Kind.LINK_ONE_WAY else self.host
        words = " ".join((self.kind.value, where, *self.detail))
        return f"{words} {self.at:.1f}-{self.healed_at:.1f}"


@dataclass(frozen=True, slots=True)
class Reaction:
    """What the operator does, when, and what comes in between. accept: a fence that could not be confirmed.

    death: of the agent that carries the procedure out, or of the command, ``death_after`` seconds after it was given.
    """

    act: Act
    at: float
    accept: bool
    death: str
    death_after: float

    def __str__(self) -> str:
        if self.act is Act.WAIT:
            return self.act.value
        words = [self.act.value, "accepting" if self.accept and self.act is Act.FAILOVER else "", f"{self.at:.1f}"]
        if self.death != "none":
            words.append(f"{self.death}+{self.death_after:.1f}")
        return " ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Plan:
    """One round."""

    seed: int
    number: int
    mode: Mode
    primary: str
    faults: tuple[Fault, ...]
    reaction: Reaction
    way_back: WayBack

    @property
    def standby(self) -> str:
        return OTHER[self.primary]

    @property
    def state(self) -> str:
        """The saved state of the lab with which it begins."""
        return f"{self.mode}-{self.primary}"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that is done at a time: a fault begins, or is healed; without a fault the operator acts."""

    at: float
    fault: Fault | None = None
    heals: bool = False


def draw(seed: int, number: int) -> Plan:
    """The plan of a round; a pure function."""
    dice = random.Random(f"{seed}-{number}")
    mode = dice.choices(list(Mode), weights=(6, 3, 2))[0]
    primary = dice.choices(SITES, weights=(3, 1))[0]
    kinds = dice.sample(list(Kind), dice.choices((1, 2, 3), weights=(3, 3, 2))[0])
    faults = tuple(sorted((_fault(dice, kind, primary) for kind in kinds), key=lambda fault: fault.at))
    return Plan(seed, number, mode, primary, faults, _reaction(dice), dice.choice(list(WayBack)))


def _fault(dice: random.Random, kind: Kind, primary: str) -> Fault:
    host = dice.choices((primary, OTHER[primary]), weights=(2, 1))[0]
    at = round(dice.uniform(FIRST, LAST), 2)
    healed_at = round(at + dice.uniform(SHORTEST, LONGEST), 2)
    detail: tuple[str, ...] = ()
    if kind is Kind.SLOW_LINK:
        detail = dice.choice(
            (
                ("--rate", f"{dice.choice((128, 512, 2048))}kbit"),
                ("--loss", f"{dice.choice((5, 20, 40))}%"),
                ("--delay", f"{dice.choice((50, 300, 900))}ms"),
                ("--rate", "1mbit", "--loss", "3%", "--delay", "100ms"),
            )
        )
    if kind is Kind.CLOCK_JUMP:
        detail = (f"{dice.choice(CLOCK_JUMPS):+g}",)
    return Fault(kind, host, at, healed_at, detail)


def _reaction(dice: random.Random) -> Reaction:
    act = dice.choices(list(Act), weights=(2, 6, 3))[0]
    at = round(dice.uniform(FIRST, LAST + 4), 2)
    accept = dice.random() < 0.85
    death = dice.choices(DEATHS, weights=(6, 2, 1))[0] if act is not Act.WAIT else "none"
    return Reaction(act, at, accept, death, round(dice.uniform(0.05, 2.5), 2))


def moments(plan: Plan) -> tuple[Moment, ...]:
    """Everything of a round in its order: each fault, its healing, and the operator's act."""
    found = [Moment(fault.at, fault) for fault in plan.faults]
    found += [Moment(fault.healed_at, fault, heals=True) for fault in plan.faults]
    if plan.reaction.act is not Act.WAIT:
        found.append(Moment(plan.reaction.at))
    return tuple(sorted(found, key=lambda moment: moment.at))
