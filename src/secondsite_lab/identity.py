"""Who is who: keys and secrets, made outside before the hosts exist, so that trust never starts with a first look."""

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path

from secondsite_lab.lab import Lab
from secondsite_lab.run import run
from secondsite_lab.topology import HOSTS, Host


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only this lab knows."""

    tsig: str
    database_password: str


def new_secrets() -> Secrets:
    """Fresh secrets for a new lab."""
    return Secrets(base64.b64encode(secrets.token_bytes(32)).decode(), secrets.token_hex(12))


def host_key(lab: Lab, host: Host) -> Path:
    """A host's own SSH key, as kept outside."""
    return lab.host_state(host) / "ssh_host_ed25519_key"


def create(lab: Lab) -> None:
    """Make the operator's key, the hosts' keys, and the SSH configuration that checks them."""
    _key(lab.ssh_key, "operator")
    known = []
    for host in HOSTS:
        lab.host_state(host).mkdir(parents=True, exist_ok=True)
        _key(host_key(lab, host), host.name)
        kind, key, _ = host_key(lab, host).with_suffix(".pub").read_text().split()
        known.append(f"{host.address} {kind} {key}\n")
    lab.known_hosts.write_text("".join(known))
    lab.ssh_config.write_text(
        f"Host {' '.join(host.address for host in HOSTS)}\n"
        "  User root\n"
        f"  IdentityFile {lab.ssh_key}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {lab.known_hosts}\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
    )


def _key(path: Path, comment: str) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
