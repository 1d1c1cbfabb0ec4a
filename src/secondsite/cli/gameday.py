"""``secondsite gameday``: rehearse a disaster with a real fault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from secondsite.cli.options import Config, Json, Yes, find_config

Flag = Parameter(negative="")


async def run(
    *,
    fault: Literal["interface-down", "postgres-port-blocked", "power-off"] = "interface-down",
    for_seconds: float = 60.0,
    reason: str = "",
    approved_by: str = "",
    output: Path = Path("secondsite-report"),
    leave_off: Annotated[bool, Flag] = False,
    config: Config = None,
    json: Json = False,
    yes: Yes = False,
) -> int:
    """Break the primary on purpose, let the standby take over, and measure what a customer felt.

    This is a real failover: afterwards the other site is primary. Run it from a machine that reaches both hosts by
    SSH and the service by its DNS name. It refuses while a failover would not work, or outside the agreed window.
    The end of a fault is armed on the host before the fault is injected, and whatever happens behind it, an interrupt
    too, the fault is taken back and a report is written. Afterwards both hosts are looked at for what a fault may
    leave.

    Example: ``secondsite gameday --fault interface-down --reason "first game day"``

    Exit code 0: passed. 1: done, and not passed. 3: refused; nothing was broken. 4: the failover stopped half-way, or a
    site was left in another state.

    See also: readiness, report, journal.

    Parameters
    ----------
    fault
        interface-down: the host's network interface goes down. postgres-port-blocked: its firewall drops
        PostgreSQL's port. power-off: the host loses its power, by the file's own power command.
    for_seconds
        A fault on the host ends by itself after this.
    reason
        Why; it goes into journal and report.
    approved_by
        Who has allowed it; the name goes into journal and report.
    output
        Folder for report.html, report.json and the evidence.
    leave_off
        After a power-off: do not switch the host on again.
    """
    import tempfile

    from secondsite.cli.render import Renderer, confirm, emit_json
    from secondsite.cli.views.gameday import show
    from secondsite.clock import SystemClock
    from secondsite.errors import Exit, UsageError
    from secondsite.evidence.write import write
    from secondsite.rehearsal.diary import Plan
    from secondsite.rehearsal.gameday import hold
    from secondsite.spec.load import load

    loaded = load(find_config(config))
    if not for_seconds > 0:
        raise UsageError(f"--for-seconds {for_seconds:g} is no time: a fault lasts longer than 0 seconds")
    longest = loaded.spec.gameday.longest_fault
    if for_seconds > longest:
        raise UsageError(
            f"--for-seconds {for_seconds:g} is longer than the file's longest_fault of {longest:g} s",
            slug="fault-too-long",
        )
    plan = Plan(
        fault,
        for_seconds,
        reason,
        lambda question: confirm(question, yes=yes),
        return_power=not leave_off,
        approver=approved_by.strip(),
    )
    with tempfile.TemporaryDirectory(prefix="secondsite-gameday-") as work, Renderer() as emit:
        held = await hold(
            loaded.spec,
            plan,
            config_sha256=loaded.sha256,
            work=Path(work),
            emit=emit,
            clock=SystemClock(),
        )
    written, page = write(held.document, output, held.evidence)
    if json:
        import json as encoding

        emit_json(encoding.loads(written.read_text()))
    else:
        show(held.document)
        print(f"  report  {page}")
    if held.halfway:
        return Exit.HALFWAY
    return Exit.OK if held.document["verdict"]["passed"] else Exit.OBJECTIVE_MISSED
