"""A host that comes back and reaches nobody: it waits for a person, and a person's word opens it."""

from __future__ import annotations

import json
import shlex
import subprocess
import time

from secondsite_lab.applied import BIN, AppliedLab
from tests.scenario.ground import Ground, until_buys

# What somebody on a compromised primary would send to its standby.
POST = """
import sys, urllib.error, urllib.request
token = open("/etc/secondsite/peer.token").read().strip()
url = "http://10.10.0.2:7433/v1/" + sys.argv[1]
asked = urllib.request.Request(url, b'{"generation": 99}', {"Authorization": "Bearer " + token})
try:
    print(urllib.request.urlopen(asked).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""


def inside(lab: AppliedLab, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in oslo without the network."""
    argv = [str(BIN / "secondsite-lab"), "exec", "oslo", "--name", lab.name, "--", "bash", "-c", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def recovery(lab: AppliedLab) -> str:
    return inside(lab, "runuser -u postgres -- psql -XAtc 'SELECT pg_is_in_recovery()'").stdout.strip()


def until_recovery_is(lab: AppliedLab, wanted: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (found := recovery(lab)) != wanted:
        assert time.monotonic() < deadline, f"pg_is_in_recovery() is {found!r}"
        time.sleep(0.5)


def test_a_primary_that_reaches_nobody_after_a_power_failure_waits_and_opens_on_a_persons_word(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("link", "cut", "oslo")
    lab.lab("power-off", "oslo")
    lab.lab("power-on", "oslo")
    until_recovery_is(lab, "t")
    told = inside(lab, "secondsite guard --json")
    assert json.loads(told.stdout)["ruling"] == "wait"
    opened = inside(lab, "secondsite guard --allow --yes")
    assert opened.returncode == 0, opened.stderr
    until_recovery_is(lab, "f")
    assert inside(lab, "systemctl is-active shop.service").stdout.strip() == "active"
    lab.lab("link", "heal", "oslo")
    until_buys(lab)


def test_a_primary_that_waits_opens_by_itself_when_somebody_answers_again(ground: Ground) -> None:
    lab = ground.fresh()
    lab.lab("link", "cut", "oslo")
    lab.lab("power-off", "oslo")
    lab.lab("power-on", "oslo")
    until_recovery_is(lab, "t")
    lab.lab("link", "heal", "oslo")
    until_recovery_is(lab, "f")
    until_buys(lab, seconds=30)


def test_however_it_went_down_a_dns_that_names_it_does_not_open_a_primary_beside_a_silent_peer(ground: Ground) -> None:
    """As a failover that could not move the DNS leaves things: the peer may accept writes, out of sight. The database
    is shut down in good order first, as a UPS has it done: that says nothing about what was decided afterwards."""
    lab = ground.fresh()
    lab.lab("link", "cut", "oslo", "bergen")
    assert inside(lab, "systemctl stop 'postgresql@*'").returncode == 0
    lab.lab("power-off", "oslo")
    lab.lab("power-on", "oslo")
    until_recovery_is(lab, "t")
    told = json.loads(inside(lab, "secondsite guard --json").stdout)
    assert told["ruling"] == "wait" and "without reaching the DNS" in told["reason"]
    lab.lab("link", "heal", "oslo", "bergen")
    until_recovery_is(lab, "f")
    until_buys(lab, seconds=30)

    call = f"python3 -c {shlex.quote(POST)} "
    assert inside(lab, call + "fence").stdout.strip() == "409", "a primary cannot stop its standby"
    assert inside(lab, call + "unfence").stdout.strip() == "200"
    assert lab.on("bergen", "runuser -u postgres -- psql -XAtc 'SELECT pg_is_in_recovery()'").strip() == "t"
    assert lab.said("bergen", "systemctl is-active shop.service").stdout.strip() != "active"
