"""Cut the peer off from everything but the guard's question, at once and over every reboot.

``paths.QUARANTINE`` holds the addresses as nft commands, which the firewall's own file includes: what is in
the kernel and what a boot restores cannot differ. The set is ``inet secondsite quarantine``.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from secondsite.converge.write import atomically, sync_directory
from secondsite.errors import FinalError
from secondsite.process import run
from secondsite.spec import paths
from secondsite.tunnel.nftables import CONF, SET, TABLE

STEP_SECONDS = 5.0


async def add(address: IPv4Address) -> None:
    """Quarantine ``address``: first on disk, then in the kernel. Doing it twice changes nothing.

    Raises SecondsiteError (``program-failed``, ``program-missing``) where the kernel did not take it; it is on
    disk then, and the next start of the firewall applies it.
    """
    _write({*stored(), address})
    await _nft(f"add element inet {TABLE} {SET} {{ {address} }}")


async def remove(address: IPv4Address) -> None:
    """Let ``address`` back in. Doing it twice changes nothing. Raises SecondsiteError as ``add``."""
    if address in await active():
        await _nft(f"delete element inet {TABLE} {SET} {{ {address} }}")
    _write(stored() - {address})


async def is_active(address: IPv4Address) -> bool:
    """Whether the kernel drops what comes from ``address`` now."""
    return address in await active()


async def active() -> set[IPv4Address]:
    """The addresses in the kernel's set; empty where the table is not loaded."""
    done = await run(["nft", "list", "set", "inet", TABLE, SET], timeout=STEP_SECONDS, check=False, step="quarantine")
    return parse(done.stdout) if done.ok else set()


def stored() -> set[IPv4Address]:
    """The addresses that a boot would quarantine."""
    try:
        return parse(paths.QUARANTINE.read_text())
    except FileNotFoundError:
        return set()


def parse(text: str) -> set[IPv4Address]:
    """Addresses between the braces that hold the elements, in nft's output or in our file."""
    found = re.findall(r"(?:elements = |element inet \S+ \S+ )\{([^}]*)\}", text)
    return {IPv4Address(part.strip()) for part in ",".join(found).split(",") if part.strip()}


def _write(addresses: set[IPv4Address]) -> None:
    if not addresses:
        paths.QUARANTINE.unlink(missing_ok=True)
        if paths.QUARANTINE.parent.is_dir():
            sync_directory(paths.QUARANTINE.parent)
        return
    listed = ", ".join(str(address) for address in sorted(addresses))
    atomically(paths.QUARANTINE, f"add element inet {TABLE} {SET} {{ {listed} }}\n".encode(), mode=0o600)


async def _nft(command: str) -> None:
    """Run an nft command on our table. Where somebody has flushed it, it is loaded again first: it must not be a
    missing firewall that stops a failover."""
    known = await run(["nft", "list", "table", "inet", TABLE], timeout=STEP_SECONDS, check=False, step="quarantine")
    if not known.ok:
        loaded = await run(["nft", "-f", str(CONF)], timeout=STEP_SECONDS, check=False, step="quarantine")
        if not loaded.ok:
            raise FinalError(
                f"the firewall table of secondsite is not there and cannot be loaded: {loaded.why()}",
                slug="firewall-missing",
                step="quarantine",
                hint="secondsite apply writes it anew",
            )
    await run(["nft", command], timeout=STEP_SECONDS, step="quarantine")
