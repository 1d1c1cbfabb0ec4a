"""What only OpenZFS can, between two machines with a kernel of their own, by the real engine and its door."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.openzfs.site import PATH, Refused, Site

MEGABYTE = 1 << 20
KEY = "printf 'a pass phrase' >/root/key"
ENCRYPTED = "-o encryption=on -o keyformat=passphrase -o keylocation=file:///root/key"


def plain(oslo: Site, bergen: Site) -> None:
    oslo.zfs(f"create -o mountpoint={PATH} {oslo.root}")
    for site in (oslo, bergen):
        site.start()


def until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(1.0)


def arrived(site: Site, megabytes: int) -> bool:
    return int(site.sh("zpool get -Hpo value allocated tank")) > megabytes * MEGABYTE


def newest(site: Site) -> str:
    """The full name of the set's newest snapshot."""
    return site.zfs(f"list -H -t snapshot -d 1 -o name -s createtxg {site.root}").split()[-1]


def asides(site: Site) -> list[str]:
    found = site.zfs("list -H -t filesystem -d 1 -o name tank").split()
    return [each for each in found if "-secondsite-aside-" in each]


def test_what_openzfs_can_is_found_by_asking(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    for site in (oslo, bergen):
        can = site.ask("features")
        assert set(can.pop("send")) == set("Lecw")
        assert can and all(can.values()), can
    assert bergen.ask("chosen") == "Zfs"


def test_a_tree_comes_whole_compressed_unmounted_read_only_and_with_each_snapshot(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    oslo.zfs(f"create -o compression=zstd {oslo.root}/kid")
    oslo.sh(f"yes compressible | head -c 16M >{PATH}/kid/flat")
    first = oslo.fill("a", 4)
    done = bergen.pull()
    assert 4 * MEGABYTE < done["bytes"] < 8 * MEGABYTE  # 20 MB, sent as it lies on the disk
    assert bergen.read("a") == first
    for number in range(3):
        oslo.sh(f"echo {number} >{PATH}/kid/b && zfs snapshot -r {oslo.root}@hourly.{number}")
    bergen.pull()
    for below in ("", "/kid"):
        assert (
            bergen.guids(bergen.root + below)
            == oslo.guids(oslo.root + below)[-len(bergen.guids(bergen.root + below)) :]
        )
        state = [bergen.get(key, bergen.root + below) for key in ("mounted", "readonly", "canmount")]
        assert state == ["no", "on", "noauto"]
    before = oslo.guids()
    assert bergen.pull()["bytes"] == 0
    assert oslo.guids() == before  # nothing was written: no snapshot is made
    assert "secondsite" in oslo.zfs(f"holds -H {newest(oslo)}")
    assert bergen.ask("verify")["differing"] == 0


def versions(site: Site, act: str, **arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = site.ask("versions", act=act, arguments=arguments)
    return answer


def test_a_source_that_sees_the_disk_read_only_as_its_unit_does_is_the_original_all_the_same(
    oslo: Site, bergen: Site
) -> None:
    plain(oslo, bergen)
    view = f'#!/bin/sh\nmount -o remount,bind,ro {PATH} && exec "$@"\n'
    oslo.sh(f"printf '%s' {shlex.quote(view)} >/root/view; chmod +x /root/view")
    oslo.start("unshare --mount /root/view")
    oslo.fill("a", 1)
    assert bergen.pull()["complete"]


def test_versions_are_listed_compared_and_brought_back_from_the_standby(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    first = oslo.fill("a", 1)
    bergen.pull()
    time.sleep(1.1)
    second = oslo.fill("a", 1)
    oslo.sh(f"touch {PATH}/new")
    bergen.pull()
    kept = versions(bergen, "list")["versions"]
    assert [each["kind"] for each in kept] == ["zfs"] * 2
    differing = versions(bergen, "diff", **{"from": {"id": kept[0]["id"]}, "to": {"id": kept[1]["id"]}})
    assert {each["path"]: each["change"] for each in differing["changes"]} == {"a": "changed", "new": "added"}
    versions(bergen, "restore", path="a", id=kept[0]["id"], to="/root/back")
    found = bergen.sh("find /root/back -type f -exec sha256sum {} +").split()
    assert found[0] == first != second
    assert [bergen.get(key) for key in ("mounted", "readonly")] == ["no", "on"], "the copy is as it was"
    assert "-secondsite-look-" not in bergen.zfs("list -H -o name")


def test_versions_of_an_encrypted_set_need_the_key_and_say_so(oslo: Site, bergen: Site) -> None:
    oslo.sh(f"{KEY}; zfs create {ENCRYPTED} -o mountpoint={PATH} {oslo.root}")
    for site in (oslo, bergen):
        site.start()
    first = oslo.fill("a", 1)
    bergen.pull()
    (kept,) = versions(bergen, "list")["versions"]
    with pytest.raises(Refused) as without:
        versions(bergen, "restore", path="a", id=kept["id"], to="/root/back")
    assert "key" in str(without.value)
    assert "-secondsite-look-" not in bergen.zfs("list -H -o name")
    bergen.sh(f"printf 'a pass phrase' | zfs load-key -L prompt {bergen.root}")
    versions(bergen, "restore", path="a", id=kept["id"], to="/root/back")
    assert bergen.sh("find /root/back -type f -exec sha256sum {} +").split()[0] == first
    bergen.zfs(f"unload-key {bergen.root}")
    oslo.fill("b", 1)
    assert bergen.pull()["bytes"] > 0, "rounds go on without the key"


def test_an_encrypted_set_arrives_raw_at_a_host_without_the_key(oslo: Site, bergen: Site) -> None:
    oslo.sh(f"{KEY}; zfs create {ENCRYPTED} -o mountpoint={PATH} {oslo.root}")
    for site in (oslo, bergen):
        site.start()
    oslo.fill("a", 8)
    bergen.pull()
    second = oslo.fill("b", 4)
    done = bergen.pull()
    assert 4 * MEGABYTE < done["bytes"] < 6 * MEGABYTE
    assert bergen.guids()[-1] == oslo.guids()[-1]
    assert (bergen.get("keystatus"), bergen.get("encryption")) == ("unavailable", oslo.get("encryption"))
    assert bergen.sh("test -e /root/key || echo none") == "none"
    with pytest.raises(Refused) as without:
        bergen.ask("promote")
    assert without.value.slug == "zfs-failed"
    assert "key" in str(without.value)
    bergen.sh(f"printf 'a pass phrase' | zfs load-key -L prompt {bergen.root}")
    bergen.ask("promote")  # as `secondsite failover --resume` does
    assert bergen.sh(f"sha256sum {PATH}/b").split()[0] == second
    bergen.sh(f"echo written >{PATH}/c")


def broken_off(oslo: Site, bergen: Site) -> None:
    """A round whose sender is killed when a good part of 24 MB has arrived."""
    oslo.ask("bandwidth", bytes=MEGABYTE)
    bergen.begin("pull")
    until(lambda: arrived(bergen, 8))
    oslo.sh("kill -KILL $(pgrep -f '^zfs send')")
    failed = bergen.answer(600)
    assert not failed["complete"] and failed["reason"]
    oslo.ask("bandwidth", bytes=None)


def test_a_send_that_was_broken_off_goes_on_by_its_token(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    bergen.pull()
    all_of_it = oslo.fill("big", 24)
    broken_off(oslo, bergen)
    assert bergen.token().startswith("1-")
    done = bergen.pull()
    assert 0 < done["bytes"] < 20 * MEGABYTE
    assert (bergen.token(), bergen.read("big")) == ("-", all_of_it)


def test_a_token_whose_snapshot_is_gone_is_given_up_and_the_round_goes_on(oslo: Site, bergen: Site) -> None:
    """syncoid #510, #1067: a dead token stops every later round."""
    plain(oslo, bergen)
    bergen.pull()
    all_of_it = oslo.fill("big", 24)
    broken_off(oslo, bergen)
    name = newest(oslo)
    oslo.sh(f"zfs release secondsite {name} && zfs destroy {name}")
    done = bergen.pull()
    assert done["bytes"] > 24 * MEGABYTE
    assert (bergen.token(), bergen.read("big")) == ("-", all_of_it)


def test_a_bookmark_is_the_base_when_the_source_has_pruned_its_snapshots(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    oslo.fill("a", 8)
    bergen.pull()
    for name in oslo.zfs(f"list -H -t snapshot -d 1 -o name {oslo.root}").split():
        oslo.sh(f"zfs release secondsite {name}; zfs destroy {name}")
    assert oslo.guids() == []
    second = oslo.fill("b", 1)
    done = bergen.pull()
    assert MEGABYTE < done["bytes"] < 3 * MEGABYTE
    assert bergen.read("b") == second


def test_power_cut_in_the_middle_of_a_receive_leaves_a_good_pool_and_the_round_goes_on(
    oslo: Site, bergen: Site
) -> None:
    plain(oslo, bergen)
    oslo.fill("a", 1)
    bergen.pull()
    before = bergen.guids()
    all_of_it = oslo.fill("big", 32)
    oslo.ask("bandwidth", bytes=MEGABYTE)
    bergen.begin("pull")
    until(lambda: arrived(bergen, 12))
    bergen.power_cut()
    bergen.power_on()
    assert bergen.guids() == before
    assert bergen.token().startswith("1-")
    bergen.start()
    oslo.ask("bandwidth", bytes=None)
    done = bergen.pull()
    assert done["bytes"] < 28 * MEGABYTE
    assert bergen.read("big") == all_of_it
    assert "is healthy" in bergen.sh("zpool scrub -w tank; zpool status -x tank")


def test_what_was_written_at_the_copy_stops_it_until_somebody_agrees_and_is_then_aside(
    oslo: Site, bergen: Site
) -> None:
    """syncoid #558: receiving with -F destroys what only the target has."""
    plain(oslo, bergen)
    oslo.fill("a", 4)
    bergen.pull()
    bergen.sh(f"zfs set readonly=off {bergen.root}; zfs mount {bergen.root}; echo mine >{PATH}/mine; sync")
    second = oslo.fill("b", 1)
    stopped = bergen.ask("pull")
    assert stopped["blocked"] and "was written to here" in stopped["reason"]
    assert bergen.ask("allow") == 1
    before = asides(bergen)
    done = bergen.pull()
    assert done["bytes"] < 3 * MEGABYTE  # what both have is not sent again
    (kept,) = set(asides(bergen)) - set(before)
    assert bergen.sh(f"cat $(zfs get -Hpo value mountpoint {kept})/mine") == "mine"
    assert bergen.read("b") == second


def test_the_copy_takes_over_and_the_old_original_keeps_what_never_arrived(oslo: Site, bergen: Site) -> None:
    plain(oslo, bergen)
    oslo.sh(f"echo one >{PATH}/a; sleep 1.1")
    bergen.pull()
    oslo.sh(f"echo lost >{PATH}/lost; sync")
    bergen.ask("promote")
    assert bergen.sh(f"cat {PATH}/a; echo after >{PATH}/a; sync") == "one"
    oslo.pull()
    (kept,) = asides(oslo)
    body = json.loads(oslo.sh("cat /var/lib/site/root/lost/*.json"))  # exactly one
    assert [one["path"] for one in body["files"]] == ["lost"]
    assert oslo.sh(f"cat {body['files'][0]['kept']}") == "lost"
    assert f"zfs:{kept}" in body["kept_in"]
    oslo.ask("promote")
    bergen.ask("demote")
    assert oslo.sh(f"cat {PATH}/a") == "after"
    bergen.pull()


# What docs/how-to/zfs.md says; nothing more is given to the user.
SOURCE_MAY = "send,hold,release,bookmark,snapshot"
TARGET_MAY = "receive,create,mount,rename,clone,promote,destroy,canmount,mountpoint,readonly,userprop"


def test_an_ordinary_user_sends_and_receives_by_delegation(oslo: Site, bergen: Site) -> None:
    oslo.user = bergen.user = "keeper"
    bergen.zfs(f"destroy {bergen.root}")
    bergen.root = "tank/in/up"
    oslo.zfs(f"create -o mountpoint={PATH} {oslo.root}")
    bergen.zfs("create -o mountpoint=none tank/in")
    bergen.zfs(f"allow -u keeper {TARGET_MAY} tank/in")
    bergen.zfs(f"create -u -o canmount=noauto -o readonly=on -o mountpoint={PATH} {bergen.root}")
    for site in (oslo, bergen):
        site.start()
        assert site.sh("pgrep -u keeper -f more/program.py")
    (seen,) = oslo.ask("pools")
    assert seen["lacking"] == [[oslo.root, sorted(SOURCE_MAY.split(","))]]
    refused = bergen.ask("pull")
    assert not refused["complete"] and "permission denied" in refused["reason"]
    oslo.zfs(f"allow -u keeper {SOURCE_MAY} {oslo.root}")
    assert oslo.ask("pools")[0]["lacking"] == []
    oslo.fill("a", 4)
    bergen.pull()
    second = oslo.fill("b", 1)
    bergen.pull()
    assert bergen.guids()[-1] == oslo.guids()[-1]
    assert bergen.read("b") == second
    name = newest(oslo)
    assert "permission denied" in oslo.sh(f"zfs destroy {name} 2>&1 || :", user="keeper")
