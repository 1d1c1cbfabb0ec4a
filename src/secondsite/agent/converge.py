"""The agent as a systemd unit of this host: enabled, running, and running what is installed."""

from __future__ import annotations

from secondsite.converge.resource import Resource
from secondsite.converge.units import UNITS, Unit, UnitFile
from secondsite.database.cluster import Cluster
from secondsite.spec import Spec, paths

UNIT = "secondsite-agent.service"
WATCHDOG_SECONDS = 30
STOP_SECONDS = 150  # a procedure may come to its end first


def resources(
    spec: Spec, site: str, *, wanted: str | None = None, written: tuple[Resource, ...] = ()
) -> list[Resource]:
    """The unit file, and the unit: restarted where the file, the configuration or the program is newer than it.

    wanted: the release that is, or in a plan will be, current. written: what writes the configuration.
    """
    unit = UnitFile(UNIT, unit_text(spec, wanted or release()))
    return [unit, Unit(UNIT, files=(UNITS / UNIT, paths.CONFIG, paths.SITE), written=(unit.file, *written))]


def release() -> str:
    """The installed program; it stands in the unit, so that another one makes another unit and a restart."""
    return (paths.PROGRAM / "current").resolve().name


def unit_text(spec: Spec, release: str) -> str:
    """Pure. It must start and stop services, fence, and pull files with any owner: that needs root, and devices."""
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    tunnel = f"wg-quick@{spec.tunnel.interface}.service"
    return f"""# Written by secondsite.
[Unit]
Description=secondsite agent of {spec.service.name}
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target {tunnel} {cluster.unit}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={paths.COMMAND} agent
Restart=always
RestartSec=1
WatchdogSec={WATCHDOG_SECONDS}
TimeoutStartSec=60
TimeoutStopSec={STOP_SECONDS}
KillMode=mixed
RuntimeDirectory=secondsite
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
StateDirectory=secondsite
StateDirectoryMode=0700
Environment=SECONDSITE_RELEASE={release} PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2
OOMScoreAdjust=-500
UMask=0077
LockPersonality=yes
NoNewPrivileges=yes
RestrictRealtime=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=multi-user.target
"""
