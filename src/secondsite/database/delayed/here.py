"""The delayed standby for whoever watches this host: nothing where the file keeps it elsewhere, or not at all."""

from __future__ import annotations

from secondsite.database.delayed import place
from secondsite.database.delayed.observe import DelayedState
from secondsite.database.delayed.observe import look as observe
from secondsite.database.delayed.standby import keep_slot
from secondsite.database.node import Node
from secondsite.spec import Delayed, Spec


def look(spec: Spec, site: str) -> DelayedState | None:
    """It now; None where none is kept at ``site``. Blocks: for a thread."""
    delayed = _kept(spec, site)
    return observe(place.node(delayed)) if delayed else None


def keep(spec: Spec, site: str) -> None:
    """See that this site's own cluster has its slot. Blocks. Raises SecondsiteError."""
    delayed = _kept(spec, site)
    if delayed is not None and (place.node(delayed).cluster.data / "PG_VERSION").exists():
        keep_slot(Node.of(spec))


def _kept(spec: Spec, site: str) -> Delayed | None:
    delayed = spec.database.delayed
    return delayed if delayed is not None and delayed.site == site else None
