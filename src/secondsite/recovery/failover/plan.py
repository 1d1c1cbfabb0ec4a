"""The failover as data: its steps in order, what each needs, and where the point of no return is."""

from __future__ import annotations

from secondsite.recovery.failover.assess import Assess
from secondsite.recovery.failover.context import Context
from secondsite.recovery.failover.copies import FilesWritable, LastPull
from secondsite.recovery.failover.isolate import Fence, FenceAgain, Quarantine
from secondsite.recovery.failover.serve import Application, Redirect
from secondsite.recovery.failover.take_over import Checkpoint, Drain, Promote, Prove
from secondsite.recovery.step import Step


def steps(context: Context) -> tuple[Step, ...]:
    """Drain, last pull and quarantine wait for the fence; everything behind the promotion runs at the same time."""
    return (
        Assess(context),
        Fence(context),
        LastPull(context),
        Drain(context),
        Quarantine(context),
        Promote(context),
        FilesWritable(context),
        Prove(context),
        Redirect(context),
        Application(context),
        Checkpoint(context),
        FenceAgain(context),
    )
