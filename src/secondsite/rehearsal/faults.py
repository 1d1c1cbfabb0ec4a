"""Faults on this host, each with an undo that is armed before the fault is injected.

The undo is a transient systemd timer that calls ``ip`` or ``nft`` itself: it ends the fault even if secondsite, the
SSH connection and the person who began it are all gone. The injection is a timer as well, a moment later, so that
the answer still gets out of an interface that is about to go down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from secondsite.errors import FinalError, UsageError
from secondsite.process import run
from secondsite.spec import Spec, paths

FOLDER = paths.RUN / "faults"
TABLE = "secondsite_gameday"
DELAY_SECONDS = 0.4
STEP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its end, as programs with their input files. files: name to content, below ``FOLDER``."""

    name: str
    inject: tuple[str, ...]
    undo: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()


TITLES = {
    "interface-down": "The network interface of the host goes down",
    "postgres-port-blocked": "PostgreSQL's port is blocked on the host",
    "power-off": "The host loses its power",
}
ON_HOST = ("interface-down", "postgres-port-blocked")


async def inject(spec: Spec, site: str, name: str, *, undo_after_seconds: float) -> dict[str, Any]:
    """Arm the undo, see that it is armed, then inject; {fault, undo_after_seconds, undo, injected_in_seconds}.

    Raises UsageError for an unknown fault, FinalError (``fault-active``) where it is already on.
    """
    fault = await _prepare(spec, site, name)
    await _clear(name)
    FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
    for filename, content in fault.files:
        (FOLDER / filename).write_text(content)
    await _timer(undo_unit(name), undo_after_seconds, fault.undo)
    armed = await run(["systemctl", "is-active", f"{undo_unit(name)}.timer"], timeout=STEP_SECONDS, check=False)
    if armed.stdout.strip() != "active":
        raise FinalError("the undo could not be armed, so nothing was broken", slug="undo-not-armed", host=site)
    await _timer(f"secondsite-inject-{name}", DELAY_SECONDS, fault.inject)
    return {
        "fault": name,
        "undo_after_seconds": undo_after_seconds,
        "undo": f"timer {undo_unit(name)} runs: {' '.join(fault.undo)}",
        "injected_in_seconds": DELAY_SECONDS,
    }


async def undo(name: str) -> None:
    """End a fault now, and disarm its timer; doing it twice changes nothing."""
    await run(["systemctl", "start", f"{undo_unit(name)}.service"], timeout=STEP_SECONDS, check=False)
    await _clear(name)


async def active(name: str) -> bool:
    """Is something of this fault left: its timers, or its firewall table?"""
    units = await run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"secondsite-*-{name}.timer"],
        timeout=STEP_SECONDS,
    )
    table = await run(["nft", "list", "table", "inet", TABLE], timeout=STEP_SECONDS, check=False)
    return bool(units.stdout.strip()) or table.ok


def undo_unit(name: str) -> str:
    """The timer's name, without its suffix."""
    return f"secondsite-undo-{name}"


async def _prepare(spec: Spec, site: str, name: str) -> Fault:
    match name:
        case "interface-down":
            device = await _device(str(spec.sites[site].public))
            batch = FOLDER / "interface-down.batch"
            return Fault(
                name,
                inject=("ip", "link", "set", "dev", device, "down"),
                undo=("ip", "-force", "-batch", str(batch)),
                files=((batch.name, restore_lines(device, *await _addressing(device))),),
            )
        case "postgres-port-blocked":
            rules = FOLDER / "postgres-port-blocked.nft"
            return Fault(
                name,
                inject=("nft", "-f", str(rules)),
                undo=("nft", "delete", "table", "inet", TABLE),
                files=((rules.name, block_rules(spec.database.port)),),
            )
        case _:
            raise UsageError(
                f"there is no fault {name} on a host", slug="no-such-fault", hint=f"one of: {', '.join(ON_HOST)}"
            )


def block_rules(port: int) -> str:
    """Pure: nft rules that drop the port on every interface but loopback, connections that are open included."""
    return (
        f"table inet {TABLE} {{\n"
        "  chain input {\n"
        "    type filter hook input priority -200; policy accept;\n"
        f'    iifname != "lo" tcp dport {port} drop\n'
        "  }\n"
        "  chain output {\n"
        "    type filter hook output priority -200; policy accept;\n"
        f'    oifname != "lo" tcp sport {port} drop\n'
        "  }\n"
        "}\n"
    )


def restore_lines(device: str, routes: Sequence[dict[str, Any]], addresses: Sequence[dict[str, Any]]) -> str:
    """Pure: ``ip -batch`` lines that bring an interface back as it was. The kernel forgets routes and IPv6
    addresses of an interface that goes down."""
    lines = [f"link set dev {device} up"]
    for address in addresses:
        if address.get("family") == "inet6" and address.get("scope") == "global":
            lines.append(f"address replace {address['local']}/{address['prefixlen']} dev {device}")
    for route in routes:
        if route.get("protocol") == "kernel":
            continue
        via = f" via {route['gateway']}" if "gateway" in route else ""
        metric = f" metric {route['metric']}" if "metric" in route else ""
        onlink = " onlink" if "onlink" in route.get("flags", []) else ""
        lines.append(f"route replace {route['dst']}{via} dev {device}{metric}{onlink}")
    return "\n".join(lines) + "\n"


async def _addressing(device: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    routes = []
    for family in ("-4", "-6"):
        shown = await run(["ip", family, "-j", "route", "show", "dev", device], timeout=STEP_SECONDS)
        routes += [route for route in json.loads(shown.stdout or "[]") if route.get("dst") != "fe80::/64"]
    shown = await run(["ip", "-j", "address", "show", "dev", device], timeout=STEP_SECONDS)
    return routes, json.loads(shown.stdout)[0]["addr_info"]


async def _device(public: str) -> str:
    """The interface that carries the public address, or where that is translated the one with the default route."""
    shown = await run(["ip", "-j", "address", "show"], timeout=STEP_SECONDS)
    for link in json.loads(shown.stdout):
        if any(address.get("local") == public for address in link.get("addr_info", ())):
            return str(link["ifname"])
    shown = await run(["ip", "-j", "route", "show", "default"], timeout=STEP_SECONDS)
    routes = json.loads(shown.stdout or "[]")
    if not routes:
        raise FinalError("no interface carries the public address and there is no default route", slug="no-interface")
    return str(routes[0]["dev"])


async def _timer(unit: str, seconds: float, argv: Sequence[str]) -> None:
    program = (await run(["sh", "-c", 'command -v -- "$1"', "sh", argv[0]], timeout=STEP_SECONDS)).stdout.strip()
    options = [f"--unit={unit}", f"--on-active={int(seconds * 1000)}ms", "--timer-property=AccuracySec=10ms"]
    await run(["systemd-run", *options, "--collect", program, *argv[1:]], timeout=STEP_SECONDS)


async def _clear(name: str) -> None:
    units = [f"{undo_unit(name)}.timer", f"secondsite-inject-{name}.timer"]
    await run(["systemctl", "stop", *units], timeout=STEP_SECONDS, check=False)
