"""Locks between runs: held by one, waited for by the others, and gone with their holder."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from secondsite_lab import lock, processes, record
from secondsite_lab.errors import LabError, NotYetUp
from secondsite_lab.identity import new_secrets
from secondsite_lab.lab import Lab


def test_a_lock_is_held_by_one_and_told_of_once(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        lock.held(tmp_path / "a.lock", "this"),
        pytest.raises(LabError, match="busy with that"),
        lock.held(tmp_path / "a.lock", "that", timeout=0.1, waiting=told.append),
    ):
        told.append("held by two")
    assert len(told) == 1
    assert list(tmp_path.iterdir()) == []


def test_holders_follow_one_another_although_each_removes_the_file(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            with lock.held(tmp_path / "a.lock", "work", timeout=20):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(most)) == (1, 80)


def test_a_process_is_its_pid_and_its_start(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = processes.process_of(child.pid)
        assert process is not None and process.alive()
        other = processes.Process(process.pid, process.started + 1)
        assert not other.alive()
        other.kill()
        assert process.alive(), "a pid that went to somebody else is left alone"
        processes.save(process, tmp_path / "record.json")
        assert processes.load(tmp_path / "record.json") == process
        process.kill()
        assert process.wait_gone(5)
    assert processes.load(tmp_path / "none.json") is None


def test_a_started_process_is_recorded_before_it_is_the_program(tmp_path: Path) -> None:
    record, log = tmp_path / "record.json", tmp_path / "log"
    words = [sys.executable, "-c", "import sys, time; print(open(sys.argv[1]).read(), flush=True); time.sleep(60)"]
    process = processes.start([*words, str(record)], record=record, log=log)
    try:
        deadline = time.monotonic() + 10
        while not log.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert f'"pid": {process.pid}' in log.read_text()
    finally:
        process.kill()
    with pytest.raises(LabError, match="did not start"):
        processes.start(["true"], record=record, log=log, cgroups=[tmp_path / "no-such-group"])


def test_a_lab_that_somebody_still_brings_up_is_told_from_one_that_never_came_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDSITE_LAB_RUNTIME", str(tmp_path))
    lab = Lab("half")
    record.write(lab, record.Record("bookworm", "overlay", [], new_secrets()))
    with lock.held(lab.lock, "this"), pytest.raises(NotYetUp, match="still coming up"):
        record.read_complete(lab)
    assert not lock.is_held(lab.lock)
    with pytest.raises(LabError, match="never came up"):
        record.read_complete(lab)
