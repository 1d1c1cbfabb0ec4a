"""The watcher's restart with 500,000 files: until every change is seen, and the memory that it has then.

The real process is started on real file systems of this machine: ext4, which is watched as a whole, and a btrfs
subvolume, where each of 50,000 folders has to be watched. It is asked at its door, as the other site asks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.results import Metric, Series, write
from secondsite import __version__
from secondsite.errors import SecondsiteError
from secondsite.files.offer.call import call
from secondsite.files.offer.seal import TokenFile
from secondsite_lab.storage.pool import kernel_has

FILES = 500_000
FILES_A_FOLDER = 10
FOLDERS_A_FOLDER = 100
SIZE = 6 << 30  # of a disk, as far as it is written to
WATCHING_SECONDS, MEMORY_MB = 2.0, 60.0
LATE_SECONDS = 120.0
LOOK_SECONDS = 0.01
MAKERS = {"ext4": ["mkfs.ext4", "-q", "-i", "4096"], "btrfs": ["mkfs.btrfs", "-q"]}
_PROGRAM = (
    "import sys; from pathlib import Path; from secondsite.files.watch.program import main;"
    " sys.exit(main(*map(Path, sys.argv[1:])))"
)


def measure(rounds: int, files: int) -> list[Metric]:
    """One file system after the other."""
    found = []
    for kind in MAKERS:
        if kind == "btrfs" and not kernel_has("btrfs"):
            print("this kernel has no btrfs: not measured", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder, _disk(Path(folder), kind) as disk:
            _fill(disk, files)
            seen = [_restart(Path(folder), disk) for _ in range(rounds + 1)][1:]  # the first begins a journal
            how = seen[0][2]
            print(f"restart on {kind}, by {how}: {', '.join(f'{took:.2f} s' for took, _, _ in seen)}", flush=True)
        name = f"watcher's restart until it sees every change, {files:,} files on {kind} ({how})"
        memory = f"its memory then, {kind}"
        found.append(Metric(name, "s", Series.of(name, [took for took, _, _ in seen]), WATCHING_SECONDS))
        found.append(Metric(memory, "MB", Series.of(memory, [size for _, size, _ in seen]), MEMORY_MB))
    return found


@contextmanager
def _disk(base: Path, kind: str) -> Iterator[Path]:
    """An empty folder on a file system of its own; on btrfs a subvolume, as most sets there are in one."""
    image, mounted = base / "image", base / "mounted"
    with image.open("wb") as empty:
        empty.truncate(SIZE)
    mounted.mkdir()
    subprocess.run([*MAKERS[kind], str(image)], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    try:
        if kind == "btrfs":
            subprocess.run(["btrfs", "-q", "subvolume", "create", str(mounted / "set")], check=True)
        else:
            (mounted / "set").mkdir()
        yield mounted / "set"
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def _fill(folder: Path, files: int) -> None:
    for number in range(files):
        own = number // FILES_A_FOLDER
        place = f"{folder}/{own // FOLDERS_A_FOLDER}/{own}"
        if number % FILES_A_FOLDER == 0:
            os.makedirs(place)  # noqa: PTH103  (half a million paths)
        os.mknod(f"{place}/{number}")
    os.sync()


def _restart(base: Path, folder: Path) -> tuple[float, float, str]:
    """Seconds until it watches, megabytes at most until then, and how it watches."""
    token, config, port = base / "token", base / "config", _free_port()
    token.write_bytes(b"both sites know this")
    sets = [{"name": "set", "path": str(folder), "mount": None}]
    config.write_text(json.dumps({"address": "127.0.0.1", "port": port, "sets": sets}))
    argv = [sys.executable, "-c", _PROGRAM, str(config), str(base / "journals"), str(token)]
    began = time.monotonic()
    watcher = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        how = asyncio.run(_until_watching(port, TokenFile(token)))
        took = time.monotonic() - began
        told = Path(f"/proc/{watcher.pid}/status").read_text().splitlines()
        most = next(int(row.split()[1]) for row in told if row.startswith("VmHWM:"))
        return took, most * 1024 / 1e6, how
    finally:
        watcher.terminate()
        watcher.wait(timeout=30)


async def _until_watching(port: int, token: TokenFile) -> str:
    async with asyncio.timeout(LATE_SECONDS):
        while True:
            try:
                line = await call("127.0.0.1", port, token, {"do": "health"}, timeout=LATE_SECONDS)
            except SecondsiteError:
                await asyncio.sleep(LOOK_SECONDS)  # its door is not open yet
                continue
            reader, writer = await asyncio.open_connection(sock=line)
            told = json.loads(await reader.readline())["sets"]["set"]
            writer.close()
            if told["watching"]:
                return str(told["kind"])
            await asyncio.sleep(LOOK_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """This part alone; it needs root and no lab."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=FILES)
    options = parser.parse_args()
    write("files_restart", options.rounds, {"secondsite": __version__}, measure(options.rounds, options.files))


if __name__ == "__main__":
    main()
