"""``secondsite status``: how are we, and what would a disaster cost right now?"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from secondsite.cli.options import Config, Json


def run(
    *,
    watch: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Show both sites, how far each replica is behind, and what a disaster would cost right now.

    On a site's host it asks the agent there; elsewhere it asks both hosts by SSH.

    Example: ``secondsite status --watch``

    Exit code 0: a failover now would work and keep what was agreed. 1: something critical stands in the way.

    See also: readiness, explain.

    Parameters
    ----------
    watch
        Look again each second, until q or Ctrl-C.
    """
    from secondsite.cli.sight import begin

    if watch and not json:
        from secondsite.cli.views.watch import show

        return show(config)
    read = begin(config)
    if json:
        from secondsite.cli.render import emit_json

        document = read()
        emit_json(document)
    else:
        from secondsite.cli.views.status import printed

        document = read()
        printed(document)
    return 0 if document["ready"] else 1
