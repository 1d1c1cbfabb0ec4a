"""A set that ZFS mirrors, between real hosts: a disaster and the way home, with what only the old primary had."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground
from tests.scenario.kills import operate
from tests.scenario.test_switchover import OTHER, until_ready

MEDIA = "/srv/media"
SET = f"""
[[files]]
name = "media"
path = "{MEDIA}"
engine = "zfs"
interval = "2s"
"""
# zfs-fuse knows its pools again when it starts; nobody mounts them at the lab's hosts.
UNIT = "[Service]\\nExecStartPost=/usr/sbin/zfs mount -a\\n"
POOL = f"""
mkdir -p /etc/systemd/system/lab-zfs.service.d
printf '{UNIT}' > /etc/systemd/system/lab-zfs.service.d/mount.conf
systemctl daemon-reload
systemctl enable --quiet --now lab-zfs
truncate -s 400M /srv/pool.img
zpool create -m none tank /srv/pool.img
zfs create -o mountpoint={MEDIA} tank/media
"""


@pytest.fixture
def media(ground: Ground) -> Iterator[AppliedLab]:
    """A lab with a second set, on a pool at each site."""
    lab = ground.fresh()
    for host in OTHER:
        lab.on(host, POOL)
    lab.on("oslo", f"mkdir {MEDIA}/old; echo content > {MEDIA}/old/film")
    config = Path(lab.info["config"])
    before = config.read_text()
    try:
        config.write_text(before + SET)
        done = subprocess.run(lab.operator("apply", "--yes"), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        yield lab
    finally:
        config.write_text(before)


def until_copied(lab: AppliedLab, copy: str, seconds: float = 30) -> None:
    """Wait until the copy has everything of this moment."""
    now = float(lab.on(OTHER[copy], "date +%s.%N"))
    deadline = time.monotonic() + seconds
    while True:
        state = lab.json(copy, "secondsite state --json")
        (one,) = [each for each in state["files"] if each["name"] == "media"]
        if (one["complete_at"] or 0) >= now:
            assert one["status"] == "current", one
            return
        assert time.monotonic() < deadline, one
        time.sleep(0.5)


def test_a_set_by_zfs_is_there_after_a_disaster_and_comes_home_with_what_was_lost_listed(media: AppliedLab) -> None:
    lab = media
    until_ready(lab, "oslo")
    until_copied(lab, "bergen")
    assert f" {MEDIA} " not in lab.on("bergen", "cat /proc/mounts"), "a copy is not mounted"
    lab.lab("link", "cut", "oslo", "bergen")
    lab.on("oslo", f"echo lost | dd of={MEDIA}/only-here conv=fsync status=none")
    lab.lab("power-off", "oslo")
    lab.lab("link", "heal", "oslo", "bergen")
    took = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
    assert took["outcome"] == "completed", took["errors"]
    assert lab.on("bergen", f"cd {MEDIA}; find . -type f") == "./old/film\n"
    lab.on("bergen", f"echo later > {MEDIA}/later")

    lab.lab("power-on", "oslo")
    lab.on("oslo", "until systemctl is-active --quiet secondsite-agent; do sleep 0.2; done", timeout=60)
    assert lab.on("oslo", f"cat {MEDIA}/only-here") == "lost\n"
    document = operate(lab, "failback")
    assert document["outage_seconds"] < 10
    assert lab.on("oslo", f"cd {MEDIA}; cat later old/film; ls") == "later\ncontent\nlater\nold\n"
    (gone,) = [one for one in document["lost"]["files"] if one["set"] == "media"]
    assert (gone["site"], gone["count"]) == ("oslo", 1)
    (listed,) = [
        one
        for one in lab.json("oslo", "secondsite report --lost-files --json")["lost_files"]
        if [Path(file["path"]).name for file in one["files"]] == ["only-here"]
    ]
    assert listed["files"][0]["kept"]
    until_ready(lab, "oslo")
    lab.on("oslo", f"echo again > {MEDIA}/again")
    until_copied(lab, "bergen")
    operate(lab, "switchover", "--to", "bergen")
    assert lab.on("bergen", f"cat {MEDIA}/again {MEDIA}/later") == "again\nlater\n"
