"""Put files into a host's file system from outside, before it boots."""

import os
import secrets
import uuid
from pathlib import Path

from secondsite_lab import identity, network
from secondsite_lab.identity import Secrets
from secondsite_lab.lab import Lab
from secondsite_lab.topology import Host

# Debian's own unit wants to set an OOM score, which a host may not, and then gives up. This one is started by whoever
# wants ZFS: `systemctl start lab-zfs`, then `zpool create tank FILE`.
_ZFS_UNIT = """[Unit]
Description=ZFS for the lab
ConditionPathExists=/usr/sbin/zfs-fuse

[Service]
ExecStart=/usr/sbin/zfs-fuse --no-daemon
ExecStartPost=/bin/sh -c 'until test -S /run/zfs/zfs_socket; do sleep 0.05; done'
TimeoutStartSec=10
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""
_BOOT_TARGET = "etc/systemd/system/multi-user.target.wants"


def account(root: Path, user: str) -> tuple[int, int]:
    """A user's numbers as the host knows them."""
    for line in (root / "etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if fields[0] == user:
            return int(fields[2]), int(fields[3])
    raise LookupError(f"no user {user} in {root}")


def put(root: Path, path: str, content: str | bytes, *, mode: int = 0o644, owner: str = "root") -> None:
    """Write one file, with its mode and its owner."""
    target = root / path
    folder(root, str(Path(path).parent))
    target.unlink(missing_ok=True)
    target.write_bytes(content.encode() if isinstance(content, str) else content)
    os.chown(target, *account(root, owner))
    target.chmod(mode)


def folder(root: Path, path: str, *, mode: int = 0o755, owner: str = "root") -> None:
    """Make a folder with its mode and its owner, unless it is there."""
    target = root / path
    if target.is_dir():
        return
    target.mkdir(parents=True)
    os.chown(target, *account(root, owner))
    target.chmod(mode)


def enable(root: Path, unit: str) -> None:
    """Have a unit started at boot."""
    wanted = root / _BOOT_TARGET / Path(unit).name
    wanted.parent.mkdir(parents=True, exist_ok=True)
    wanted.unlink(missing_ok=True)
    wanted.symlink_to(f"/{unit}")


def mask(root: Path, unit: str) -> None:
    """Have a unit never started."""
    place = root / "etc/systemd/system" / unit
    place.unlink(missing_ok=True)
    place.symlink_to("/dev/null")


def common(lab: Lab, host: Host, root: Path, secret: Secrets) -> None:
    """What every host has: a name, an identity, a resolver, and a door for the operator."""
    put(root, "etc/hostname", f"{host.name}\n")
    put(root, "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost\n")
    put(root, "etc/resolv.conf", network.RESOLVER)
    # Not empty: systemd takes an empty one for a first boot, and would then enable units by its presets.
    put(root, "etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)
    put(root, "var/lib/systemd/random-seed", secrets.token_bytes(512), mode=0o600)
    # A host has every capability but no modules of its own: it must not try to load any.
    mask(root, "systemd-modules-load.service")
    folder(root, "root/.ssh", mode=0o700)
    put(root, "root/.ssh/authorized_keys", lab.ssh_key.with_suffix(".pub").read_bytes(), mode=0o600)
    key = identity.host_key(lab, host)
    put(root, "etc/ssh/ssh_host_ed25519_key", key.read_bytes(), mode=0o600)
    put(root, "etc/ssh/ssh_host_ed25519_key.pub", key.with_suffix(".pub").read_bytes())
    if host.site is not None:
        folder(root, "etc/secondsite", mode=0o700)
        put(root, "etc/secondsite/dns.key", secret.tsig + "\n", mode=0o600)
        put(root, "etc/systemd/system/lab-zfs.service", _ZFS_UNIT)
