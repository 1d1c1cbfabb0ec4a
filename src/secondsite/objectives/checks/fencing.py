"""Checks of what a failover would fence the primary with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import FenceCommand
from secondsite.spec.model import Spec

registry = Registry()


def _named(spec: Spec) -> bool:
    return any(site.fence or site.power.off or site.power.check or site.power.on for site in spec.sites.values())


@registry.check(
    "fence-commands", Severity.WARNING, "Can the standby run the commands that would fence the primary?", Needs.STANDBY,
    sees=lambda s: s.fence_commands is not None, named=_named,
)  # fmt: skip
def fence_commands(judged: Judged) -> Iterator[Problem]:
    """A failover runs them on the host that takes over (sites.SITE.fence and sites.SITE.power), and only where the
    primary does not answer: a command that is not installed or not executable there is found out in the disaster.

    It is critical where the file names a command that confirms (power.check) and nothing could be confirmed with what
    is there: a failover would stop and ask a person. Only programs are looked for; whether a provider's password is
    still right, a game day shows.
    """
    situation = judged.situation
    state = situation.present(situation.standby) if situation.standby else None
    commands = state.fence_commands if state else None
    broken = [command for command in commands or () if command.problem]
    if state is None or not commands or not broken:
        return
    told = "; ".join(f"{command.program} ({command.key}) {command.problem}" for command in broken)
    yield Problem(
        state.site,
        f"a failover could not fence {situation.primary} as the file says, and stops to ask you where neither its agent"
        f" nor its SSH answers: {told}",
        f"install it at {state.site}, where a failover runs it, or correct the file and `secondsite apply`",
        Severity.CRITICAL if _nothing_confirms(commands) else None,
    )


def _nothing_confirms(commands: Sequence[FenceCommand]) -> bool:
    """The file promises that a command confirms, and none can: it looks behind one that has cut the host off."""
    checks = [command for command in commands if command.key.endswith(".power.check")]
    cuts = [command for command in commands if ".fence[" in command.key or command.key.endswith(".power.off")]
    return bool(checks and cuts) and not all(any(one.problem is None for one in some) for some in (checks, cuts))
