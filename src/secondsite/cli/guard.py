"""``secondsite guard``: may this host accept writes?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from secondsite.cli.options import Config, Json, Yes, find_config
from secondsite.clock import SystemClock
from secondsite.errors import Exit
from secondsite.spec import Spec, paths

if TYPE_CHECKING:
    from secondsite.database.cluster import Cluster
    from secondsite.recovery.guard import Verdict

Hidden = Parameter(show=False, negative="")


async def run(
    *,
    allow: Annotated[bool, Parameter(negative="")] = False,
    starting: Annotated[bool, Hidden] = False,
    fence: Annotated[bool, Hidden] = False,
    unfence: Annotated[bool, Hidden] = False,
    config: Config = None,
    json: Json = False,
    yes: Yes = False,
) -> int:
    """Ask what a returning host must ask: may it accept writes, or is the other site active?

    Without options it only asks and tells; nothing changes. Run it on the host that came back.

    Example: ``secondsite guard``

    Exit code 0: it may. 1: it is held back.

    See also: status; ``secondsite apply --replace-standby`` makes a held host the standby.

    Parameters
    ----------
    allow
        Open this host for writes whatever the guard says. For the person who knows that the other site is gone.
    """
    from secondsite.cli.render import confirm, emit_json
    from secondsite.cli.this_host import this_host
    from secondsite.recovery import admit, guard

    spec, site = this_host(find_config(config))
    clock = SystemClock()
    if fence:
        return await _fence(spec, site)
    if unfence:
        return await _unfence(spec, site)
    if starting:
        verdict = await admit.at_start(spec, site, clock)
        print(f"secondsite guard: {_words(verdict, site)}", file=sys.stderr, flush=True)
        return Exit.OK
    if allow:
        confirm(f"Open {site} for writes? If {spec.peer_of(site)} accepts writes too, work will be lost.", yes=yes)
        await admit.release_by_person(spec, clock)
        verdict = guard.Verdict(guard.Ruling.ALLOW, "a person allowed it")
    else:
        verdict = await admit.asked(spec, site)
    quarantines = spec.peer_of(site) if paths.QUARANTINE.exists() else None
    if json:
        told = {"site": site, "ruling": verdict.ruling.value, "reason": verdict.reason, "quarantines": quarantines}
        emit_json(told)
    else:
        print(_words(verdict, site))
        if quarantines is not None:
            print(
                f"{site} keeps {quarantines} in quarantine since its failover: it may only ask this question, until "
                f"`secondsite apply --replace-standby {quarantines}`"
            )
    return Exit.OK if verdict.ruling is guard.Ruling.ALLOW else Exit.OBJECTIVE_MISSED


async def _fence(spec: Spec, site: str) -> int:
    """What a peer's failover runs here over SSH; reason and generation come on stdin, never in argv."""
    import json

    from secondsite.cli.render import emit_json
    from secondsite.recovery.fence import fence_here

    told = json.loads(sys.stdin.readline() or "{}")
    why, generation = str(told.get("why", "fenced over SSH")), int(told.get("generation", 0))
    emit_json(dict(await fence_here(spec, site, why, SystemClock(), generation=generation)))
    return Exit.OK


async def _unfence(spec: Spec, site: str) -> int:
    """What a peer's failover that is rolled back runs here over SSH; its id comes on stdin."""
    import json

    from secondsite.cli.render import emit_json
    from secondsite.recovery.fence import unfence_here

    told = json.loads(sys.stdin.readline() or "{}")
    emit_json(dict(await unfence_here(spec, site, SystemClock(), str(told.get("procedure", "")))))
    return Exit.OK


def _cluster(spec: Spec) -> Cluster:
    from secondsite.database.cluster import Cluster

    return Cluster.parse(spec.database.cluster, spec.database.port)


def _words(verdict: Verdict, site: str) -> str:
    from secondsite.recovery.guard import Ruling

    match verdict.ruling:
        case Ruling.ALLOW:
            return f"{site} may accept writes: {verdict.reason}"
        case Ruling.HOLD:
            return f"{site} stays read-only: {verdict.reason}"
        case _:
            return f"{site} stays read-only for now: {verdict.reason}; a person decides: secondsite guard --allow"
