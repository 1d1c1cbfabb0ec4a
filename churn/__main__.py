"""``python -m churn --operations N --seed S``: file sets under churn and faults, over every file system and engine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from churn.disks import KINDS, destroy_pools, start_zfs
from churn.play import Round, play
from churn.table import into, line, table
from secondsite import __version__

BUILD = Path("build/churn")
TOOLS = Path(".tools/unpacked")
WHERE = (*((kind, "rsync") for kind in KINDS), ("zfs", "zfs"))
OURS = "SECONDSITE_CHURN_NAMESPACE"


def main() -> None:
    """Exit code 0: both trees were identical at the end of every round. 1: not."""
    parser = argparse.ArgumentParser(prog="churn", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--operations", type=int, default=2000)
    parser.add_argument("--seed", type=int, nargs="+", default=[2026])
    parser.add_argument("--only", nargs="+", help="FILE-SYSTEM:ENGINE", choices=[":".join(each) for each in WHERE])
    parser.add_argument("--build", type=Path, default=BUILD, help="where results go")
    parser.add_argument("--page", type=Path, help="only write what was played into this page")
    options = parser.parse_args()
    if options.page:
        options.page.write_text(into(options.page.read_text(), played(options.build)))
        return
    if OURS not in os.environ:
        in_own_namespaces()
    wanted = [tuple(each.split(":")) for each in options.only] if options.only else WHERE
    rounds = []
    for seed in options.seed:
        for kind, engine in wanted:
            rounds.append(one_round(Round(kind, engine, seed, options.operations), options.build))
            print(line(rounds[-1].document()), flush=True)
            write(rounds[-1], options.build)
    print(f"\n{table([one.document() for one in rounds])}")
    raise SystemExit(1 if any(one.wrong for one in rounds) else 0)


def in_own_namespaces() -> None:
    """Go on where mounts, processes and ports are nobody else's, and where all of them end with this process."""
    words = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"]
    os.environ[OURS] = "yes"
    script = 'ip link set lo up && exec "$@"'
    argv = [*words, "--mount-proc", "sh", "-c", script, "sh", sys.executable, "-m", "churn", *sys.argv[1:]]
    os.execvp(argv[0], argv)


def one_round(one: Round, build: Path) -> Round:
    """Play it; what a round that failed has left in logs is kept."""
    base = Path(tempfile.mkdtemp(prefix="secondsite-churn-"))
    try:
        tools = TOOLS.resolve()
        if one.kind == "zfs" and shutil.which("zfs-fuse") is None:
            start_zfs(tools)  # it ends with the namespace
        asyncio.run(play(one, base, tools))
    except* (OSError, RuntimeError, ValueError) as broken:
        first = broken.exceptions[0]
        frames = traceback.extract_tb(first.__traceback__)[-3:]
        at = ", ".join(f"{Path(each.filename).name}:{each.lineno}" for each in frames)
        one.wrong.append(f"the round could not be played: {first!r} at {at}"[:600])
    finally:
        keep(one, base, build)
        if one.kind == "zfs":
            destroy_pools()
        forget(base)
    return one


def keep(one: Round, base: Path, build: Path) -> None:
    """Logs and records of a round that failed."""
    folder = build / f"{one.kind}-{one.engine}-{one.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    if one.wrong:
        folder.mkdir(parents=True)
        for each in (*base.glob("*.log"), *base.glob("store/files/*.json"), *base.glob("store/files/*.heard")):
            shutil.copy(each, folder)


def forget(base: Path) -> None:
    """Unmount what lies below, deepest first, and remove the folder."""
    mounted = [row.split()[4] for row in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((each for each in mounted if each.startswith(f"{base}/")), key=len, reverse=True):
        os.spawnlp(os.P_WAIT, "umount", "umount", "--lazy", point)
    shutil.rmtree(base, ignore_errors=True)


def write(one: Round, build: Path) -> None:
    """build/churn/SEED.json: one played again takes its own place, and keeps how it has ended before."""
    build.mkdir(parents=True, exist_ok=True)
    path = build / f"{one.seed}.json"
    rounds = json.loads(path.read_text())["rounds"] if path.exists() else []
    document = one.document()
    for each in rounds:
        if (each["file_system"], each["engine"]) == (one.kind, one.engine):
            document["earlier"] = [*each.get("earlier", ()), {"verdict": each["verdict"], "wrong": each["wrong"]}]
    rounds = [each for each in rounds if (each["file_system"], each["engine"]) != (one.kind, one.engine)]
    whole = {
        "seed": one.seed,
        "secondsite": __version__,
        "machine": {"system": platform.platform(), "python": sys.version.split()[0]},
        "rounds": [*rounds, document],
    }
    path.write_text(json.dumps(whole, indent=2) + "\n")


def played(build: Path) -> list[dict[str, object]]:
    """Every round of every seed that was played."""
    found = [each for path in sorted(build.glob("*.json")) for each in json.loads(path.read_text())["rounds"]]
    return sorted(found, key=lambda each: (each["seed"], WHERE.index((each["file_system"], each["engine"]))))


if __name__ == "__main__":
    main()
