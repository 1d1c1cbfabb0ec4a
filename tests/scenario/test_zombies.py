"""The old primary comes back in the middle of a failover: what it accepts then is kept, or told.

The failover is killed at a step, the dead host gets its power back and whatever writes there writes on, and only then
the failover is taken up. In the end the old primary is taken back, and every row that is missing is among those that
``report --lost-rows`` knows. Generated from the list of steps: a sample runs with every test, all of it with
``make crash-matrix``.
"""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from secondsite.recovery.acts.poolers import SendClientsHere
from secondsite.recovery.failover.plan import STEPS
from secondsite_lab.applied import AppliedLab
from tests.scenario.ground import ACCEPT, FAILOVER, Ground, accepts_writes, recovered_at_bergen
from tests.scenario.matrix import some
from tests.scenario.test_failover_disaster import wait_for_role
from tests.scenario.test_switchover import until_ready

# On the host itself, past every door to it: a row each 50 ms, and a receipt on the disk for each that was acknowledged.
WRITER = """
import os, time
import psycopg2
receipts = os.open("/var/lib/postgresql/receipts", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
while True:
    try:
        connection = psycopg2.connect("dbname=shop")
        connection.autocommit = True
        cursor = connection.cursor()
        while True:
            cursor.execute("INSERT INTO undead DEFAULT VALUES RETURNING id")
            os.write(receipts, f"{cursor.fetchone()[0]} {time.time()}\\n".encode())
            os.fsync(receipts)
            time.sleep(0.05)
    except psycopg2.Error:
        time.sleep(0.05)
"""
UNIT = """
[Unit]
Description=somebody who writes on
After=postgresql.service
[Service]
User=postgres
ExecStart=/usr/bin/python3 /var/lib/postgresql/writer.py
Restart=always
[Install]
WantedBy=multi-user.target
"""
SECONDS_UNDEAD = 4.0
ACTING = [step.name for step in STEPS if step is not SendClientsHere]  # there is no PgBouncer here
WRONG = {"clock behind": "-3600", "clock ahead": "+3600"}  # how it comes up, in seconds
WORLDS = ("tunnel up", "tunnel down", "tunnel up, clock ahead", "tunnel down, clock behind")
CASES = [f"{name}:applied {world}" for name in ACTING for world in WORLDS]
SAMPLE = ["promote:applied tunnel down, clock behind"]


@pytest.mark.parametrize("case", some(CASES, 1, always=SAMPLE))
def test_what_an_old_primary_accepts_that_returns_in_the_middle_of_a_failover_is_kept_or_told(
    ground: Ground, case: str
) -> None:
    place, _, world = case.partition(" ")
    lab = ground.fresh()
    wrong = WRONG.get(world.partition(", ")[2])
    if wrong is not None:
        lab.lab("fault", "clock", "oslo", "0")  # the services start anew under a clock that can be set
        until_ready(lab, "oslo")
    write_on(lab)
    if wrong is not None:
        lab.on("oslo", f"echo {wrong} > /etc/lab-clock; sync")
    lab.lab("power-off", "oslo")
    if world.startswith("tunnel down"):
        lab.lab("link", "cut", "oslo", "bergen")
    lab.on("bergen", "systemctl stop secondsite-agent.service")
    killed = lab.said("bergen", f"SECONDSITE_DIE_AT={place} {FAILOVER} {ACCEPT}; exit $?")
    assert killed.returncode == 137, killed.stdout + killed.stderr
    lab.on("bergen", "systemctl start secondsite-agent.service")
    died_at = time.time()

    lab.lab("power-on", "oslo")
    wait_for_role(lab, "oslo", ("primary", "standby", "stopped"))
    time.sleep(SECONDS_UNDEAD)
    resumed = lab.json("bergen", f"secondsite failover --resume {ACCEPT} --json")
    assert resumed["outcome"] == "completed", resumed["errors"]
    recovered_at_bergen(lab)

    lab.lab("link", "heal", "oslo", "bergen")
    wait_for_role(lab, "oslo", ("standby", "stopped"))
    assert not accepts_writes(lab, "oslo")
    accepted = receipts(lab)
    missing = {number: at for number, at in accepted.items() if number not in rows(lab)}
    undead = [at for at in missing.values() if at > died_at]
    told = resumed["rpo"]["estimated_seconds"]
    assert told is None or not undead or told >= max(undead) - min(undead), (told, len(undead), len(accepted))
    lab.lab("fault", "heal", "oslo")
    unknown = set(missing) - taken_back(lab)
    assert not unknown, f"{len(unknown)} of {len(missing)} missing rows are nowhere"


