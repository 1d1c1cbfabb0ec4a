"""The tunnel's interface: up, and with the settings of the file, changed without dropping what runs through it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from secondsite.converge import units
from secondsite.converge.resource import Change
from secondsite.errors import SecondsiteError
from secondsite.events import Emit
from secondsite.process import run
from secondsite.spec import Spec
from secondsite.tunnel.conf import KEEPALIVE_SECONDS, endpoint
from secondsite.tunnel.dump import Dump
from secondsite.tunnel.keys import key_file, public_key
from secondsite.tunnel.observe import dump

STEP_SECONDS = 15.0
SETTLE_SECONDS = 30.0  # of a busy host; usually it takes none
SILENT_SECONDS = 180.0  # WireGuard renews its keys every 120 s while there is traffic


@dataclass(frozen=True, slots=True)
class Interface:
    """``wg-quick@IFACE`` is enabled and up, with this host's key, port and address and exactly one peer.

    peer_key: None while the peer has no key (a plan before the first apply).
    """

    spec: Spec
    site: str
    peer_key: str | None

    @property
    def name(self) -> str:
        return f"tunnel {self._iface}"

    @property
    def _iface(self) -> str:
        return self.spec.tunnel.interface

    @property
    def _unit(self) -> str:
        return f"wg-quick@{self._iface}.service"

    async def plan(self) -> Change | None:
        """What differs between WireGuard as it runs and the file."""
        acts = await self._acts()
        if not acts:
            return None
        again = "the tunnel is restarted: replication pauses for a moment" if "restart" in acts else None
        return Change(", ".join(acts), disrupts=again)

    async def apply(self, change: Change, emit: Emit) -> None:
        """Start or restart the unit, or set port, key and peer of the running interface. Raises SecondsiteError."""
        acts = await self._acts()
        if any(act in ("enable", "start", "restart") for act in acts):
            if "restart" in acts or "start" in acts:
                await run(["systemctl", "stop", self._unit], timeout=STEP_SECONDS, check=False, step=self.name)
                await self._remove_leftover()
            await self._start(change, emit)
        if await self._acts():
            await self._set()
        await self._settled()

    async def _start(self, change: Change, emit: Emit) -> None:
        try:
            await units.Unit(self._unit).apply(change, emit)
        except SecondsiteError as failed:
            if "Connection reset by peer" in failed.message:  # wireguard-go died before wg could speak to it
                failed.hint = (
                    "wireguard-go needs an inotify instance, and this machine may be out of them:"
                    " sysctl fs.inotify.max_user_instances; or install a kernel with WireGuard"
                )
            raise

    async def _acts(self) -> list[str]:
        unit = await units.look(self._unit)
        acts = [] if unit.enabled in ("enabled", "enabled-runtime") else ["enable"]
        if not unit.running:
            return [*acts, "start"]
        try:
            now = await dump(self._iface)
        except SecondsiteError:
            return [*acts, "restart"]
        if await self._address() != f"{self.spec.tunnel_address(self.site)}/{self.spec.tunnel.network.prefixlen}":
            return [*acts, "restart"]
        return [
            *acts,
            *differences(now, self.spec, self.site, own=public_key(self._iface), peer=self.peer_key, at=time.time()),
        ]

    async def _address(self) -> str | None:
        done = await run(["ip", "-o", "-4", "addr", "show", "dev", self._iface], timeout=STEP_SECONDS, check=False)
        words = done.stdout.split()
        return words[words.index("inet") + 1] if "inet" in words else None

    async def _set(self) -> None:
        """Bring the running interface to the file in one call; public values only on the command line."""
        if self.peer_key is None:
            return
        now = await dump(self._iface)
        peer = self.spec.peer_of(self.site)
        strangers = [key for other in now.peers if other.public_key != self.peer_key for key in [other.public_key]]
        argv = ["wg", "set", self._iface, "listen-port", str(self.spec.tunnel.port)]
        argv += ["private-key", str(key_file(self._iface))]
        for key in strangers:
            argv += ["peer", key, "remove"]
        argv += ["peer", self.peer_key, "allowed-ips", f"{self.spec.tunnel_address(peer)}/32"]
        argv += ["endpoint", _endpoint(self.spec, self.site)]
        argv += ["persistent-keepalive", str(KEEPALIVE_SECONDS)]
        await run(argv, timeout=STEP_SECONDS, step=self.name)

    async def _remove_leftover(self) -> None:
        """An interface that a killed wg-quick left would make its start fail."""
        await run(["ip", "link", "delete", self._iface], timeout=STEP_SECONDS, check=False, step=self.name)

    async def _settled(self) -> None:
        """wireguard-go answers a moment after wg-quick returns."""
        for _ in range(int(SETTLE_SECONDS / 0.1)):
            if not await self._acts():
                return
            await asyncio.sleep(0.1)


def differences(now: Dump, spec: Spec, site: str, *, own: str | None, peer: str | None, at: float = 0.0) -> list[str]:
    """What of the running interface is not as the file says. at: the present, unix seconds.

    A peer may roam: its endpoint is only corrected where it has not shaken hands for a while.
    """
    wrong: list[str] = []
    if own is not None and now.public_key != own:
        wrong.append("load this host's key")
    if now.port != spec.tunnel.port:
        wrong.append(f"listen on port {spec.tunnel.port} instead of {now.port}")
    if peer is None:
        return wrong
    wanted = (f"{spec.tunnel_address(spec.peer_of(site))}/32",)
    known = {other.public_key: other for other in now.peers}
    if peer not in known:
        wrong.append("add the peer")
    elif known[peer].allowed != wanted or known[peer].keepalive != KEEPALIVE_SECONDS:
        wrong.append("correct the peer's addresses")
    elif known[peer].endpoint != _endpoint(spec, site) and at - (known[peer].last_handshake_at or 0) > SILENT_SECONDS:
        wrong.append(f"call the peer at {_endpoint(spec, site)}")
    wrong += [f"remove the unknown peer {key}" for key in known if key != peer]
    return wrong


def _endpoint(spec: Spec, site: str) -> str:
    return endpoint(spec.sites[spec.peer_of(site)].public, spec.tunnel.port)
