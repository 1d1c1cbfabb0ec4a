"""``secondsite plan``: what apply would change, as a diff; nothing is changed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from secondsite.cli.options import Config, Json, find_config


async def run(
    *,
    replace_standby: Annotated[str | None, Parameter(name="--replace-standby")] = None,
    details: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Show what apply would change on both hosts, and what of it users would notice. Changes nothing.

    To look, the program runs on the hosts. To a host that lacks this version it is uploaded once, to a cache of
    secondsite's own (/var/cache/secondsite), from which apply installs it.

    A few changes are shown each with its diff; many as a summary of each host. ``--json`` has them all, always.

    Values that only apply will know (a key that is not made yet) are shown as such.

    Example: ``secondsite plan``

    Exit code 0: planned. 2: the file is wrong. 3: a host could not be looked at, or apply would refuse.

    See also: apply, validate.

    Parameters
    ----------
    replace_standby
        Plan as if this site's database were given up, as apply does it.
    details
        Show every change with its diff, also where they are many.
    """
    from secondsite.cli.bootstrap import run as both
    from secondsite.cli.render import Renderer, emit_json

    with Renderer() as emit:
        document = await both.plan(find_config(config), replace_standby, emit, details=details)
    if json:
        emit_json(document)
    return 0
