"""The switchover as data: its steps in order, what each needs, and where the point of no return is."""

from __future__ import annotations

from secondsite.recovery.acts.context import Act
from secondsite.recovery.acts.copies import FilesWritable
from secondsite.recovery.acts.serve import Application, Redirect
from secondsite.recovery.acts.take_over import Checkpoint
from secondsite.recovery.step import Step
from secondsite.recovery.switchover.attach import Attach, CommitMode, ProveNext, ServingWithStandby
from secondsite.recovery.switchover.context import SwitchoverContext
from secondsite.recovery.switchover.poolers import SendClients
from secondsite.recovery.switchover.prepare import Assess, CheckpointBefore, FilesBefore
from secondsite.recovery.switchover.step_down import Close, Equal, LastPull, Stop
from secondsite.recovery.switchover.take_over import PromoteProven
from secondsite.spec import Spec

STEPS: tuple[type[Act], ...] = (
    Assess,
    CheckpointBefore,
    FilesBefore,
    Close,
    LastPull,
    Stop,
    FilesWritable,
    Equal,
    PromoteProven,
    SendClients,
    Redirect,
    Application,
    ProveNext,
    Checkpoint,
    Attach,
    CommitMode,
    ServingWithStandby,
)


def kinds(spec: Spec) -> tuple[type[Act], ...]:
    """The steps of this service: nothing is said of a pooler where there is none."""
    return tuple(step for step in STEPS if step is not SendClients or spec.database.pooler is not None)


def steps(context: SwitchoverContext) -> tuple[Step, ...]:
    """The stop and the last pull run at the same time, and so does all that comes behind the promotion."""
    return tuple(step(context) for step in kinds(context.spec))
