"""Libraries for a Python or a processor that is not the operator's: resolved once, as wheels only, and kept."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from secondsite.errors import FinalError
from secondsite.remote.closure import SELF, closure

RESOLVE_SECONDS = 600
_GLIBC = ("2_28", "2_17")  # what wheels are built for; Debian 12 has 2.36


def foreign_libraries(version: str, arch: str, cache: Path) -> Path:
    """A folder with every library in the operator's own versions, for Python ``version`` on ``arch``.

    Raises FinalError (``bundle-unavailable``) where neither uv nor pip can fetch them.
    """
    from importlib.metadata import distribution

    pins = sorted(f"{name}=={installed.version}" for name, installed in closure().items())
    wanted = [text for text in distribution(SELF).requires or () if "extra ==" not in text]
    key = hashlib.sha256("\n".join([version, arch, *pins, *wanted]).encode()).hexdigest()[:16]
    target = cache / "foreign" / f"{version}-{arch}-{key}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="resolve-", dir=target.parent) as folder:
        work = Path(folder)
        (work / "wanted.txt").write_text("\n".join(wanted) + "\n")
        (work / "pins.txt").write_text("\n".join(pins) + "\n")
        _resolve(version, arch, work)
        try:
            (work / "tree").rename(target)
        except OSError:
            if not target.is_dir():  # else another run has fetched the same meanwhile
                raise
    return target


# uv brings certificate authorities of its own; a machine behind a company's proxy trusts others. The older name last.
SYSTEM_CERTS = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}


def _resolve(version: str, arch: str, work: Path) -> None:
    tried: list[str] = []
    for argv in _commands(version, arch, work):
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=RESOLVE_SECONDS,
            check=False,
            env=dict(os.environ) | SYSTEM_CERTS,
        )
        if done.returncode == 0:
            return
        tried.append(f"{Path(argv[0]).name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    why = "; ".join(tried) or "neither uv nor pip is installed here"
    raise FinalError(
        f"the host has Python {version} on {arch}, and libraries for it cannot be fetched: {why}",
        slug="bundle-unavailable",
        step="pack secondsite for the host",
        hint=f"run secondsite with Python {version} on {arch} here, or give this machine access to a package index",
    )


def _commands(version: str, arch: str, work: Path) -> list[list[str]]:
    common = ["--only-binary", ":all:", "--target", str(work / "tree"), "-r", str(work / "wanted.txt")]
    commands: list[list[str]] = []
    uv = shutil.which("uv")
    if uv:
        commands.append(
            [uv, "pip", "install", "--quiet", "--python-version", version, "--python-platform",
             f"{arch}-manylinux_{_GLIBC[0]}", "--constraint", str(work / "pins.txt"), *common]
        )  # fmt: skip
    if importlib.util.find_spec("pip") is not None:
        platforms = [word for glibc in _GLIBC for word in ("--platform", f"manylinux_{glibc}_{arch}")]
        platforms += ["--platform", f"manylinux2014_{arch}"]
        commands.append(
            [sys.executable, "-m", "pip", "install", "--quiet", "--python-version", version, "--implementation",
             "cp", *platforms, "--constraint", str(work / "pins.txt"), *common]
        )  # fmt: skip
    return commands
