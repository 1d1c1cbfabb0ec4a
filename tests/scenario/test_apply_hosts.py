"""Apply on two real hosts: from nothing, again, interrupted anywhere, and over what somebody else left there."""

from __future__ import annotations

import json
import signal
import subprocess
import time

from tests.scenario.conftest import Lab

STREAMING = "sudo -u postgres psql -Atc \"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'\""


def works(lab: Lab) -> None:
    """What an apply promises, seen from outside secondsite."""
    assert lab.on("oslo", STREAMING).strip() == "1"
    assert (
        lab.on("bergen", "systemctl is-active secondsite-agent secondsite-firewall wg-quick@wg0").split()
        == ["active"] * 3
    )
    assert lab.on("bergen", "systemctl is-active shop || true").strip() != "active"
    assert lab.on("oslo", "systemctl is-active shop").strip() == "active"


def test_from_nothing_and_once_more(fresh: Lab) -> None:
    first = fresh.run("apply", "--yes", "--json").expect(0)
    assert first.document["outcome"] == "applied" and first.document["primary"] == "oslo"
    works(fresh)
    secrets = {site: fresh.on(site, "cat /etc/wireguard/wg0.key; cat /etc/secondsite/peer.token") for site in
               ("oslo", "bergen")}  # fmt: skip
    keys = {site: text.split()[0] for site, text in secrets.items()}
    tokens = {text.split()[1] for text in secrets.values()}
    assert len(set(keys.values())) == 2 and len(tokens) == 1
    for secret in (*keys.values(), *tokens):
        assert secret not in first.out + first.err
    assert fresh.on("oslo", "stat -c %a /etc/wireguard/wg0.key /etc/secondsite/peer.token").split() == ["600", "600"]
    again = fresh.run("apply", "--json").expect(0)
    assert again.document["outcome"] == "unchanged" and again.document["changes"] == []
    assert "nothing to change" in again.err
    fresh.save("applied")


def test_it_holds_after_a_reboot(applied: Lab) -> None:
    applied.lab("power-off", "oslo")
    applied.lab("power-on", "oslo")
    applied.on("oslo", f"until systemctl is-active --quiet {applied.cluster.unit} shop; do sleep 0.3; done", timeout=60)
    again = applied.run("apply", "--json", "--yes").expect(0)
    assert again.document["changes"] == []


def test_the_command_starts_fast(applied: Lab) -> None:
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        assert applied.on("oslo", "for i in 1 2 3 4 5; do secondsite --version; done").split()
        seconds.append((time.monotonic() - began) / 5)
    assert min(seconds) < 0.5


MOMENTS = (
    "changed program secondsite",
    "changed tunnel key wg0",
    "changed firewall table",
    "changed settings",
    "changed unit file secondsite-files.service",
)


def test_killed_again_and_again(fresh: Lab) -> None:
    kills = 0
    for index in range(len(MOMENTS)):
        # A host ends what it is at by itself, so a moment may be behind it when the next run begins: then a later one.
        kills += fresh.interrupted(signal.SIGKILL, MOMENTS[index:], "apply", "--yes") == -signal.SIGKILL
        for site in ("oslo", "bergen"):  # the hosts let go by themselves
            fresh.on(site, "flock -w 10 /run/secondsite/apply.lock true")
    assert kills >= 2
    fresh.run("apply", "--yes", "--json").expect(0)
    works(fresh)


def test_killed_while_apt_works(fresh: Lab) -> None:
    child = fresh.start("apply", "--yes")
    deadline = time.monotonic() + 60
    while "dpkg" not in fresh.on("bergen", "ps -eo comm= | grep -x dpkg || true"):
        assert time.monotonic() < deadline and child.poll() is None
    child.kill()
    child.communicate(timeout=30)
    fresh.run("apply", "--yes", "--json").expect(0)
    works(fresh)


def test_interrupted_from_the_keyboard(fresh: Lab) -> None:
    child = fresh.start("apply", "--yes", "--json")
    assert child.stderr is not None
    try:
        assert any("changed firewall table" in line for line in child.stderr)
        child.send_signal(signal.SIGINT)
        told, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    document = json.loads(told)
    assert "changes were made, and stay" in document["message"] and document["hint"].startswith("secondsite apply ")
    for site in ("oslo", "bergen"):
        fresh.on(
            site, "for i in $(seq 50); do flock -n /run/secondsite/apply.lock true && exit 0; sleep 0.1; done; exit 1"
        )
    fresh.run("apply", "--yes", "--json").expect(0)
    works(fresh)


