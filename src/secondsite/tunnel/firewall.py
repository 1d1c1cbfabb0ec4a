"""The firewall on this host: our file, the unit that loads it before any network, and the table in the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondsite.converge import units
from secondsite.converge.files import TextFile
from secondsite.converge.resource import Change, Resource
from secondsite.errors import SecondsiteError
from secondsite.events import Emit
from secondsite.process import run
from secondsite.spec import Spec, paths
from secondsite.tunnel.nftables import CONF, TABLE, render

UNIT = "secondsite-firewall.service"
LOOK_SECONDS = 5.0

# PartOf and ReloadPropagatedFrom: Debian's nftables.service flushes every table when it is (re)loaded.
_UNIT_TEXT = f"""# Written by secondsite.
[Unit]
Description=secondsite: who may reach the database and the agents
Documentation=man:nft(8)
DefaultDependencies=no
RequiresMountsFor={paths.STATE} {paths.ETC}
After=nftables.service
Wants=network-pre.target
Before=network-pre.target shutdown.target
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {CONF}
ExecReload=/usr/sbin/nft -f {CONF}
ExecStop=/usr/sbin/nft delete table inet {TABLE}

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The unit is enabled and active, loaded what the file says, and the table is in the kernel."""

    conf: Path = CONF

    @property
    def name(self) -> str:
        return f"firewall table inet {TABLE}"

    @property
    def _unit(self) -> units.Unit:
        return units.Unit(UNIT, files=(self.conf, units.UNITS / UNIT))

    async def plan(self) -> Change | None:
        """Whether the unit or the table is missing or older than the file."""
        change = await self._unit.plan()
        if change is not None:
            return change
        return None if await loaded() else Change("load the table again (something removed it)")

    async def apply(self, change: Change, emit: Emit) -> None:
        """Start the unit, or load the table. Raises SecondsiteError."""
        if await self._unit.plan() is not None:
            await self._unit.apply(change, emit)
        if not await loaded():
            await run(["nft", "-f", str(self.conf)], timeout=LOOK_SECONDS, step=self.name)


async def loaded() -> bool:
    """Whether our table is in the kernel."""
    try:
        done = await run(
            ["nft", "list", "chain", "inet", TABLE, "input"], timeout=LOOK_SECONDS, check=False, step="firewall"
        )
    except SecondsiteError:
        return False
    return done.ok


def resources(spec: Spec) -> list[Resource]:
    """The firewall of this host."""
    return [TextFile(CONF, render(spec), mode=0o600), units.UnitFile(UNIT, _UNIT_TEXT), Loaded()]
