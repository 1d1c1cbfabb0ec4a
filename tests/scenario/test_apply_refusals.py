"""Days on which apply cannot work: each is told once, with the host, the cause and what to do; nothing is changed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.conftest import Lab, Ran

Edit = Callable[[str], str]


def edited(lab: Lab, folder: Path, edit: Edit, *, connect_timeout: str = "3s") -> Path:
    """The lab's file with something changed."""
    text = edit(lab.config.read_text())
    path = folder / "secondsite.toml"
    path.write_text(text.replace("[ssh]\n", f'[ssh]\nconnect_timeout = "{connect_timeout}"\n'))
    return path


def with_ssh(lab: Lab, folder: Path, **options: str) -> Path:
    """The lab's file with another SSH configuration."""
    text = Path(lab.info["ssh_config"]).read_text()
    for name, value in options.items():
        rows = [f"  {name} {value}" if row.strip().startswith(f"{name} ") else row for row in text.splitlines()]
        text = "\n".join(rows) + "\n"
    (folder / "ssh_config").write_text(text)
    return edited(lab, folder, lambda file: file.replace(lab.info["ssh_config"], str(folder / "ssh_config")))


def refused(ran: Ran, slug: str, *, sites: set[str], code: int = 3) -> dict[str, Any]:
    """The document of a refusal; every site in trouble is named, with a hint, and no traceback."""
    document = ran.expect(code).document
    found = [document, *document.get("also", [])]
    assert {error["error"] for error in found} == {slug}, found
    assert {error["host"] for error in found} == sites, found
    assert all(error["hint"] and error["message"] for error in found), found
    return document


def new_key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text().strip()


def test_a_plan_leaves_nothing_but_the_program_in_our_cache_which_the_next_one_finds(untouched: Lab) -> None:
    for site in ("oslo", "bergen"):
        untouched.on(site, "rm -rf /var/cache/secondsite /opt/secondsite")  # what the test before may have brought
    traces = "find /opt /etc /usr/local /var/lib/secondsite /var/tmp /run/secondsite -xdev 2>/dev/null | sort | md5sum"
    before = {site: untouched.on(site, traces) for site in ("oslo", "bergen")}
    ran = untouched.run("plan", "--json").expect(0)
    document = ran.document
    assert {site: untouched.on(site, traces) for site in ("oslo", "bergen")} == before
    counted = document["total"]
    assert sum(counted["sites"].values()) == counted["changes"] == len(document["changes"])
    assert {"site": "oslo", "what": "PostgreSQL"} in counted["restarts"]
    assert ran.err.rstrip().endswith("next: secondsite apply")
    told = [line for line in ran.err.splitlines() if "upload secondsite" not in line]
    assert len(told) < 40 and "oslo (primary): " in ran.err, "a person reads it in one look"
    assert not [line for line in told if line.startswith("  other ")], "each kind of change has a name"
    assert any("restarts" in change["disrupts"] for change in document["disrupts"])
    assert "(the peer's public key, which apply learns)" in str(document["changes"])
    assert untouched.on("oslo", "ls /var/cache/secondsite").split() == ["libraries", "releases"]
    again = untouched.run("plan").expect(0)
    assert "/var/cache/secondsite" in ran.err and "upload secondsite" in ran.err
    assert "/var/cache/secondsite" not in again.err and "upload secondsite" not in again.err


@pytest.mark.parametrize("command", [("status",), ("gameday", "--yes")])
def test_before_the_first_apply_a_command_says_that_nothing_is_there(untouched: Lab, command: tuple[str, ...]) -> None:
    document = untouched.run(*command, "--json").expect(3).document
    assert document["error"] == "not-applied" and "secondsite apply" in document["hint"]


def test_questions_need_an_answer(untouched: Lab) -> None:
    """Also leaves the program on the hosts, unused, which makes the tests below quicker."""
    document = untouched.run("apply", "--json").expect(2).document
    assert document["error"] == "no-answer" and "--yes" in document["hint"]
    assert untouched.on("oslo", "ls /etc/wireguard 2>/dev/null || true") == ""


def test_a_key_that_no_host_accepts(untouched: Lab, tmp_path: Path) -> None:
    new_key(tmp_path / "id")
    ran = untouched.run("plan", "--json", config=with_ssh(untouched, tmp_path, IdentityFile=str(tmp_path / "id")))
    refused(ran, "ssh-auth-failed", sites={"oslo", "bergen"})


def test_a_host_with_another_host_key(untouched: Lab, tmp_path: Path) -> None:
    public = " ".join(new_key(tmp_path / "host").split()[:2])
    known = Path(untouched.info["ssh_key"]).with_name("known_hosts").read_text().splitlines()
    rows = [row for row in known if "192.0.2.11" not in row] + [f"192.0.2.11 {public}"]
    (tmp_path / "known").write_text("\n".join(rows) + "\n")
    ran = untouched.run(
        "plan", "--json", config=with_ssh(untouched, tmp_path, UserKnownHostsFile=str(tmp_path / "known"))
    )
    assert "ssh-keygen -R" in refused(ran, "host-key-changed", sites={"oslo"})["hint"]


@pytest.mark.parametrize("known", ["/dev/null", "none"])
def test_a_host_key_that_nobody_knows_is_never_accepted(untouched: Lab, tmp_path: Path, known: str) -> None:
    config = with_ssh(untouched, tmp_path, UserKnownHostsFile=known, StrictHostKeyChecking="no")
    refused(untouched.run("plan", "--json", config=config), "host-key-unknown", sites={"oslo", "bergen"})


