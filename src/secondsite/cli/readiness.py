"""``secondsite readiness``: would a failover now work? Each named check and its answer."""

from __future__ import annotations

from secondsite.cli.options import Config, Json


def run(*, config: Config = None, json: Json = False) -> int:
    """Ask every check whether a failover now would work, and say what stands in the way.

    Each check has a name; explain says what it asks and why. Put this command into your monitoring.

    Example: ``secondsite readiness --json``

    Exit code 0: ready. 1: something critical stands in the way.

    See also: status, explain.
    """
    from secondsite.cli.sight import begin

    read = begin(config)
    if json:
        from secondsite.cli.render import emit_json

        status = read()
        emit_json({key: status[key] for key in ("service", "taken_at", "ready", "findings", "checks")})
    else:
        from secondsite.cli.views.readiness import printed

        status = read()
        printed(status)
    return 0 if status["ready"] else 1
