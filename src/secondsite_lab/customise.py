"""What turns a fresh Debian into the lab's base image."""

import hashlib
from pathlib import Path

from secondsite_lab import repository
from secondsite_lab.run import run

# Nobody logs in on a console, nothing may fetch updates, and the services below are only wanted where the lab says so.
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty.target",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
_DISABLED = ("e2scrub_reap.service", "knot.service", "zfs-fuse.service")
_REMOVED = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/apt/sources.list.d",
    "etc/ssh/ssh_host_ecdsa_key",
    "etc/ssh/ssh_host_ecdsa_key.pub",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "etc/ssh/ssh_host_rsa_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "etc/ssl/private/ssl-cert-snakeoil.key.bak",
    "var/lib/systemd/random-seed",
)
_SHOP_UID = "990"


def fingerprint() -> str:
    """Changes whenever this file or the repository's making changes."""
    text = Path(__file__).read_bytes() + Path(repository.__file__).read_bytes()
    return hashlib.sha256(text).hexdigest()


def finish(root: Path) -> None:
    """Settle a freshly bootstrapped system: local packages only, no identity, no surprises."""
    for name in _REMOVED:
        run(["rm", "-rf", root / name])
    repository.create(root)
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    for wanted in units.glob("*.wants/*"):
        if wanted.name in _DISABLED:
            wanted.unlink()
    run(["chroot", root, "useradd", "--system", "--uid", _SHOP_UID, "--home-dir", "/opt/shop", "shop"])
    # systemd-tmpfiles would make subvolumes of these, and a snapshot stops at a subvolume.
    for name in ("var/lib/machines", "var/lib/portables", "var/log/journal"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/default/locale").write_text("LANG=C.UTF-8\n")
    # Modules belong to the kernel outside: a host must not even try to load them, nor fail because it cannot.
    (root / "etc/modules").unlink(missing_ok=True)
