"""Begin a verification where it belongs: at the standby; a primary that is asked has its standby do it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.database.observe import observe
from secondsite.database.state import Role
from secondsite.errors import FinalError
from secondsite.events import Emit, Result
from secondsite.recovery.peer import Peer
from secondsite.recovery.relay import relay
from secondsite.spec import Spec
from secondsite.verification.order import Pair
from secondsite.verification.run import Samples, Verification, Wanted
from secondsite.verification.side import Here, There

_RELAYED = "relayed"  # so that two sites which both take themselves for primary do not hand it to and fro


async def verify(
    spec: Spec, site: str, arguments: Mapping[str, Any], *, emit: Emit, clock: Clock, samples: Samples
) -> Result:
    """Raises FinalError (``verify-roles``) where no standby is found, and as ``Verification.run`` and ``relay``."""
    given = dict(arguments)
    relayed = bool(given.pop(_RELAYED, False))
    wanted = Wanted.read(given)
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    role = (await asyncio.to_thread(observe, cluster)).role
    peer = Peer.of(spec, site)
    if role is Role.PRIMARY and not relayed:
        return await relay(peer, "verify", {**given, _RELAYED: True}, emit)
    if role is not Role.STANDBY:
        raise FinalError(
            f"the database here is {role}, and a verification is made at a standby that runs",
            slug="verify-roles", host=site, step="verify", hint="secondsite status",
        )  # fmt: skip
    pair = Pair(There(peer), Here(spec, site, cluster))
    return await Verification(spec, pair, cluster, clock, samples, emit=emit).run(wanted)
