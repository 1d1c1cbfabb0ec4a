"""``secondsite failover``: the primary is gone; the standby takes over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, DryRun, Json, Yes, find_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from secondsite.events import Emit, Result
    from secondsite.spec import Spec

Flag = Parameter(negative="")


async def run(
    *,
    to: str | None = None,
    accept_unconfirmed_fence: Annotated[bool, Flag] = False,
    reason: str = "",
    resume: Annotated[bool, Flag] = False,
    resume_replay: Annotated[bool, Flag] = False,
    overwrite_dns: Annotated[bool, Flag] = False,
    config: Config = None,
    json: Json = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> int:
    """Let the standby take over because the primary is gone. What was not replicated is lost, and is told.

    Run it on the standby's host, or from any machine that reaches that host by SSH. A primary that still answers is
    stopped first, and what it can still send is taken over: all of it while the stream works. Where the stream is
    broken, what had not arrived is lost, although the primary answers.

    Example: ``secondsite failover --to bergen --reason "oslo has no power"``, and first with ``--dry-run``.

    Exit code 0: done, within the objectives. 1: done, and an objective was missed. 3: not done, and everything is as it
    was. 4: stopped half-way; ``--resume`` goes on.

    See also: status, guard, journal; the way back is ``secondsite apply --replace-standby``.

    Parameters
    ----------
    to
        The site that takes over. On a site's host: this site; elsewhere the only standby, if there is exactly one.
    accept_unconfirmed_fence
        Go on although the old primary could not be made to stop. You know that it is off.
    reason
        Why; it goes into journal and report.
    resume
        Finish a failover that was interrupted.
    resume_replay
        Take over although replay was paused at the standby; everything received is replayed first.
    overwrite_dns
        Replace a DNS record although somebody else has changed it.
    """
    from secondsite.cli.outcome import tell
    from secondsite.cli.render import Renderer, confirm
    from secondsite.cli.this_host import site_here
    from secondsite.clock import SystemClock, to_text

    commanded_at = to_text(SystemClock().now())
    path = find_config(config)

    def spec() -> Spec:
        from secondsite.spec.load import load

        return load(path).spec

    site = site_here() if to in (None, site_here()) else None
    site = site or await _target(spec(), to, path, resume=resume)
    arguments: dict[str, Any] = {
        "to": site,
        "commanded_at": commanded_at,
        "accept_unconfirmed_fence": accept_unconfirmed_fence,
        "reason": reason,
        "resume": resume,
        "resume_replay": resume_replay,
        "overwrite_dns": overwrite_dns,
    }
    if dry_run:
        return await _preview(spec, site, as_json=json)
    if not (yes or resume):
        refused = await _preview(spec, site, as_json=False)
        if refused:
            return refused
        confirm(f"Let {site} take over from {spec().peer_of(site)} now?", yes=yes)
        arguments["commanded_at"] = to_text(SystemClock().now())
    with Renderer() as emit:
        result = await _with_consent(spec, site, arguments, emit, interactive=not (yes or json))
    return tell(result, as_json=json)


async def _target(spec: Spec, site: str | None, config: Path, *, resume: bool) -> str:
    """The site that was named, else the only one that could take over, or has begun to; told. Raises UsageError."""
    from secondsite.errors import UsageError

    if site in spec.sites:
        return str(site)
    said = f"{site} is no site of this file (sites: {', '.join(spec.sites)})"
    if site is None:
        found, told = await _seen(config, resume=resume)
        if found is not None:
            print(told, file=sys.stderr)
            return found
        said = f"which site shall take over? ({told})"
    raise UsageError(said, slug="no-such-site", hint="secondsite failover --to SITE")


async def _seen(config: Path, *, resume: bool) -> tuple[str | None, str]:
    import asyncio

    from secondsite.cli.sight import begin
    from secondsite.cli.taker import left_unfinished, only_standby

    status = await asyncio.to_thread(begin(config))
    return left_unfinished(status, "failover") if resume else only_standby(status)


async def _with_consent(
    spec: Callable[[], Spec], site: str, arguments: dict[str, Any], emit: Emit, *, interactive: bool
) -> Result:
    """Run it; where only the consent to an unconfirmed fence is missing and a person is there, ask and run again."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.render import ask

    result = await carry_out(spec, "failover", arguments, at=site, emit=emit)
    if not (interactive and sys.stdin.isatty() and _only_consent_missing(result.document)):
        return result
    for error in result.document["errors"]:
        print(error["message"], file=sys.stderr)
    if not ask(f"Is {spec().peer_of(site)} off, and do you accept the risk?"):
        return result
    arguments = {**arguments, "accept_unconfirmed_fence": True}
    return await carry_out(spec, "failover", arguments, at=site, emit=emit)


def _only_consent_missing(document: Mapping[str, Any]) -> bool:
    return {error["error"] for error in document.get("errors", ())} == {"fence-unconfirmed"}


async def _preview(spec: Callable[[], Spec], site: str, *, as_json: bool) -> int:
    """What would happen, step by step, and what is known of the loss. Changes nothing."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.render import emit_json
    from secondsite.events import ignore

    result = await carry_out(spec, "preview-failover", {"to": site}, at=site, emit=ignore)
    if as_json:
        emit_json(result.document)
    else:
        from secondsite.cli.views.procedure import show_preview

        show_preview(result.document)
    return result.exit_code
