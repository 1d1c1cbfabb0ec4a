"""``secondsite apply``: bring both hosts to what the file says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from secondsite.cli.interrupt import apply_left
from secondsite.cli.options import Config, DryRun, Json, Yes, find_config
from secondsite.events import ChangeDone, ChangePlanned, Emit, Event


async def run(
    *,
    replace_standby: Annotated[str | None, Parameter(name="--replace-standby")] = None,
    details: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Set up both hosts: packages, tunnel, firewall, the standby's database, files, agent and guard.

    Looks first, shows what will change, and asks before changes that users would notice. Running it again
    changes nothing; running it after an interruption finishes the work. It ends with a line that says whether the
    standby protects now, and what a disaster would cost.

    Example: ``secondsite apply``, and after a failover ``secondsite apply --replace-standby oslo``.

    Exit code 0: both hosts are as the file says, and everything works. 3: nothing was changed. 4: stopped half-way; the
    same command goes on. 130: interrupted; likewise.

    See also: plan, status, readiness.

    Parameters
    ----------
    replace_standby
        Give up this site's database, whatever it is. A former primary is rewound, after the rows that only it has are
        written down; where that cannot be done, its data is moved aside and copied anew from the other site.
    details
        Show every planned change with its diff, also where they are many.
    """
    from secondsite.cli.bootstrap import run as both
    from secondsite.cli.render import Renderer, emit_json

    path = find_config(config)
    with Renderer() as emit:
        if dry_run:
            document, code = await both.plan(path, replace_standby, emit, details=details), 0
        else:
            shown = Counting(_short(emit) if yes and not details else emit)
            try:
                document, code = await both.apply(path, replace_standby, shown, yes=yes, details=details)
            except asyncio.CancelledError as pressed:
                raise apply_left(shown.changes, replace_standby) from pressed
    if json:
        emit_json(document)
    return code


class Counting:
    """Passes events on, and counts the changes that were made."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.changes = 0

    def __call__(self, event: Event) -> None:
        self.changes += isinstance(event, ChangeDone)
        self._emit(event)


def _short(emit: Emit) -> Emit:
    """For somebody who has answered yes beforehand: what is done, and of the plan only what users will notice."""

    def told(event: Event) -> None:
        if not isinstance(event, ChangePlanned):
            emit(event)
        elif event.disrupts:
            emit(replace(event, diff=""))

    return told
