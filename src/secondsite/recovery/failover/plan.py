"""The failover as data: its steps in order, what each needs, and where the point of no return is."""

from __future__ import annotations

from secondsite.recovery.failover.assess import Assess
from secondsite.recovery.failover.context import Act, Context
from secondsite.recovery.failover.copies import FilesWritable, LastPull
from secondsite.recovery.failover.isolate import Fence, FenceAgain, Quarantine
from secondsite.recovery.failover.serve import Application, Redirect
from secondsite.recovery.failover.take_over import Checkpoint, Drain, Promote, Prove
from secondsite.recovery.step import Step

STEPS: tuple[type[Act], ...] = (
    Assess,
    Fence,
    LastPull,
    Drain,
    Quarantine,
    FilesWritable,
    Promote,
    Redirect,
    Application,
    Prove,
    Checkpoint,
    FenceAgain,
)


def steps(context: Context) -> tuple[Step, ...]:
    """Drain and last pull wait for the fence of a site that answers; behind the promotion all run at the same time."""
    return tuple(step(context) for step in STEPS)
