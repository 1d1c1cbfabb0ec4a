"""The guests' kernel, initial file system and root disk: built once, and then only read."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from secondsite_lab import lock, sources
from secondsite_lab.errors import CommandFailed
from secondsite_lab.guests.wire import ADDRESSES, CONTROL_MAC, MACS
from secondsite_lab.lab import cache_directory
from secondsite_lab.mounts import unmount_below
from secondsite_lab.run import run

Tell = Callable[[str], None]
SUITE = "bookworm"
ZFS_SUITE = "bookworm-backports"  # its contrib has OpenZFS 2.3; the plain suite's is 2.1
_BUILD_SECONDS = 3600
_ROOT_SIZE = "6G"
_PACKAGES = (
    "attr",
    "ca-certificates",
    "dbus",
    "initramfs-tools",
    "iproute2",
    "kmod",
    "linux-headers-amd64",
    "linux-image-amd64",
    "openssh-server",
    "procps",
    "psmisc",
    "python3",
    "sudo",
    "systemd-sysv",
    "udev",
    "zfs-dkms",
    "zfsutils-linux",
    "zstd",
)
_FINISH = Path(__file__).with_name("finish.sh")
# What the packages read while they are being installed.
_BEFORE = {
    "etc/apt/preferences.d/zfs": f"Package: src:zfs-linux\nPin: release n={ZFS_SUITE}\nPin-Priority: 990\n",
    "etc/initramfs-tools/conf.d/small": "MODULES=list\n",  # only what the root disk needs: an emulated boot is slow
    "usr/share/initramfs-tools/modules.d/guest": "virtio_pci\nvirtio_blk\nvirtio_net\next4\n",
    "etc/modprobe.d/zfs.conf": "options zfs zfs_arc_max=268435456\n",
}
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "systemd-networkd-wait-online.service",
    "systemd-pstore.service",
)


@dataclass(frozen=True, slots=True)
class Image:
    """Where an image lies."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def root(self) -> Path:
        return self.folder / "root.img"

    @property
    def key(self) -> Path:
        """Root's, for root of every guest."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> Path:
        """The guests' public ssh key, by which they are known."""
        return self.folder / "host_key.pub"


def image() -> Image:
    """The image of this version of the program, whether it is there or not."""
    text = "\n".join((SUITE, ZFS_SUITE, *_PACKAGES, *_BEFORE.values(), *_MASKED, _FINISH.read_text()))
    return Image(cache_directory() / f"openzfs-{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def ensure(tell: Tell) -> Image:
    """Build it unless it is there: about ten minutes, most of them for the kernel module."""
    made = image()
    if made.root.exists():
        return made
    cache_directory().mkdir(parents=True, exist_ok=True)
    busy = made.folder.with_suffix(".lock")
    with lock.held(busy, "building the guests' image", timeout=_BUILD_SECONDS, waiting=tell):
        if not made.root.exists():
            started = time.monotonic()
            _build(made, tell)
            tell(f"the guests' image was built in {time.monotonic() - started:.0f} s")
    return made


def _build(made: Image, tell: Tell) -> None:
    tell(f"building the guests' image (once, ten minutes or more; it is kept in {made.folder})")
    unmount_below(made.folder)  # a build that was killed leaves the machine's own /dev mounted in its folder
    shutil.rmtree(made.folder, ignore_errors=True)
    made.folder.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(dir=made.folder) as folder:
        work = Path(folder)
        work.chmod(0o755)  # apt's own user reads below it
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", made.key])
        root = work / "root"
        _bootstrap(work, root)
        _settle(root, made)
        shutil.copy(next((root / "boot").glob("vmlinuz-*")), made.kernel)
        shutil.copy(next((root / "boot").glob("initrd.img-*")), made.initrd)
        unfinished = work / "root.img"
        run(["mkfs.ext4", "-q", "-F", "-d", root, unfinished, _ROOT_SIZE], timeout=_BUILD_SECONDS)
        unfinished.rename(made.root)


def _bootstrap(work: Path, root: Path) -> None:
    before = work / "before"
    for name, text in _BEFORE.items():
        (before / name).parent.mkdir(parents=True, exist_ok=True)
        (before / name).write_text(text)
    (work / "sources.list").write_text("\n".join(_sources()) + "\n")
    argv = ["nice", "-n", "19", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    argv += [f"--aptopt={option}" for option in sources.options()]
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    argv += ["--dpkgopt=force-unsafe-io", f"--include={','.join(_PACKAGES)}"]
    argv += [f'--setup-hook=cp -r {before}/. "$1"/', f"--customize-hook={_FINISH}"]
    argv += [SUITE, str(root), str(work / "sources.list")]
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_BUILD_SECONDS,
        env={**os.environ, "TMPDIR": str(work)},
        check=False,
    )
    if done.returncode != 0:
        raise CommandFailed(("mmdebstrap", SUITE), f"exit code {done.returncode}", done.stderr)


def _sources() -> list[str]:
    """The machine's own mirrors, with the sections in which ZFS is."""
    plain = sources.lines(SUITE)
    first = plain[0].replace(f" {SUITE} ", f" {ZFS_SUITE} ")
    return [f"{line} contrib" for line in (*plain, first)]


def _settle(root: Path, made: Image) -> None:
    """Two hosts from one disk: who is who is said at boot, and seen by the network card."""
    units = root / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (root / "etc/fstab").write_text("/dev/vda / ext4 noatime 0 0\n")
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").unlink(missing_ok=True)
    known = "".join(f"{address} {name}\n" for name, address in ADDRESSES.items())
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{known}")
    for name, address in ADDRESSES.items():
        _network(root, name, MACS[name], f"{address}/24")
    _network(root, "control", CONTROL_MAC, "10.0.2.15/24")
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    (ssh / "authorized_keys").write_text(made.key.with_suffix(".pub").read_text())
    (root / "etc/ssh/sshd_config.d/guest.conf").write_text("UseDNS no\nMaxSessions 64\n")
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", made.host_key)


def _network(root: Path, name: str, mac: str, address: str) -> None:
    text = f"[Match]\nMACAddress={mac}\n[Network]\nAddress={address}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    (root / f"etc/systemd/network/{name}.network").write_text(text)
