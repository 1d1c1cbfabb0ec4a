"""What is said of a fence command is proven by starting just that program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from secondsite.errors import FinalError
from secondsite.process import run
from secondsite.recovery import fence_commands
from secondsite.spec import Spec
from tests.unit.objectives_worlds import FILE

NO_INTERPRETER = 127  # of env(1)
OFF = "#!/bin/sh\nexit 0\n"


def described(**oslo: object) -> Spec:
    sites = {**FILE["sites"], "oslo": {**FILE["sites"]["oslo"], **oslo}}  # type: ignore[dict-item, index]
    return Spec.model_validate({**FILE, "sites": sites})


def script(folder: Path, name: str, text: str, mode: int = 0o755) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


async def starts(program: str) -> bool:
    try:
        return (await run([program], timeout=10, check=False)).code != NO_INTERPRETER
    except FinalError as refused:
        assert refused.slug == "program-missing"
        return False


@pytest.mark.parametrize(
    ("name", "text", "mode", "problem"),
    [
        ("good", OFF, 0o755, None),
        ("plain", OFF, 0o644, "is not executable"),
        ("bare", "exit 0\n", 0o755, "is text without a first line that names its interpreter (#!)"),
        ("env", "#!/usr/bin/env no-such-python\n", 0o755, "is a script for no-such-python, which is not installed"),
        ("other", "#!/opt/none/python3\n", 0o755, "is a script for /opt/none/python3, which is not there"),
    ],
)
async def test_a_script_is_judged_as_the_kernel_would(
    tmp_path: Path, name: str, text: str, mode: int, problem: str | None
) -> None:
    program = script(tmp_path, name, text, mode)
    assert fence_commands.why_not(program) == problem
    assert await starts(program) is (problem is None)


@pytest.mark.parametrize("first", [b"#!/opt/\xff/sh\n", b"#!/opt/\0/sh\n"])
def test_a_first_line_that_is_no_text_is_told_in_text(tmp_path: Path, first: bytes) -> None:
    """The other site reads it as JSON."""
    program = tmp_path / "odd"
    program.write_bytes(first)
    program.chmod(0o755)
    told = fence_commands.why_not(str(program))
    assert told is not None and told.encode()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o755)
    assert fence_commands.why_not(str(tmp_path / "pipe")) == "is no file"


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("true", None),
        ("no-such-program-anywhere", "is not installed"),
        ("/no/such/program", "is not there"),
        ("/etc", "is a folder"),
    ],
)
async def test_what_is_no_script_is_judged_the_same_way(program: str, problem: str | None) -> None:
    assert fence_commands.why_not(program) == problem
    assert await starts(program) is (problem is None)


def test_each_site_looks_at_what_would_fence_the_other_one(tmp_path: Path) -> None:
    good = script(tmp_path, "off", OFF)
    spec = described(fence=[["/no/pdu", "7"]], power={"off": [good, "oslo"], "check": ["no-such-check"]})
    assert [(one.key, one.program, one.problem) for one in fence_commands.look(spec, "bergen")] == [
        ("sites.oslo.fence[0]", "/no/pdu", "is not there"),
        ("sites.oslo.power.off", good, None),
        ("sites.oslo.power.check", "no-such-check", "is not installed"),
    ]
    assert fence_commands.look(spec, "oslo") == ()
