"""``secondsite switchover``: a planned change of roles that loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, DryRun, Json, Yes, find_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from secondsite.spec import Spec

Flag = Parameter(negative="")


async def run(
    *,
    to: str | None = None,
    reason: str = "",
    resume: Annotated[bool, Flag] = False,
    overwrite_dns: Annotated[bool, Flag] = False,
    config: Config = None,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Move the service to the other site, which must stream; the old primary becomes its standby.

    Nothing is lost, and that is proven before the point of no return. Where it cannot be proven, everything is taken
    back by itself. Run it on a site's host, or from any machine that reaches the hosts by SSH.

    Example: ``secondsite switchover --reason "new kernel at oslo"``, and first with ``--dry-run``.

    Exit code 0: done, within the objectives. 1: done, and users waited for longer than agreed. 3: not done, and
    everything is as it was. 4: stopped half-way; ``--resume`` goes on.

    See also: readiness, status, failover, journal.

    Parameters
    ----------
    to
        The site that takes over; else the one that is standby now.
    reason
        Why; it goes into the journal.
    resume
        Finish a switchover that was interrupted, or take it back.
    overwrite_dns
        Replace a DNS record although somebody else has changed it.
    """
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import tell
    from secondsite.cli.render import Renderer, confirm
    from secondsite.cli.this_host import site_here
    from secondsite.clock import SystemClock, to_text

    path = find_config(config)

    def spec() -> Spec:
        from secondsite.spec.load import load

        return load(path).spec

    site = await _target(spec, to, path, resume=resume)
    if dry_run:
        return await _preview(spec, site, as_json=json)
    if not (yes or resume):
        refused = await _preview(spec, site, as_json=False)
        if refused:
            return refused
        confirm(f"Move the service to {site} now?", yes=yes)
    arguments: dict[str, Any] = {
        "to": site,
        "commanded_at": to_text(SystemClock().now()),
        "reason": reason,
        "resume": resume,
        "overwrite_dns": overwrite_dns,
    }
    with Renderer() as emit:
        result = await carry_out(spec, "switchover", arguments, at=site_here() or site, emit=emit)
    return tell(result, as_json=json)


async def _target(spec: Callable[[], Spec], to: str | None, config: Path, *, resume: bool) -> str:
    """The site that takes over: the one that was named, the one whose journal is unfinished, else the one that is not
    the primary now. Raises UsageError where that cannot be known."""
    import asyncio

    from secondsite.cli.sight import begin
    from secondsite.cli.taker import left_unfinished
    from secondsite.cli.this_host import site_here
    from secondsite.errors import UsageError
    from secondsite.recovery import history
    from secondsite.spec import paths

    names = spec().site_names
    here = site_here()
    if to is None and resume and here in names:
        to = here if history.unfinished(paths.JOURNAL, "switchover") else spec().peer_of(here)
    elif to is None:
        status = await asyncio.to_thread(begin(config))
        to = left_unfinished(status, "switchover")[0] if resume else status.get("standby")
    if to is None or to not in names:
        said = f"{to} is no site of this file" if to else "which site shall take over?"
        hint = "secondsite switchover --to SITE"
        raise UsageError(f"{said} (sites: {', '.join(names)})", slug="no-such-site", hint=hint)
    return to


async def _preview(spec: Callable[[], Spec], site: str, *, as_json: bool) -> int:
    """What would happen, step by step, and all that stands against it. Changes nothing."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.cli.render import emit_json
    from secondsite.cli.this_host import site_here
    from secondsite.events import ignore

    result = await carry_out(spec, "preview-switchover", {"to": site}, at=site_here() or site, emit=ignore)
    raise_error_of(result)
    if as_json:
        emit_json(result.document)
    else:
        from secondsite.cli.views.procedure import show_switchover

        show_switchover(result.document)
    return result.exit_code
