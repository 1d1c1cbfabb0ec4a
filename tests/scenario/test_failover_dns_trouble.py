"""The name server says no, nothing, or that somebody was here: the shop runs, and one command goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, accepts_writes, recovered_at_bergen, where_dns_points

KEY = "/etc/secondsite/dns.key"
KNOT = "/etc/knot/knot.conf"
UPDATE = (
    "printf 'server 203.0.113.53\\nzone example.test.\\nupdate del shop.example.test. A\\n"
    "update add shop.example.test. 5 A 203.0.113.99\\nsend\\n'"
    f' | knsupdate -y "hmac-sha256:secondsite:$(cat {KEY})"'
)


def silent(lab: AppliedLab) -> Callable[[], object]:
    lab.lab("link", "cut", "bergen", "world")
    return lambda: lab.lab("link", "heal", "bergen", "world")


def wrong_key(lab: AppliedLab) -> Callable[[], object]:
    lab.on("bergen", f"cp {KEY} {KEY}.good; head -c 32 /dev/urandom | base64 > {KEY}")
    return lambda: lab.on("bergen", f"mv {KEY}.good {KEY}")


def refusing(lab: AppliedLab) -> Callable[[], object]:
    lab.lab("exec", "world", "--", "sh", "-c", f"cp -p {KNOT} {KNOT}.good; sed -i '/^ *acl: /d' {KNOT}; knotc reload")
    return lambda: lab.lab("exec", "world", "--", "sh", "-c", f"mv {KNOT}.good {KNOT}; knotc reload")


@pytest.mark.parametrize(
    ("trouble", "slugs"),
    [(silent, {"dns-silent"}), (wrong_key, {"dns-refused"}), (refusing, {"dns-refused"})],
    ids=["the server is silent", "the key is wrong", "the server refuses"],
)
def test_where_the_dns_cannot_be_changed_the_shop_runs_and_resume_finishes(
    ground: Ground, trouble: Callable[[AppliedLab], Callable[[], object]], slugs: set[str]
) -> None:
    lab = ground.fresh()
    lab.lab("power-off", "oslo")
    mend = trouble(lab)
    # with the link to the world cut the operator cannot come by SSH either: from inside the host
    argv = ("exec", "bergen", "--", "sh", "-c", f"{FAILOVER} {ACCEPT} > /root/failover.json; echo $? > /root/code")
    lab.lab(*argv)
    mend()
    assert lab.on("bergen", "cat /root/code").strip() == "4"
    document = lab.json("bergen", "cat /root/failover.json")
    assert document["outcome"] == "blocked"
    assert {error["error"] for error in document["errors"]} <= slugs
    assert accepts_writes(lab, "bergen")
    assert lab.on("bergen", "systemctl is-active shop.service").strip() == "active"
    resumed = lab.json("bergen", "secondsite failover --resume --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    assert resumed["id"] == document["id"]
    recovered_at_bergen(lab)


def test_a_record_that_somebody_else_has_changed_is_only_overwritten_when_asked(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("power-off", "oslo")
    lab.on("bergen", UPDATE)
    document = lab.json("bergen", f"{FAILOVER} {ACCEPT}")
    assert document["outcome"] == "blocked"
    assert {error["error"] for error in document["errors"]} == {"dns-changed-by-others"}
    assert where_dns_points(lab) == "203.0.113.99"
    resumed = lab.json("bergen", "secondsite failover --resume --overwrite-dns --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    recovered_at_bergen(lab)
