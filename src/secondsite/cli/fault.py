"""``secondsite fault``: break this host on purpose, with the end armed first. Called by game days over SSH."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from secondsite.cli.options import Config, find_config
from secondsite.errors import Exit, UsageError


async def run(
    name: str,
    /,
    *,
    undo_after_seconds: float = 60.0,
    undo: Annotated[bool, Parameter(negative="")] = False,
    left: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
) -> int:
    """Inject fault NAME on this host, end it (--undo), or look whether anything of it is left (--left)."""
    from secondsite.cli.render import emit_json
    from secondsite.cli.this_host import this_host
    from secondsite.rehearsal import faults

    if not undo_after_seconds > 0:
        raise UsageError(f"--undo-after-seconds {undo_after_seconds:g} is no time: a fault lasts longer than 0 seconds")
    spec, site = this_host(find_config(config))
    if left:
        emit_json({"fault": name, "left": await faults.active(name)})
    elif undo:
        await faults.undo(name)
        emit_json({"fault": name, "left": await faults.active(name)})
    else:
        emit_json(await faults.inject(spec, site, name, undo_after_seconds=undo_after_seconds))
    return Exit.OK