def test_a_host_that_does_not_answer(untouched: Lab, tmp_path: Path) -> None:
    config = edited(untouched, tmp_path, lambda text: text.replace('"root@198.51.100.12"', '"root@198.51.100.99"'))
    ran = untouched.run("plan", "--json", config=config)
    refused(ran, "ssh-unreachable", sites={"bergen"})
    assert ran.seconds < 20


def test_a_cluster_that_is_nowhere(untouched: Lab, tmp_path: Path) -> None:
    config = edited(
        untouched, tmp_path, lambda text: text.replace(f'"{untouched.cluster}"', f'"{untouched.cluster.version}/other"')
    )
    document = untouched.run("plan", "--json", config=config).expect(3).document
    assert document["error"] == "no-cluster"
    assert f"{untouched.cluster} (online)" in document["message"] and "pg_createcluster" in document["hint"]


def test_a_host_without_systemd(untouched: Lab) -> None:
    with while_(untouched, "bergen", "mv /run/systemd/system /run/systemd/hidden"):
        ran = untouched.run("plan", "--json")
        untouched.on("bergen", "mv /run/systemd/hidden /run/systemd/system")
    refused(ran, "no-systemd", sites={"bergen"})


def test_a_login_that_may_not_become_root(untouched: Lab, tmp_path: Path) -> None:
    make = (
        "useradd -m ops; install -d -o ops -m 700 ~ops/.ssh; install -o ops -m 600 /root/.ssh/authorized_keys ~ops/.ssh"
    )
    config = edited(untouched, tmp_path, lambda text: text.replace('"root@192.0.2.11"', '"ops@192.0.2.11"'))
    with while_(untouched, "oslo", make, "userdel -r ops; rm -f /etc/sudoers.d/ops"):
        refused(untouched.run("plan", "--json", config=config), "sudo-needs-password", sites={"oslo"})
        untouched.on("oslo", "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops")
        document = untouched.run("plan", "--json", config=config).expect(0).document
    assert document["primary"] == "oslo"


@pytest.mark.parametrize(
    ("port", "key"),
    [
        (7433, "tunnel.api_port"),
        (7434, "tunnel.files_port"),
        (7435, "tunnel.watch_port"),
        (51820, "tunnel.port"),
        (5432, "database.port"),
    ],
)
def test_a_port_that_somebody_else_has(untouched: Lab, port: int, key: str) -> None:
    kind = "SOCK_DGRAM" if port == 51820 else "SOCK_STREAM"
    listen = f"import socket,time; s=socket.socket(type=socket.{kind}); s.bind(('', {port}))"
    listen += "; time.sleep(600)" if port == 51820 else "; s.listen(); time.sleep(600)"
    start = f'systemd-run -q --unit=squatter python3 -c "{listen}"; sleep 0.5'
    with while_(untouched, "bergen", start, "systemctl stop squatter"):
        document = refused(untouched.run("plan", "--json"), "port-taken", sites={"bergen"})
    assert "squatter.service" in document["message"] and key in document["hint"]


def test_a_tunnel_of_somebody_else(untouched: Lab) -> None:
    make = "mkdir -p /etc/wireguard; echo '[Interface]' > /etc/wireguard/wg0.conf"
    with while_(untouched, "oslo", make, "rm -r /etc/wireguard"):
        refused(untouched.run("plan", "--json"), "interface-taken", sites={"oslo"})


def test_a_network_that_is_in_use(untouched: Lab) -> None:
    make = "ip addr add 10.10.0.77/16 dev lo"
    with while_(untouched, "bergen", make, "ip addr del 10.10.0.77/16 dev lo"):
        refused(untouched.run("plan", "--json"), "network-taken", sites={"bergen"})


def test_a_disk_too_small_for_the_copy(untouched: Lab) -> None:
    make = "mount -t tmpfs -o size=64M,mode=755 tmpfs /var/lib/postgresql; chown postgres: /var/lib/postgresql"
    with while_(untouched, "bergen", make, "umount /var/lib/postgresql"):
        document = untouched.run("plan", "--json").expect(3).document
    assert document["error"] == "disk-too-small" and "GB" in document["message"]


def test_an_apply_that_is_running_elsewhere(untouched: Lab) -> None:
    hold = (
        'mkdir -p /run/secondsite; echo \'{"who": "kari from 203.0.113.9", "since": "2026-01-02T03:04:05Z",'
        ' "pid": 7}\' > /run/secondsite/apply.lock;'
        " systemd-run -q --unit=holder flock -n /run/secondsite/apply.lock sleep 600; sleep 0.5"
    )
    with while_(untouched, "bergen", hold, "systemctl stop holder"):
        document = refused(untouched.run("apply", "--yes", "--json"), "apply-running", sites={"bergen"})
        assert "kari from 203.0.113.9" in document["message"] and "2026-01-02T03:04:05Z" in document["message"]
        untouched.run("plan", "--json").expect(0)


@contextmanager
def while_(lab: Lab, host: str, make: str, undo: str = "true") -> Iterator[None]:
    """Something is wrong at a host for the length of the block."""
    lab.on(host, make)
    try:
        yield
    finally:
        lab.on(host, undo)