def test_an_old_primary_that_gets_its_power_back_while_the_power_command_hangs_waits_and_opens_once_that_was_given_up(
    ground: Ground,
) -> None:
    lab = ground.fresh()
    write_on(lab)
    service = lab.on("bergen", "cat /etc/secondsite/secondsite.toml")
    power = next(line for line in service.splitlines() if line.startswith("power = "))  # oslo's, the first site
    hangs = service.replace(power, 'power = { off = ["sleep", "35"], on = ["true"] }', 1)
    assert lab.said("bergen", "cat > /etc/secondsite/secondsite.toml", stdin=hangs).returncode == 0
    lab.on("bergen", "systemctl restart secondsite-agent.service; grep -q 'sleep.*35' /etc/secondsite/secondsite.toml")
    until_ready(lab, "oslo")
    lab.lab("power-off", "oslo")
    died_at = time.time()
    failover = subprocess.Popen(lab.ssh("bergen", FAILOVER), stdout=subprocess.PIPE, text=True)
    try:
        lab.on("bergen", "until test -e /run/secondsite/taking-over; do sleep 0.05; done", timeout=30)
        lab.lab("power-on", "oslo")
        wait_for_role(lab, "oslo", ("standby", "stopped"))
        time.sleep(2)
        assert failover.poll() is None, "it hangs still, or this shows nothing"
        assert not accepts_writes(lab, "oslo")
        assert max(receipts(lab).values()) < died_at, "nobody is let in while bergen may still take over"
        told, _ = failover.communicate(timeout=120)
    finally:
        failover.kill()
    document = json.loads(told)
    assert document["outcome"] == "rolled_back", document
    until_ready(lab, "oslo")
    assert accepts_writes(lab, "oslo") and not accepts_writes(lab, "bergen")
    time.sleep(2)
    accepted = receipts(lab)
    assert max(accepted.values()) > died_at and not set(accepted) - rows(lab), "it goes on, and nothing is lost"


def write_on(lab: AppliedLab) -> None:
    """Somebody writes at oslo, now and whenever it has started again."""
    folder = "/var/lib/postgresql"
    lab.on(
        "oslo",
        "runuser -u postgres -- psql -XqAtd shop -c 'CREATE TABLE undead (id bigserial)'",
    )
    for path, text in ((f"{folder}/writer.py", WRITER), ("/etc/systemd/system/writer.service", UNIT)):
        done = lab.said("oslo", f"cat > {path}", stdin=text)
        assert done.returncode == 0, done.stderr
    lab.on("oslo", "systemctl daemon-reload; systemctl enable -q --now writer.service")
    time.sleep(1.5)


def receipts(lab: AppliedLab) -> dict[int, float]:
    """What was acknowledged at oslo: number of the row, and when."""
    lines = lab.on("oslo", "cat /var/lib/postgresql/receipts").splitlines()
    assert len(lines) > 10, "nobody wrote at all"
    return {int(number): float(at) for number, at in (line.split() for line in lines)}


def taken_back(lab: AppliedLab) -> set[int]:
    """Make oslo the standby; the numbers of the rows that were written down first."""
    words = ("apply", "--yes", "--replace-standby", "oslo", "--json")
    done = subprocess.run(lab.operator(*words), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = lab.json("oslo", "secondsite report --lost-rows --json")["lost"]
    return {row["row"]["id"] for one in found for row in one["lost_rows"] if row["table"] == "undead"}


def rows(lab: AppliedLab) -> set[int]:
    """What bergen has of it."""
    found = lab.on(
        "bergen", "runuser -u postgres -- psql -XqAtd shop -c 'SELECT coalesce(json_agg(id), $$[]$$) FROM undead'"
    )
    return set(json.loads(found))
