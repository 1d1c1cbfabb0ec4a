"""One lab: its name, and where everything that belongs to it is found.

All names are derived from the lab's name, so whatever a killed run left behind can be found again from the name alone.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from secondsite_lab.errors import UsageError
from secondsite_lab.topology import Host

DEFAULT_NAME = "lab"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")


def runtime_directory() -> Path:
    """Where labs keep their state while they run."""
    return Path(os.environ.get("SECONDSITE_LAB_RUNTIME", "/run/secondsite-lab"))


def cache_directory() -> Path:
    """Where base images and disks are kept; survives the labs."""
    return Path(os.environ.get("SECONDSITE_LAB_CACHE", "/var/cache/secondsite-lab"))


@dataclass(frozen=True, slots=True)
class Lab:
    """The paths and names of one lab."""

    name: str

    @property
    def state(self) -> Path:
        return runtime_directory() / self.name

    @property
    def record(self) -> Path:
        return self.state / "lab.json"

    @property
    def lock(self) -> Path:
        """Whoever changes the lab holds this."""
        return runtime_directory() / f"{self.name}.lock"

    @property
    def config(self) -> Path:
        return self.state / "secondsite.toml"

    @property
    def ssh_key(self) -> Path:
        return self.state / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def dns_key(self) -> Path:
        return self.state / "dns.key"

    @property
    def router(self) -> str:
        """The router's network namespace."""
        return f"ss-{self.name}-router"

    def netns(self, host: Host) -> str:
        """The network namespace of a host."""
        return f"ss-{self.name}-{host.name}"

    def host_state(self, host: Host) -> Path:
        """Records and logs about one host."""
        return self.state / "hosts" / host.name

    def data_mount(self, host: Host) -> Path:
        """Where a site's data disk is mounted on this machine."""
        return self.host_state(host) / "data"

    @property
    def namespaces(self) -> Path:
        """Where iproute2 looks for per-namespace resolver configuration."""
        return Path("/etc/netns")


def lab_named(name: str) -> Lab:
    """A lab by name; names end up in namespace and machine names, so they are restricted."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a lab", "use a-z, 0-9 and '-', at most 24 characters")
    return Lab(name)


def known_labs() -> list[Lab]:
    """All labs that have state on this machine, running or left behind."""
    directory = runtime_directory()
    if not directory.is_dir():
        return []
    return [Lab(path.name) for path in sorted(directory.iterdir()) if path.is_dir() and path.name[0] != "."]
