"""The lab's hosts are real machines: they boot, let the operator in, lose power and come back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite_lab.testing import RunningLab, running_lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    with running_lab(f"hosts-{os.getpid()}") as running:
        yield running


def settled(lab: RunningLab, host: str) -> str:
    """The state of a host's systemd once it has nothing left to start."""
    deadline = time.monotonic() + 20
    while (state := lab.command("exec", host, "--", "systemctl", "is-system-running").out.strip()) == "starting":
        assert time.monotonic() < deadline, f"{host} never finished booting"
        time.sleep(0.1)
    return state


@pytest.mark.parametrize("host", ["oslo", "bergen", "world"])
def test_a_host_boots_a_systemd_of_its_own_in_which_no_unit_failed(lab: RunningLab, host: str) -> None:
    assert settled(lab, host) == "running"
    assert lab.inside(host, "hostname").strip() == host


def test_the_operator_logs_in_with_the_host_key_checked(lab: RunningLab) -> None:
    for name, host in lab.info["hosts"].items():
        assert lab.ssh(host["address"], "hostname").out.strip() == name


def test_a_host_with_another_key_is_refused(lab: RunningLab, tmp_path: Path) -> None:
    known = (Path(lab.info["config"]).parent / "known_hosts").read_text().splitlines()
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"{known[0].split()[0]} {' '.join(known[1].split()[1:])}\n")
    done = lab.ssh("-o", f"UserKnownHostsFile={swapped}", known[0].split()[0], "true")
    assert done.code == 255
    assert "host key" in done.err.lower()


def test_packages_are_installed_by_the_real_apt_without_internet(lab: RunningLab) -> None:
    for program in ("rsync", "wg", "wireguard-go", "pgbouncer"):
        assert lab.command("exec", "bergen", "--", "which", program).code != 0
    lab.inside("bergen", "apt-get", "install", "-y", "rsync", "wireguard-tools", "wireguard-go")
    assert "rsync  version" in lab.inside("bergen", "rsync", "--version")


def test_only_the_primary_has_a_database_and_an_open_shop(lab: RunningLab) -> None:
    assert "online" in lab.inside("oslo", "pg_lsclusters", "--no-header")
    assert lab.inside("bergen", "pg_lsclusters", "--no-header") == ""
    assert lab.inside("oslo", "systemctl", "is-active", "shop").strip() == "active"
    assert lab.command("exec", "bergen", "--", "systemctl", "is-active", "shop").out.strip() == "inactive"


def test_exec_passes_the_exit_code_and_the_user_through(lab: RunningLab) -> None:
    assert lab.command("exec", "oslo", "--", "sh", "-c", "exit 41").code == 41
    assert lab.must("exec", "oslo", "--user", "postgres", "--", "id", "-un").strip() == "postgres"


def test_a_file_system_mark_sees_a_change_on_the_data_disk(lab: RunningLab) -> None:
    # FAN_MARK_ADD | FAN_MARK_FILESYSTEM for FAN_CREATE, which the hosts' root on btrfs would refuse.
    watch = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True);"
        "fd = libc.fanotify_init(0x200 | 0x400, os.O_RDONLY);"
        "done = libc.fanotify_mark(fd, 0x101, ctypes.c_uint64(0x40000100), -100, b'/srv/shop/uploads');"
        "print(os.strerror(ctypes.get_errno()) if fd < 0 or done else 'marked');"
        "open('/srv/shop/uploads/seen', 'w').close(); print(len(os.read(fd, 4096)) > 0)"
    )
    assert lab.inside("bergen", "python3", "-c", watch).split() == ["marked", "True"]


def test_after_a_loss_of_power_the_disk_is_as_it_was(lab: RunningLab) -> None:
    lab.inside("bergen", "sh", "-c", "echo kept >/root/note; echo kept >/srv/note; sync /root/note /srv/note")
    boot = lab.inside("bergen", "cat", "/proc/1/stat")
    started = time.monotonic()
    lab.must("power-off", "bergen")
    assert time.monotonic() - started < 5
    assert lab.ssh("-o", "ConnectTimeout=1", "198.51.100.12", "true").code == 255
    assert lab.command("exec", "bergen", "--", "true").code == 3
    lab.must("power-on", "bergen")
    assert lab.inside("bergen", "cat", "/root/note", "/srv/note").split() == ["kept", "kept"]
    assert lab.inside("bergen", "cat", "/proc/1/stat") != boot


def test_a_host_is_switched_off_and_on_from_inside_the_labs_own_network(lab: RunningLab) -> None:
    # There neither the machine's control groups nor its mounts are to be seen; the command finds its way home.
    words = (sys.executable, "-m", "secondsite_lab")
    for act in ("power-off", "power-on"):
        done = lab.from_world(*words, act, "bergen", "--name", lab.name)
        assert done.code == 0, done.err
    assert lab.ssh("198.51.100.12", "true").code == 0


def test_a_copy_of_the_machines_mounts_does_not_keep_a_disk_busy(lab: RunningLab) -> None:
    netns = str(lab.info["world"]["netns"])
    with subprocess.Popen(["ip", "netns", "exec", netns, "sleep", "60"]) as sleeper:
        try:
            time.sleep(0.2)
            lab.must("power-off", "bergen")
            copied = Path(f"/proc/{sleeper.pid}/mountinfo").read_text()
            assert f"/{lab.name}/oslo/srv " in copied
            assert f"/{lab.name}/bergen/srv " not in copied
        finally:
            sleeper.kill()
    lab.must("power-on", "bergen")


def test_a_restored_lab_has_the_disks_and_the_links_it_was_saved_with(lab: RunningLab) -> None:
    lab.inside("oslo", "sh", "-c", "echo before >/root/state; echo before >/srv/state")
    lab.must("save", "point")
    lab.inside("oslo", "sh", "-c", "echo after >/root/state; rm /srv/state")
    lab.must("link", "cut", "oslo")
    lab.must("power-off", "bergen")
    lab.must("restore", "point")
    assert lab.inside("oslo", "cat", "/root/state", "/srv/state").split() == ["before", "before"]
    assert lab.ssh("192.0.2.11", "true").code == 0
    assert lab.ssh("198.51.100.12", "true").code == 0
    missing = lab.command("restore", "nothing")
    assert (missing.code, "point" in missing.err) == (3, True)
