"""Ctrl-C: at a question, on a real terminal; and while a host's agent does the work."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from secondsite.cli.apply import Counting
from secondsite.cli.carry_out import NO_AGENT, Watched
from secondsite.cli.interrupt import apply_left, procedure_left
from secondsite.cli.schemas import conforms
from secondsite.events import ChangeDone, Event, Note, ignore

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


WATCHING = """
import asyncio, pathlib, socket, sys, threading, time
from secondsite.spec import names, paths

folder = pathlib.Path(sys.argv[1])
paths.SITE, paths.SOCKET = folder / "site", folder / "agent.sock"
names.SITE, names.SOCKET = str(paths.SITE), str(paths.SOCKET)
paths.SITE.write_text("bergen\\n")
listening = socket.socket(socket.AF_UNIX)
listening.bind(str(paths.SOCKET))
listening.listen()

def agent():
    line, _ = listening.accept()
    line.recv(65536)
    told = '{"event": "StepStarted", "step": "fence", "site": "bergen", "title": "IT RUNS", "at": ""}\\n'
    line.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + told.encode())
    time.sleep(60)

threading.Thread(target=agent, daemon=True).start()
from secondsite.cli import main

if sys.argv[2] == "the long way":
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.render import Renderer

    async def command():
        with Renderer() as emit:
            return await carry_out(None, "failover", {}, at="bergen", emit=emit)

    main.run = lambda tokens: asyncio.run(command())
    sys.exit(main.main(["failover", "--yes", *sys.argv[3:]]))
from secondsite.cli import start
sys.argv[1:] = ["failover", "--yes", *sys.argv[3:]]
sys.exit(start.main())
"""


@pytest.mark.parametrize("way", ["the short way", "the long way"])
def test_ctrl_c_while_the_agent_works_says_that_it_goes_on_or_has_ended(tmp_path: Path, way: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHING, str(tmp_path), way, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stderr is not None and "IT RUNS" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=10)
    finally:
        child.kill()
        child.wait()
    told = json.loads(out)
    conforms("error", told)
    assert (child.returncode, told["exit_code"], told["error"]) == (130, 130, "interrupted")
    assert "the agent at bergen goes on with the failover, or has ended it by now" in told["message"]
    assert "secondsite status, and if it is unfinished: secondsite failover --resume --to bergen" in told["hint"]


EARLY = """
import os, pathlib, signal, socket, sys
from secondsite.spec import names

folder = pathlib.Path(sys.argv[1])
names.SITE, names.SOCKET = str(folder / "site"), str(folder / "agent.sock")
pathlib.Path(names.SITE).write_text("bergen\\n")
listening = socket.socket(socket.AF_UNIX)
listening.bind(names.SOCKET)
listening.listen()
moment, pressed = sys.argv[2], []

def press():
    if not pressed:
        pressed.append(True)
        os.kill(os.getpid(), signal.SIGINT)

class AtImport:
    def find_spec(self, name, *rest):
        if name == moment:
            press()

sys.meta_path.insert(0, AtImport())
if moment == "sent":
    os.nice = lambda _: press()
from secondsite.cli import start
sys.argv[1:] = ["failover", "--yes", "--json"]
sys.exit(start.main())
"""


@pytest.mark.parametrize(
    "moment", ["sent", "secondsite.cli.main", "secondsite.errors", "secondsite.cli.outcome", "secondsite.agent.client"]
)
def test_ctrl_c_at_any_moment_after_the_request_is_out_says_that_the_agent_goes_on(tmp_path: Path, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EARLY, str(tmp_path), moment], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert "the agent at bergen goes on with the failover" in json.loads(done.stdout)["message"]


def test_without_an_agent_nobody_goes_on() -> None:
    told: list[Event] = []
    watched = Watched(told.append)
    watched(Note(NO_AGENT, "bergen", "warning"))
    assert (watched.agent, told) == (False, [Note(NO_AGENT, "bergen", "warning")])
    left = procedure_left("switchover", "bergen", agent=watched.agent)
    assert "stops where it stood" in left.message
    assert left.hint is not None and left.hint.endswith("secondsite switchover --resume --to bergen")


def test_what_goes_on_at_another_host_without_an_agent_is_not_said_to_stop() -> None:
    left = procedure_left("switchover", "bergen", agent=False, here=False)
    assert "goes on at bergen" in left.message and "agent" not in left.message


CARRIED_OUT = """
import sys
from secondsite.cli.carry_out import Outliving
from secondsite.events import Note
say = Outliving()
say(Note("begun"))
sys.stdin.readline()
for _ in range(3):
    say(Note("on"))
print("went on", file=sys.stderr)
"""


def test_what_is_carried_out_goes_on_when_nobody_is_at_the_other_end() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CARRIED_OUT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    assert "begun" in child.stdout.readline()
    child.stdout.close()
    child.stdin.write("\n")
    child.stdin.close()
    assert (child.stderr.read(), child.wait(timeout=20)) == ("went on\n", 0)
    child.stderr.close()


@pytest.mark.parametrize(("changes", "words"), [(0, "no change"), (1, "1 change was made"), (7, "7 changes were made")])
def test_an_interrupted_apply_counts_what_it_did_and_names_the_command_that_finishes_it(
    changes: int, words: str
) -> None:
    counting = Counting(ignore)
    for number in range(changes):
        counting(ChangeDone(f"file {number}", "oslo", "create", 0.1))
        counting(Note("meanwhile"))
    left = apply_left(counting.changes, "oslo")
    assert words in left.message
    assert left.hint is not None and left.hint.startswith("secondsite apply --replace-standby oslo ")


def test_where_a_host_has_said_nothing_yet_nobody_is_told_that_it_goes_on() -> None:
    watched = Watched(ignore)
    left = procedure_left("failover", "bergen", agent=watched.agent, heard=watched.heard)
    assert "may not have begun" in left.message and "goes on with the failover" not in left.message
    assert left.hint is not None and "the same command again" in left.hint
    watched(Note("taking over", "bergen"))
    assert watched.heard
