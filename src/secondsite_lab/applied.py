"""A lab with secondsite applied, put back to that state whenever wanted: the ground of tests and benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondsite.database.cluster import Cluster

BIN = Path(sys.executable).parent
SAVED = "applied"
SUITE = "SECONDSITE_TEST_SUITE"  # the Debian release that tests and benchmarks run on; else bookworm


def chosen_suite() -> str:
    """The Debian release of the hosts, where a test or benchmark does not name one itself."""
    return os.environ.get(SUITE) or "bookworm"


@dataclass(frozen=True, slots=True)
class AppliedLab:
    """A lab by name, and what ``secondsite-lab info`` says of it."""

    name: str
    info: dict[str, Any]

    @property
    def cluster(self) -> Cluster:
        """The database cluster of either site."""
        return Cluster.parse(self.info["cluster"])

    def lab(self, *arguments: str, timeout: float = 300) -> str:
        """``secondsite-lab ARGUMENTS`` for this lab; its standard output."""
        words = list(arguments)
        at = words.index("--") if "--" in words else len(words)
        argv = [str(BIN / "secondsite-lab"), *words[:at], "--name", self.name, *words[at:]]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=timeout).stdout

    def world(self, *argv: str) -> list[str]:
        """An argument list that runs in the world's network."""
        return ["ip", "netns", "exec", self.info["world"]["netns"], *argv]

    def ssh(self, host: str, command: str) -> list[str]:
        """An argument list that runs ``command`` on a host the way an operator does."""
        address = self.info["hosts"][host]["address"]
        return self.world("ssh", "-F", self.info["ssh_config"], address, command)

    def on(self, host: str, command: str, *, timeout: float = 120) -> str:
        """Run ``command`` on a host; its standard output."""
        return subprocess.run(
            self.ssh(host, command), check=True, capture_output=True, text=True, timeout=timeout
        ).stdout

    def said(
        self, host: str, command: str, *, stdin: str = "", timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run ``command`` on a host, whatever it ends with."""
        return subprocess.run(
            self.ssh(host, command), check=False, capture_output=True, text=True, input=stdin, timeout=timeout
        )

    def json(self, host: str, command: str) -> dict[str, Any]:
        """The JSON document that ``command`` prints on a host, whatever its exit code."""
        done = self.said(host, command)
        try:
            document = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{command}: no JSON, exit {done.returncode}: {done.stdout}{done.stderr}") from None
        return dict(document)

    def operator(self, *arguments: str) -> list[str]:
        """An argument list that runs ``secondsite ARGUMENTS`` on the operator's machine."""
        return self.world(str(BIN / "secondsite"), "--config", self.info["config"], *arguments)

    def until_ready(self, seconds: float = 90) -> None:
        """Wait until status says that a failover would work."""
        deadline = time.monotonic() + seconds
        while True:
            status = self._status()
            if status.get("ready"):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {json.dumps(status.get('findings'))[:800]}")
            time.sleep(0.3)

    def _status(self) -> dict[str, Any]:
        try:
            done = subprocess.run(self.ssh("bergen", "secondsite status --json"), capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            return {}  # a host that boots on a busy machine may leave its first caller waiting
        return dict(json.loads(done.stdout or b"{}"))

    def reset(self, label: str = SAVED) -> None:
        """Back to a saved state, that of ``apply`` unless another is named; hosts freshly booted, standby streaming."""
        self.lab("restore", label)
        self.until_ready()


@contextmanager
def applied(name: str, *options: str, suite: str | None = None, kept: bool = True) -> Iterator[AppliedLab]:
    """A lab with secondsite applied, gone at the end. kept: saved so that every round begins alike."""
    program = str(BIN / "secondsite-lab")
    subprocess.run([program, "down", "--name", name], check=True, timeout=300)
    up = [program, "up", "--name", name, "--suite", suite or chosen_suite(), *options]
    subprocess.run(up, check=True, timeout=900, stdout=subprocess.DEVNULL)
    try:
        told = subprocess.run([program, "info", "--name", name, "--json"], check=True, capture_output=True, timeout=60)
        lab = AppliedLab(name, json.loads(told.stdout))
        done = subprocess.run(lab.operator("apply", "--yes"), capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise RuntimeError(f"apply ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        lab.until_ready()
        if kept:
            lab.lab("save", SAVED)
            lab.until_ready()  # saving has booted the hosts again
        yield lab
    finally:
        subprocess.run([program, "down", "--name", name], check=True, timeout=300)
