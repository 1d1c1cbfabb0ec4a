"""The machine's own apt sources, read for whichever suite an image needs."""

import re
from collections.abc import Iterator
from pathlib import Path

from secondsite_lab.run import run

_DEFAULT_ARCHIVE = "http://deb.debian.org/debian"
_DEFAULT_SECURITY = "http://deb.debian.org/debian-security"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CARRIED_OVER = ("::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date", "::Verify-Peer", "::CaInfo")


def _addresses() -> Iterator[str]:
    """The addresses in the machine's source lists, both formats."""
    folder = Path("/etc/apt")
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("URIs:"):
                yield from line.removeprefix("URIs:").split()
            elif match := re.match(r"deb\s+(\[[^]]*\]\s+)?(\S+)", line):
                yield match[2]


def lines(suite: str) -> list[str]:
    """One-line sources for a Debian suite, from the mirrors that this machine uses."""
    archive, security = _DEFAULT_ARCHIVE, _DEFAULT_SECURITY
    for address in _addresses():
        plain = address.rstrip("/")
        if plain.endswith("/debian"):
            archive = plain
        elif plain.endswith("/debian-security"):
            security = plain
    where = ((archive, suite), (archive, f"{suite}-updates"), (security, f"{suite}-security"))
    return [f"deb [signed-by={_KEYRING}] {address} {name} main" for address, name in where]


def options() -> list[str]:
    """The machine's apt settings that decide whether its mirrors can be reached at all."""
    dump = run(["apt-config", "dump", "Acquire"])
    return [line for line in dump.splitlines() if any(word in line for word in _CARRIED_OVER) and '""' not in line]
