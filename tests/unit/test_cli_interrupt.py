"""Ctrl-C at a question, on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

ASKING = """
import asyncio, sys
from secondsite.cli import main
from secondsite.cli.render import confirm

async def command():
    confirm("Let bergen take over now?")
    print("IT HAS BEGUN")
    return 0

main.run = lambda tokens: asyncio.run(command())
sys.exit(main.main(["status"]))
"""


def read_until(terminal: int, word: bytes, seconds: float = 20.0) -> bytes:
    """What the program has written until ``word`` stands there, or until it has closed the terminal."""
    seen, until = b"", time.monotonic() + seconds
    while word not in seen and time.monotonic() < until:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            seen += os.read(terminal, 1024)
        except OSError:  # the other end is closed
            break
    return seen


def asked(keys: bytes) -> tuple[int, bytes]:
    """Run the question, press ``keys``, then y; its exit code and what it wrote."""
    own, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", sys.executable, "-c", ASKING]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    try:
        assert b"[y/N]" in read_until(own, b"[y/N]")
        os.write(own, keys)
        time.sleep(0.3)
        os.write(own, b"y\n")
        told = read_until(own, b"never written", seconds=10)
        return child.wait(timeout=10), told
    finally:
        child.kill()
        child.wait()
        os.close(own)


def test_the_first_ctrl_c_ends_the_command_and_a_later_yes_starts_nothing() -> None:
    code, told = asked(b"\x03")
    assert (code, b"IT HAS BEGUN" in told, b"interrupted" in told) == (130, False, True)


def test_a_yes_alone_goes_on() -> None:
    code, told = asked(b"")
    assert (code, b"IT HAS BEGUN" in told) == (0, True)
