"""What holds for every test: its layer by its folder, the order, the time it may take, and no silent skips in CI."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
# In this order they run; seconds are the limit for one test that names none itself.
LAYERS = {"unit": 30, "docs": 60, "contract": 120, "integration": 300, "scenario": 900, "openzfs": 3600}
# Whoever runs several files side by side begins with these, so that none is left alone at the end.
SLOWEST = (
    "apply_hosts",
    "switchover",
    "failover_disaster",
    "failback",
    "postgresql_17",
    "readiness_broken",
    "kills",
    "sync_mode",
    "zombies",
    "switchover_killed",
)
_LAB_PROGRAMS = ("systemd-nspawn", "mmdebstrap", "ip", "nft", "losetup")


def in_ci() -> bool:
    """Whether a missing prerequisite is a failure."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def layer_of(path: Path) -> str:
    """The first folder below tests/."""
    parts = path.relative_to(HERE).parts
    return parts[0] if len(parts) > 1 else ""


def pytest_configure(config: pytest.Config) -> None:
    # The same examples each time: a test that fails does so for everybody, and one that is slow is no failure.
    settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
    settings.load_profile("fixed")
    os.environ["TERM"] = "xterm-256color"  # what is drawn must not depend on who runs the tests
    for name in ("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR"):
        os.environ.pop(name, None)
    for layer in LAYERS:
        config.addinivalue_line("markers", f"{layer}: set by the folder tests/{layer}")
    config.addinivalue_line("markers", "needs_root: skipped (in CI: failed) without root")
    config.addinivalue_line("markers", "lab: boots hosts; needs root and the lab's programs. All of scenario is that")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder, and run the quick layers first; within a file the order stays."""
    for item in items:
        layer = layer_of(item.path)
        if layer not in LAYERS:
            raise pytest.UsageError(f"{item.path}: tests live in tests/{{{','.join(LAYERS)}}}")
        item.add_marker(layer)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LAYERS[layer]))
        if layer == "scenario":
            item.add_marker("lab")
    places = in_turn(list(dict.fromkeys(item.path for item in items)))
    items.sort(key=lambda item: places[item.path])


def in_turn(files: list[Path]) -> dict[Path, tuple[int, float]]:
    """Where each file comes. Scenarios need the processor and the single components mostly wait: evenly mixed, neither
    waits for the other where several run side by side."""
    places: dict[Path, tuple[int, float]] = {}
    for number, layer in enumerate(LAYERS):
        own = [file for file in files if layer_of(file) == layer]
        own.sort(key=lambda file: file.stem.removeprefix("test_") not in SLOWEST)
        rank = min(number, list(LAYERS).index("integration")) if layer != "openzfs" else number
        places |= {file: (rank, place / len(own)) for place, file in enumerate(own)}
    return places


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs_lab = item.get_closest_marker("lab") is not None
    if (needs_lab or item.get_closest_marker("needs_root") is not None) and os.geteuid() != 0:
        pytest.skip("needs root")
    missing = [name for name in _LAB_PROGRAMS if shutil.which(name) is None] if needs_lab else []
    if missing:
        pytest.skip(f"the lab needs {', '.join(missing)}: make setup")


def _not_in_ci(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A skip becomes a failure in CI. An expected failure (xfail) is not a skip."""
    if in_ci() and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _not_in_ci(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _not_in_ci(report)
    return report
