"""A real lab for every scenario, put back quickly to where a test wants to begin.

``fresh`` is a lab as ``up`` made it; ``applied`` is one on which ``secondsite apply`` has run. Each test gets the
lab in that state, whatever the test before did. With SECONDSITE_TEST_LAB=NAME an existing lab, not
applied before the first time, is used and kept. SECONDSITE_TEST_SUITE=trixie runs everything on Debian 13.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from secondsite.database.cluster import Cluster
from secondsite_lab.applied import applied as applied_lab
from secondsite_lab.applied import chosen_suite
from tests.scenario.ground import Ground

ROOT = Path(__file__).parents[2]
APPLY_SECONDS = 300
REST_SECONDS = 180  # of an apply that shows no marker it is interrupted at: it has ended by then, or runs to its end
PROGRAM = str(Path(sys.executable).with_name("secondsite"))
LAB = str(Path(sys.executable).with_name("secondsite-lab"))


@dataclass(frozen=True, slots=True)
class Ran:
    """A command of ours that ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def expect(self, code: int) -> Ran:
        """Itself, where it ended with ``code``."""
        assert self.code == code, f"ended with {self.code}, not {code}\n{self.out[-4000:]}\n{self.err[-6000:]}"
        assert "Traceback" not in self.err, self.err
        return self


@dataclass
class Lab:
    """A running lab, and secondsite as its operator in the world runs it."""

    name: str
    source: Path  # a copy of the program, so that an edit during the run changes nothing
    labels: set[str] = field(default_factory=set)

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What ``secondsite-lab info --json`` prints."""
        found: dict[str, Any] = json.loads(self.lab("info", "--json"))
        return found

    @property
    def cluster(self) -> Cluster:
        """The database cluster of either site."""
        return Cluster.parse(self.info["cluster"])

    @property
    def config(self) -> Path:
        """The service file that the lab wrote."""
        return Path(self.info["config"])

    def lab(self, *words: str, timeout: float = 300) -> str:
        """Run ``secondsite-lab``; its standard output."""
        rest = list(words)
        at = rest.index("--") if "--" in rest else len(rest)
        argv = [LAB, *rest[:at], "--name", self.name, *rest[at:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def on(self, host: str, script: str, timeout: float = 120) -> str:
        """Run a shell script inside a host as root; its standard output. Fails the test where it fails."""
        return self.lab("exec", host, "--", "bash", "-ec", script, timeout=timeout)

    def argv(self, *words: str, config: Path | None = None) -> list[str]:
        """``secondsite`` in the world's network namespace."""
        enter = ["ip", "netns", "exec", self.info["world"]["netns"]]
        return [*enter, PROGRAM, *words, "--config", str(config or self.config)]

    @property
    def environment(self) -> dict[str, str]:
        """Ours, with the copied program first."""
        return dict(os.environ) | {"PYTHONPATH": str(self.source)}

    def run(self, *words: str, config: Path | None = None, timeout: float = APPLY_SECONDS) -> Ran:
        """Run ``secondsite`` to its end."""
        began = time.monotonic()
        done = subprocess.run(
            self.argv(*words, config=config), capture_output=True, text=True, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, env=self.environment,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def start(self, *words: str, config: Path | None = None) -> subprocess.Popen[str]:
        """Start ``secondsite`` and leave it running; the caller ends it."""
        return subprocess.Popen(
            self.argv(*words, config=config), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            stdin=subprocess.DEVNULL, env=self.environment,
        )  # fmt: skip

    def interrupted(self, number: signal.Signals, markers: Sequence[str], *words: str) -> int:
        """Run ``secondsite``, send the signal as soon as a line with one of ``markers`` is shown; its exit code."""
        child = self.start(*words)
        assert child.stderr is not None
        try:
            for line in child.stderr:
                if any(marker in line for marker in markers):
                    child.send_signal(number)
                    break
            child.communicate(timeout=REST_SECONDS)
        finally:
            child.kill()
        return child.returncode

    def back_to(self, label: str) -> None:
        """Put the lab back to a saved state; ``applied`` is made the first time it is asked for."""
        if label == "applied" and label not in self.labels:
            self.back_to("fresh")
            self.run("apply", "--yes").expect(0)
            self.save(label)
            return
        self.lab("restore", label)

    def has(self, label: str) -> bool:
        """Whether an earlier run on a kept lab saved ``label``; it is put back then."""
        argv = [LAB, "restore", label, "--name", self.name]
        return subprocess.run(argv, capture_output=True, timeout=300, check=False).returncode == 0

    def save(self, label: str) -> None:
        """Keep the lab as it is now."""
        self.lab("save", label)
        self.labels.add(label)


@pytest.fixture(scope="session")
def lab_of_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all scenarios; gone at the end."""
    source = tmp_path_factory.mktemp("program")
    shutil.copytree(ROOT / "src" / "secondsite", source / "secondsite", ignore=shutil.ignore_patterns("__pycache__"))
    kept = os.environ.get("SECONDSITE_TEST_LAB")
    lab = Lab(kept or f"test{os.getpid()}", source)
    try:
        if not kept:
            lab.lab("up", "--suite", chosen_suite(), timeout=900)
        if not (kept and lab.has("fresh")):
            lab.save("fresh")
        yield lab
    finally:
        if not kept:
            lab.lab("down")


@pytest.fixture
def fresh(lab_of_session: Lab) -> Lab:
    """Two hosts that secondsite has never seen: the shop runs at oslo, bergen is empty."""
    lab_of_session.back_to("fresh")
    return lab_of_session


@pytest.fixture
def applied(lab_of_session: Lab) -> Lab:
    """Both hosts set up: the shop runs at oslo, bergen stands by."""
    lab_of_session.back_to("applied")
    return lab_of_session


@pytest.fixture(scope="module")
def untouched(lab_of_session: Lab) -> Lab:
    """A fresh lab for tests that leave it as it is: put back once a module."""
    lab_of_session.back_to("fresh")
    return lab_of_session


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """The applied lab of the scenarios of recovery; ``ground.fresh()`` puts it back."""
    with applied_lab(f"recovery{os.getpid() % 10000}", "--open-database", "--database-on-disk") as lab:
        yield Ground(lab)
