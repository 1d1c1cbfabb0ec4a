"""The failover as data: its steps in order, what each needs, and where the point of no return is."""

from __future__ import annotations

from secondsite.recovery.acts.context import Act
from secondsite.recovery.acts.copies import FilesWritable
from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.acts.serve import Application, Redirect
from secondsite.recovery.acts.take_over import Checkpoint, Promote
from secondsite.recovery.failover.assess import Assess
from secondsite.recovery.failover.context import FailoverContext
from secondsite.recovery.failover.copies import LastPull
from secondsite.recovery.failover.isolate import Fence, FenceAgain, Quarantine
from secondsite.recovery.failover.take_over import Drain, ProveAlone, ServingAlone
from secondsite.recovery.step import Step
from secondsite.spec import Spec

STEPS: tuple[type[Act], ...] = (
    Assess,
    Fence,
    LastPull,
    Drain,
    Quarantine,
    FilesWritable,
    Promote,
    SendClientsHere,
    Redirect,
    Application,
    ProveAlone,
    Checkpoint,
    FenceAgain,
    ServingAlone,
)


def kinds(spec: Spec) -> tuple[type[Act], ...]:
    """The steps of this service: nothing is said of a pooler where there is none."""
    return tuple(step for step in STEPS if step is not SendClientsHere or spec.database.pooler is not None)


def steps(context: FailoverContext) -> tuple[Step, ...]:
    """Drain and last pull wait for the fence of a site that answers; behind the promotion all run at the same time."""
    return tuple(step(context) for step in kinds(context.spec))
