"""Labs do not disturb one another, and nothing of one stays: not after `down`, nor after its `up` was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from secondsite_lab.testing import lab_command, left_behind, running_lab

pytestmark = pytest.mark.lab


def test_two_labs_come_up_side_by_side_and_go_one_by_one() -> None:
    names = [f"left-{os.getpid()}", f"right-{os.getpid()}"]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        entered = pool.map(lambda name: stack.enter_context(running_lab(name)), names)
        left, right = list(entered)
        assert lab_command("up", "--name", left.name).code == 3
        left.inside("oslo", "touch", "/root/mine")
        assert right.command("exec", "oslo", "--", "test", "-e", "/root/mine").code == 1
        left.must("power-off", "oslo")
        told = {one["name"]: one for one in json.loads(lab_command("list", "--json").out)["labs"]}
        assert told[left.name]["powered"] == {"oslo": False, "bergen": True, "world": True}
        assert told[right.name]["powered"]["oslo"] and told[right.name]["suite"] == "bookworm"
        assert right.ssh("192.0.2.11", "hostname").out.strip() == "oslo"
        left.must("down")
        assert left_behind(left.name) == []
        assert right.ssh("192.0.2.11", "hostname").out.strip() == "oslo"
        assert left.command("info").code == 3
        assert left.name not in lab_command("list").out and right.name in lab_command("list").out
    for name in names:
        assert left_behind(name) == []
        assert lab_command("down", "--name", name).code == 0


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.0, 1.6, 2.2])
def test_down_removes_what_a_killed_up_left(seconds: float) -> None:
    name = f"killed-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-m", "secondsite_lab", "up", "--name", name], stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        process.kill()
    down = lab_command("down", "--name", name)
    assert (down.code, down.err) == (0, "")
    assert left_behind(name) == []


def test_an_up_that_is_told_to_end_cleans_up_by_itself() -> None:
    name = f"ended-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-m", "secondsite_lab", "up", "--name", name], stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(1.2)
        process.terminate()
    assert process.returncode != 0
    assert left_behind(name) == []


def test_names_that_would_not_do_are_usage_errors() -> None:
    for words in (("up", "--name", "../x"), ("up", "--suite", "woody"), ("info", "--nonsense"), ("exec", "oslo")):
        done = lab_command(*words)
        assert done.code == 2, done
        assert "Traceback" not in done.err
