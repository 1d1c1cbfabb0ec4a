"""The lab's network: silent cuts, in both directions or one; lines that are slow, far or lossy; a name server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondsite_lab.testing import RunningLab, running_lab

pytestmark = pytest.mark.lab
NAME = "shop.example.test."
OSLO, BERGEN, WORLD = "192.0.2.11", "198.51.100.12", "203.0.113.53"


@pytest.fixture(scope="module")
def shared() -> Iterator[RunningLab]:
    with running_lab(f"net-{os.getpid()}") as running:
        yield running


@pytest.fixture
def lab(shared: RunningLab) -> Iterator[RunningLab]:
    yield shared
    shared.must("link", "heal")


def answers(lab: RunningLab, source: str, target: str) -> int:
    """How many of twenty pings come back."""
    out = lab.command("exec", source, "--", "ping", "-q", "-c", "20", "-i", "0.01", "-W", "0.3", target).out
    received = re.search(r"(\d+) received", out)
    assert received is not None, out
    return int(received[1])


def test_nothing_of_a_lab_is_in_the_machines_own_network(lab: RunningLab) -> None:
    for table in ("/proc/net/route", "/proc/net/fib_trie"):
        assert OSLO not in Path(table).read_text()
    assert not set(os.listdir("/sys/class/net")) & {"oslo", "bergen", "world"}  # noqa: PTH208


def test_a_cut_link_is_silent_and_leaves_the_others_alone(lab: RunningLab) -> None:
    lab.must("link", "cut", "oslo", "bergen")
    look = f"import socket; socket.create_connection(('{OSLO}', 22), timeout=1)"
    refused = lab.command("exec", "bergen", "--", "python3", "-c", look)
    # Neither a reset nor an "unreachable": only silence.
    assert "TimeoutError" in refused.err
    assert answers(lab, "bergen", WORLD) == 20
    assert answers(lab, "world", OSLO) == 20
    lab.must("link", "heal", "oslo", "bergen")
    assert answers(lab, "bergen", OSLO) == 20


def test_a_one_way_cut_lets_the_other_direction_pass(lab: RunningLab) -> None:
    lab.must("link", "cut", "oslo", "bergen", "--one-way")
    lab.inside("oslo", "sh", "-c", "grep -i icmpmsg /proc/net/snmp >/tmp/before")
    assert answers(lab, "bergen", OSLO) == 0
    counters = lab.inside("oslo", "sh", "-c", "cat /tmp/before; grep -i icmpmsg /proc/net/snmp").splitlines()
    # The requests did arrive at oslo; its replies did not get out.
    column = counters[-2].split().index("InType8")
    before = counters[0].split()
    known = int(counters[1].split()[before.index("InType8")]) if "InType8" in before else 0
    assert int(counters[-1].split()[column]) - known == 20


def test_cutting_a_host_cuts_all_its_links(lab: RunningLab) -> None:
    lab.must("link", "cut", "bergen")
    assert answers(lab, "oslo", BERGEN) == 0
    assert answers(lab, "world", BERGEN) == 0
    assert answers(lab, "world", OSLO) == 20


def test_a_shaped_link_is_far_and_lossy_and_stays_so_after_a_power_cycle(lab: RunningLab) -> None:
    lab.must("link", "shape", "oslo", "bergen", "--delay", "20ms")
    ping = ("exec", "oslo", "--", "ping", "-q", "-c", "5", "-i", "0.05", BERGEN)
    assert 40 <= _fastest(lab.must(*ping)) < 60
    assert _fastest(lab.must("exec", "oslo", "--", "ping", "-q", "-c", "2", "-i", "0.05", WORLD)) < 20
    lab.must("power-off", "bergen")
    lab.must("power-on", "bergen")
    assert 40 <= _fastest(lab.must(*ping)) < 60
    lab.must("link", "shape", "oslo", "bergen", "--loss", "50%", "--one-way")
    assert 0 < answers(lab, "oslo", BERGEN) < 20
    lab.must("link", "heal", "oslo")
    assert _fastest(lab.must(*ping)) < 20
    assert answers(lab, "oslo", BERGEN) == 20


def _fastest(output: str) -> float:
    found = re.search(r"= ([\d.]+)/", output)
    assert found is not None, output
    return float(found[1])


def test_a_rate_limits_what_passes(lab: RunningLab) -> None:
    lab.must("link", "shape", "oslo", "world", "--rate", "8mbit")
    lab.inside("oslo", "sh", "-c", "head -c 2000000 /dev/zero >/srv/shop/uploads/big")
    started = time.monotonic()
    done = lab.from_world("curl", "-sf", "-o", "/dev/null", "http://shop.example.test:8000/uploads/big")
    assert done.code == 0, done.err
    assert 1.5 < time.monotonic() - started < 6


def test_words_that_make_no_sense_are_usage_errors(lab: RunningLab) -> None:
    for words in (("cut", "paris"), ("cut", "oslo", "oslo"), ("shape", "oslo"), ("shape", "--rate", "fast")):
        done = lab.command("link", *words)
        assert done.code == 2, done
        assert "Traceback" not in done.err


def test_the_name_server_takes_signed_updates_only(lab: RunningLab) -> None:
    assert lab.from_world("getent", "hosts", "shop.example.test").out.split()[0] == OSLO
    secret = (Path(lab.info["config"]).parent / "dns.key").read_text().strip()
    assert lab.inside("bergen", "cat", "/etc/secondsite/dns.key").strip() == secret
    assert lab.inside("bergen", "stat", "-c", "%a %U", "/etc/secondsite/dns.key").split() == ["600", "root"]
    script = f"server {WORLD}\nzone example.test\nupdate delete {NAME} A\nupdate add {NAME} 5 A {BERGEN}\nsend\n"
    key = f"hmac-sha256:secondsite:{secret}"
    update = ("sh", "-c", 'printf "%s" "$1" | knsupdate ${2:+-y "$2"}', "sh", script)
    assert lab.command("exec", "world", "--", *update).code != 0
    assert lab.from_world("getent", "hosts", "shop.example.test").out.split()[0] == OSLO
    lab.must("exec", "world", "--", *update, key)
    assert lab.from_world("getent", "hosts", "shop.example.test").out.split()[0] == BERGEN
    lab.must("power-off", "world")
    lab.must("power-on", "world")
    assert lab.from_world("getent", "hosts", "shop.example.test").out.split()[0] == BERGEN
