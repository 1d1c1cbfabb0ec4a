"""The firewall on this host: our file, the unit that loads it before any network, and the table in the kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
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
# No ExecStop: stopping the unit never lets a quarantined peer back in.
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

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True, slots=True)
class Firewall:
    """Our file, loaded by its unit at every boot, and in the kernel now; made in one step, so that it is judged in one.

    What users may notice is connections to the database from networks that the file does not name.
    """

    spec: Spec
    conf: Path = CONF

    @property
    def name(self) -> str:
        return f"firewall table inet {TABLE}"

    @property
    def _file(self) -> TextFile:
        return TextFile(self.conf, render(self.spec), mode=0o600)

    @property
    def _unit(self) -> units.Unit:
        return units.Unit(UNIT, files=(self.conf, units.UNITS / UNIT))

    async def plan(self) -> Change | None:
        """Whether the file differs, or the unit or the table is missing or older than it."""
        change = await self._file.plan() or await self._unit.plan()
        if change is None and not await loaded():
            change = Change("load the table again (something removed it)")
        if change is None:
            return None
        port = self.spec.database.port
        cut = outsiders(await _connections(port), self.spec)
        heard = outsiders(await _listening(port), self.spec) if await self._closes() else ()
        return replace(change, disrupts=noticed(cut, heard, port))

    async def _closes(self) -> bool:
        """Whether somebody outside may connect now, and nobody from then on."""
        if self.spec.database.clients:
            return False
        before = self.conf.read_text() if self.conf.exists() else ""
        return not await loaded() or "accept" in before.partition("chain database {")[2].partition("}")[0]

    async def apply(self, change: Change, emit: Emit) -> None:
        """Write the file, start the unit, load the table. Raises SecondsiteError."""
        if await self._file.plan() is not None:
            await self._file.apply(change, emit)
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


def outsiders(peers: Iterable[str], spec: Spec) -> tuple[str, ...]:
    """Addresses among ``peers`` that the table will not admit to the database."""
    admitted = (*spec.database.clients, spec.tunnel.network)
    found = set()
    for text in peers:
        try:
            address = ip_address(text)
        except ValueError:
            continue
        address = getattr(address, "ipv4_mapped", None) or address
        if not address.is_loopback and not any(address in network for network in admitted):
            found.add(str(address))
    return tuple(sorted(found))


def noticed(cut: Sequence[str], heard: Sequence[str], port: int) -> str | None:
    """What users notice. cut: who is connected and will not be admitted; heard: addresses that listen to everybody."""
    way_out = "name them in database.clients to let them in"
    if cut:
        told = "database connections from {} are cut, because database.clients does not name them; {}"
        return told.format(", ".join(cut), way_out)
    if heard:
        told = "the database listens on {} port {}, and is closed to every client outside this host and the tunnel; {}"
        return told.format(", ".join(heard), port, way_out)
    return None


async def _listening(port: int) -> list[str]:
    """The addresses on which this host listens on a TCP port (``ss``)."""
    try:
        done = await run(["ss", "-H", "-t", "-n", "-l", "sport", "=", f":{port}"], timeout=LOOK_SECONDS, check=False)
    except SecondsiteError:
        return []
    return listeners(done.stdout)


def listeners(text: str) -> list[str]:
    """Pure: the addresses in what ``ss -l`` prints; "*" is every one."""
    rows = (row.split() for row in text.splitlines())
    found = [row[3].rsplit(":", 1)[0].strip("[]").partition("%")[0] for row in rows if len(row) >= 5]
    return ["0.0.0.0" if address == "*" else address for address in found]


async def _connections(port: int) -> list[str]:
    """Who is connected to a local TCP port (``ss``); connections of the host to itself are not listed."""
    try:
        done = await run(
            ["ss", "-H", "-t", "-n", "state", "established", "sport", "=", f":{port}"],
            timeout=LOOK_SECONDS,
            check=False,
        )
    except SecondsiteError:
        return []
    rows = (row.split() for row in done.stdout.splitlines())
    pairs = [(row[2].rsplit(":", 1)[0], row[3].rsplit(":", 1)[0]) for row in rows if len(row) >= 4]
    return [peer.strip("[]") for own, peer in pairs if own != peer]


def resources(spec: Spec) -> list[Resource]:
    """The firewall of this host."""
    return [units.UnitFile(UNIT, _UNIT_TEXT), Firewall(spec)]
