"""Put the guard in front of the database and the application: as start conditions of their units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.clock import SystemClock
from secondsite.converge.resource import Change, Resource
from secondsite.converge.units import UnitFile
from secondsite.database import door
from secondsite.database.cluster import Cluster
from secondsite.database.fence import marked_by_us
from secondsite.database.observe import observe
from secondsite.database.state import Role
from secondsite.events import Emit
from secondsite.recovery.admit import open_here
from secondsite.recovery.fence import note_verdict
from secondsite.recovery.guard import Ruling
from secondsite.spec import Spec, paths

DROP_IN = "secondsite-guard.conf"


def resources(spec: Spec, *, rejoined: bool = False, planned: bool = False) -> Sequence[Resource]:
    """The drop-ins, and the mark that lets the application start where the database accepts writes now.

    rejoined: this site was made a standby anew, so what the guard and a fence had decided about its old data is over.
    planned: it only will be; the copy comes before this in an apply.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    return (
        OpenWherePrimary(cluster),
        *([Rejoined(cluster, planned)] if rejoined else []),
        UnitFile(f"{cluster.unit}.d/{DROP_IN}", database_drop_in(spec)),
        *(UnitFile(f"{unit}.d/{DROP_IN}", application_drop_in(cluster)) for unit in spec.service.units),
    )


def holds_back(cluster: Cluster) -> bool:
    """Whether the guard or a fence has decided something about the data here, and nobody has let it go since."""
    return paths.FENCED.exists() or paths.GUARD_VERDICT.exists() or door.is_shut(cluster)


def database_drop_in(spec: Spec) -> str:
    """Pure: ask before every start. The tunnel and the network come first, so that somebody can answer."""
    wireguard = f"wg-quick@{spec.tunnel.interface}.service"
    return (
        "# Written by secondsite. The guard decides whether the database may accept writes.\n"
        "[Unit]\n"
        f"Wants=network-online.target {wireguard} secondsite-firewall.service\n"
        f"After=network-online.target {wireguard} secondsite-firewall.service\n"
        "[Service]\n"
        f"ExecStartPre=+{paths.COMMAND} guard --starting\n"
    )


def application_drop_in(cluster: Cluster) -> str:
    """Pure: no application where the guard has not opened the host; it fails loudly, not silently."""
    return (
        "# Written by secondsite. The application runs only where the service is active.\n"
        "[Unit]\n"
        f"After={cluster.unit}\n"
        f"AssertPathExists={paths.ACTIVE}\n"
    )


@dataclass(frozen=True, slots=True)
class Rejoined:
    """Forget why the old data was held back, once the new data follows the primary. planned: as if it did already."""

    cluster: Cluster
    planned: bool = False

    @property
    def name(self) -> str:
        return "guard of the old data"

    async def plan(self) -> Change | None:
        over = self.planned or (observe(self.cluster).role is Role.STANDBY and not marked_by_us(self.cluster))
        return Change("let it go") if over and holds_back(self.cluster) else None

    async def apply(self, change: Change, emit: Emit) -> None:
        paths.FENCED.unlink(missing_ok=True)
        paths.GUARD_VERDICT.unlink(missing_ok=True)
        if door.unlock(self.cluster):
            door.reload(self.cluster)


@dataclass(frozen=True, slots=True)
class OpenWherePrimary:
    """The host whose database accepts writes at set-up time is open; nobody has to restart anything for it."""

    cluster: Cluster

    @property
    def name(self) -> str:
        return "guard"

    async def plan(self) -> Change | None:
        if observe(self.cluster).writable and not paths.ACTIVE.exists():
            return Change("note that this site accepts writes")
        return None

    async def apply(self, change: Change, emit: Emit) -> None:
        note_verdict(Ruling.ALLOW, "it was the primary when secondsite was set up", SystemClock())
        open_here()
