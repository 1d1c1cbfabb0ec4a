"""Where the parts are put together: from the file to objects that act."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.errors import SecondsiteError, UsageError
from secondsite.events import Emit, Result
from secondsite.files import bandwidth
from secondsite.files.engine import allow_deletions
from secondsite.objectives.snapshot import LagSample
from secondsite.recovery.engine import Tripwire
from secondsite.recovery.failover.context import FailoverArguments
from secondsite.recovery.failover.preview import preview
from secondsite.recovery.failover.run import failover
from secondsite.recovery.failover.sight import Kept
from secondsite.spec import FileSet, Spec

TRIPWIRE = "SECONDSITE_DIE_AT"  # STEP:PHASE, for rehearsals of the death of a procedure
HALT = "SECONDSITE_HALT_AT"  # the same, for rehearsals of the death of something else: stopped (SIGSTOP) until SIGCONT


class Procedures:
    """Runs procedures on this host: for the agent, and for the command line where no agent answers."""

    def __init__(
        self,
        spec: Spec,
        site: str,
        clock: Clock,
        *,
        peer_silent_since: Callable[[], float | None] = lambda: None,
        samples: Callable[[float, int], Sequence[LagSample]] = lambda since, span: (),
        kept: Kept | None = None,
        round_trip: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._spec = spec
        self._site = site
        self._clock = clock
        self._peer_silent_since = peer_silent_since
        self._samples = samples
        self._kept = kept
        self._round_trip = round_trip

    async def run(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        """Run one procedure to its end. What goes wrong on the way is a result too: its document is the error."""
        try:
            return await self._run(kind, arguments, emit)
        except SecondsiteError as error:
            return Result(error.as_json(), int(error.exit))

    async def _run(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        if kind == "preview-failover":
            return await preview(self._spec, self._site, self._clock, peer_silent_since=self._peer_silent_since())
        if kind in ("switchover", "preview-switchover"):
            return await self._switchover(kind, arguments, emit)
        if kind == "verify":
            return await self._verify(arguments, emit)
        if kind == "allow-deletions":
            return await self._allow_deletions(str(arguments.get("set")))
        if kind == "bandwidth":
            return self._bandwidth(str(arguments.get("set")), arguments.get("rate"))
        if kind.startswith("versions-"):
            return await self._versions(kind, arguments, emit)
        if kind != "failover":
            raise UsageError(f"there is no procedure {kind}", slug="no-such-procedure")
        given = dict(arguments)
        resume = bool(given.pop("resume", False))
        given.setdefault("to", self._site)
        given.setdefault("commanded_at", to_text(self._clock.now()))
        given.setdefault("peer_silent_since", self._peer_silent_since())
        try:
            wanted = FailoverArguments(**given)
        except TypeError as unknown:
            raise UsageError(f"unknown argument of {kind}: {unknown}", slug="no-such-argument") from unknown
        return await failover(
            self._spec, self._site, wanted, emit=emit, clock=self._clock, resume=resume, tripwire=tripwire(),
            kept=self._kept, round_trip=self._round_trip(),
        )  # fmt: skip

    async def _switchover(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        # Not needed by a failover that runs without an agent, where every import is time without service.
        from secondsite.recovery.peer import Peer
        from secondsite.recovery.relay import relay
        from secondsite.recovery.switchover.context import SwitchoverArguments
        from secondsite.recovery.switchover.preview import preview as preview_switchover
        from secondsite.recovery.switchover.run import switchover

        if arguments.get("to") == self._spec.peer_of(self._site):
            return await relay(Peer.of(self._spec, self._site), kind, arguments, emit)
        if kind == "preview-switchover":
            return await preview_switchover(self._spec, self._site, self._clock)
        given = {"to": self._site, "commanded_at": to_text(self._clock.now()), **arguments}
        resume = bool(given.pop("resume", False))
        try:
            wanted = SwitchoverArguments(**given)
        except TypeError as unknown:
            raise UsageError(f"unknown argument of {kind}: {unknown}", slug="no-such-argument") from unknown
        return await switchover(
            self._spec, self._site, wanted, emit=emit, clock=self._clock, resume=resume, tripwire=tripwire()
        )

    async def _verify(self, arguments: Mapping[str, Any], emit: Emit) -> Result:
        from secondsite.verification.begin import verify

        return await verify(self._spec, self._site, arguments, emit=emit, clock=self._clock, samples=self._samples)

    async def _allow_deletions(self, name: str) -> Result:
        return Result({"set": name, "site": self._site, "allowed": await allow_deletions(self._set(name))})

    def _bandwidth(self, name: str, rate: object) -> Result:
        """rate: as a person writes it; None only looks."""
        fileset = self._set(name)
        limit = bandwidth.limit_of(fileset) if rate is None else bandwidth.change(fileset, str(rate))
        told = {"bytes_per_second": limit.bytes_per_second, "set_by": limit.by, "in_file": fileset.bandwidth}
        return Result({"set": name, "site": self._site, **told})

    async def _versions(self, kind: str, arguments: Mapping[str, Any], emit: Emit) -> Result:
        from secondsite.files.versions.acts import perform

        peer = str(self._spec.tunnel_address(self._spec.peer_of(self._site)))
        fileset = self._set(str(arguments.get("set")))
        done = await perform(kind, fileset, arguments, peer=peer, port=self._spec.tunnel.files_port, emit=emit)
        return Result({"site": self._site, **done})

    def _set(self, name: str) -> FileSet:
        fileset = next((one for one in self._spec.files if one.name == name), None)
        if fileset is None:
            raise UsageError(f"there is no file set {name} in the file that {self._site} has", slug="no-such-set")
        return fileset


def tripwire() -> Tripwire | None:
    """Die like a process that loses its power, where ``SECONDSITE_DIE_AT`` says so; halt, once in the life of this
    process, where ``SECONDSITE_HALT_AT`` does. None without them."""
    if not (os.environ.get(TRIPWIRE) or os.environ.get(HALT)):
        return None

    def trip(step: str, phase: str) -> None:
        here = f"{step}:{phase}"
        if here == os.environ.get(TRIPWIRE):
            os.kill(os.getpid(), signal.SIGKILL)
        if here == os.environ.get(HALT):
            del os.environ[HALT]
            os.kill(os.getpid(), signal.SIGSTOP)

    return trip
