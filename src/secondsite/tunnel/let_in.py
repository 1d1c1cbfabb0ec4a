"""Let the peer back in after a quarantine, on a person's word."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from secondsite.converge.resource import Change
from secondsite.events import Emit
from secondsite.tunnel import quarantine


@dataclass(frozen=True, slots=True)
class LetIn:
    """The peer may speak to this host again: its old data is given up, so nothing of it can reach in."""

    address: IPv4Address

    @property
    def name(self) -> str:
        return f"quarantine of {self.address}"

    async def plan(self) -> Change | None:
        shut_out = self.address in quarantine.stored() | await quarantine.active()
        return Change("let it in again") if shut_out else None

    async def apply(self, change: Change, emit: Emit) -> None:
        await quarantine.remove(self.address)