def test_data_that_is_no_standby_is_not_touched(fresh: Lab) -> None:
    version = fresh.cluster.version
    fresh.on("bergen", f"pg_createcluster {version} main --start; sudo -u postgres createdb precious; "
                       f"pg_ctlcluster {version} main stop")  # fmt: skip
    refusal = fresh.run("apply", "--yes", "--json").expect(3).document
    assert refusal["error"] == "foreign-data-directory" and refusal["host"] == "bergen"
    assert "--replace-standby bergen" in refusal["hint"] and "system identifier" in refusal["message"]
    assert fresh.on("bergen", f"cat {fresh.cluster.data}/PG_VERSION").strip() == version
    fresh.run("apply", "--yes", "--json", "--replace-standby", "bergen").expect(0)
    works(fresh)
    assert "main.aside-" in fresh.on("bergen", f"ls {fresh.cluster.data.parent}")


def test_two_primaries_are_not_guessed_about(fresh: Lab) -> None:
    fresh.on("bergen", f"pg_createcluster {fresh.cluster.version} main --start")
    refusal = fresh.run("apply", "--yes", "--json").expect(3).document
    assert refusal["error"] == "two-primaries"
    assert "oslo: primary, system identifier" in refusal["message"] and "--replace-standby" in refusal["hint"]


def test_a_package_that_cannot_be_installed(fresh: Lab) -> None:
    fresh.on("bergen", "mv /etc/apt/sources.list /root; rm -rf /var/lib/apt/lists/*")
    failure = fresh.run("apply", "--yes", "--json").document
    assert failure["error"] == "package-unavailable" and failure["host"] == "bergen"
    assert "wireguard" in failure["message"]
    fresh.on("bergen", "mv /root/sources.list /etc/apt")
    fresh.run("apply", "--yes", "--json").expect(0)


def test_a_standby_that_has_only_another_major_version(fresh: Lab) -> None:
    version = fresh.cluster.version
    pin = f"Package: postgresql-{version}\\nPin: version *\\nPin-Priority: -1\\n"
    fresh.on("bergen", f"dpkg --purge postgresql postgresql-{version}; printf '{pin}' > /etc/apt/preferences.d/no")
    refusal = fresh.run("apply", "--yes", "--json").expect(3).document
    assert refusal["error"] == "postgresql-version" and refusal["host"] == "bergen"
    assert "same major version" in refusal["message"] and refusal["hint"]
    assert "changes made" not in refusal["message"], "it is found before anything is touched"
    assert fresh.on("oslo", f"systemctl is-active {fresh.cluster.unit}").strip() == "active"


def test_the_firewall_and_quarantine(applied: Lab) -> None:
    world = ["ip", "netns", "exec", applied.info["world"]["netns"]]
    for port in (5432, 7433, 7434, 7435):
        reach = f"exec 3<>/dev/tcp/192.0.2.11/{port}"
        assert subprocess.run([*world, "timeout", "1", "bash", "-c", reach], check=False).returncode != 0
    become(applied, {5432: True, 7433: True, 7434: True, 7435: True})
    quarantine(applied, "add")
    assert tunnel_ports(applied) == {5432: False, 7433: True, 7434: False, 7435: False}
    applied.lab("power-off", "oslo")
    applied.lab("power-on", "oslo")
    applied.on(
        "oslo", "for i in $(seq 100); do systemctl is-active -q secondsite-agent && exit 0; sleep 0.2; done; exit 1"
    )
    assert tunnel_ports(applied) == {5432: False, 7433: True, 7434: False, 7435: False}
    quarantine(applied, "remove")
    become(applied, {5432: True, 7433: True, 7434: True, 7435: True})
    assert applied.on("oslo", "ls /var/lib/secondsite/quarantine 2>&1 || true").startswith("ls:")


def quarantine(lab: Lab, act: str) -> None:
    """What a failover does to its old peer, done by hand at oslo."""
    code = (
        "import asyncio, glob, sys;"
        "sys.path[:0] = ['/opt/secondsite/current', *glob.glob('/opt/secondsite/libraries/*')];"
        "from ipaddress import IPv4Address; from secondsite.tunnel import quarantine as q;"
        f"asyncio.run(q.{act}(IPv4Address('10.10.0.2'))); print(asyncio.run(q.is_active(IPv4Address('10.10.0.2'))))"
    )
    assert lab.on("oslo", f'python3 -c "{code}"').strip() == str(act == "add")


def tunnel_ports(lab: Lab) -> dict[int, bool]:
    """Which of oslo's ports bergen reaches inside the tunnel."""
    probe = 'timeout 1 bash -c "exec 3<>/dev/tcp/10.10.0.1/$p" 2>/dev/null && echo $p'
    script = f"for p in 5432 7433 7434 7435; do {probe}; done; true"
    reached = lab.on("bergen", script).split()
    return {port: str(port) in reached for port in (5432, 7433, 7434, 7435)}


def become(lab: Lab, wanted: dict[int, bool], seconds: float = 60) -> None:
    """Booting takes a moment; then the ports are as wanted."""
    deadline = time.monotonic() + seconds
    while (now := tunnel_ports(lab)) != wanted:
        assert time.monotonic() < deadline, now
        time.sleep(0.5)
