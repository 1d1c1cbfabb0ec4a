"""What the site that takes over must know of the primary before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from secondsite import __version__
from secondsite.database import movable, reverse
from secondsite.database.bounded import apart
from secondsite.database.cluster import Cluster
from secondsite.database.movable import Movable
from secondsite.database.observe import observe
from secondsite.database.pooler.state import PoolerState
from secondsite.errors import FinalError, SecondsiteError
from secondsite.recovery import application, history, lock, pooling
from secondsite.recovery.admit import fenced
from secondsite.spec import Spec, paths


@dataclass(frozen=True, slots=True)
class Survey:
    """The primary about itself.

    busy: who holds its lock. unfinished: a procedure that was not finished there. fenced: which
    procedure has stopped it. problem: why the database could not
    be looked at. reverse: why its cluster could not follow the asking site later; None where a connection was made.
    units_running: the application runs. pooler: PgBouncer there. longest_transaction: seconds, of those that
    run through it. past_outages: seconds of earlier
    switchovers to that site, oldest first.
    """

    version: str
    site: str
    role: str
    timeline: int | None
    system_identifier: str | None
    database: Movable = field(default_factory=Movable)
    problem: str | None = None
    reverse: str | None = None
    busy: str | None = None
    unfinished: str | None = None
    fenced: str | None = None
    quarantines: bool = False
    units_running: bool = False
    pooler: PoolerState | None = None
    longest_transaction: float = 0.0
    past_outages: tuple[float, ...] = ()


async def survey(spec: Spec, site: str) -> Survey:
    """This site now. Changes nothing."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    state, problem, looked = await apart(observe, cluster), None, Movable()
    try:
        looked = await apart(movable.look, cluster, spec.peer_of(site))
    except SecondsiteError as silent:
        problem = silent.message
    pooler, longest = await pooling.look(spec), 0.0
    if pooler is not None and problem is None:
        longest = await apart(movable.longest_transaction, cluster, pooler.busy)
    old = history.unfinished(paths.JOURNAL) if paths.JOURNAL.is_dir() else None
    return Survey(
        version=__version__,
        site=site,
        role=state.role.value,
        timeline=state.timeline,
        system_identifier=state.system_identifier,
        database=looked,
        problem=problem,
        reverse=await reverse.problem(spec, site, state.system_identifier),
        busy=lock.holder(paths.LOCK),
        unfinished=None if old is None else old.id,
        fenced=None if (held := fenced()) is None else held.reason,
        quarantines=paths.QUARANTINE.exists(),
        units_running=await application.active(spec.service.units),
        pooler=pooler,
        longest_transaction=longest,
        past_outages=history.measured_outages(paths.JOURNAL),
    )


def to_json(found: Survey) -> dict[str, Any]:
    """A document that ``from_json`` reads back."""
    return asdict(found)


def from_json(document: Mapping[str, Any], site: str) -> Survey:
    """Raises FinalError (``peer-version``) on a document of another shape."""
    try:
        return TypeAdapter(Survey).validate_python(document, strict=False)
    except ValidationError as strange:
        raise FinalError(
            f"the agent at {site} runs another version of secondsite",
            slug="peer-version",
            host=site,
            hint="secondsite apply",
        ) from strange
