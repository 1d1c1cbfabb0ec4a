"""A round of ZFS: what was written since the last one, from one pool to another, beside the bare pipe and syncoid.

All three run on one lab host with two pools, so that the way is the same; secondsite still asks at its door, by a
connection, as between two sites. Each has a dataset of its own with the same content. The bare pipe is a snapshot, and
``zfs send -i | zfs receive``; it does not look at what the other side has, keeps no base, and cleans nothing up.
"""

from __future__ import annotations

import json

from bench.file_sites import STANDBY, Sites, inside, run
from bench.results import Metric, Series, paired

MEGABYTES = 48  # a round, in files of one: more, and the bare sending is nearly all there is to measure
POOL = "5G"  # with room: a pool of zfs that is nearly full writes many times more slowly
PIPE_RATIO, SYNCOID_RATIO = 1.1, 0.6

_MEASURE = """
import asyncio, json, os, subprocess, sys, time
release = os.path.realpath("/opt/secondsite/current")
with open(release + "/bin/secondsite") as launcher:
    libraries = next(line for line in launcher if line.startswith("libraries")).split("'")[-2]
sys.path[:0] = [release, "/opt/secondsite/libraries/" + libraries]
from pathlib import Path
from secondsite.files.offer import door
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.offered import Offer, Source
from secondsite.spec import FileSet
rounds, megabytes, pool, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], 7499
HERE, THERE = "benchsource", "benchcopy"
def sh(script):
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(script + ": " + done.stdout + done.stderr)
def write(name, number):
    for each in range(megabytes):
        with open(f"/srv/{HERE}/{name}/round-{number}-{each}", "wb") as file:
            file.write(os.urandom(1 << 20))
def timed(act):
    sh("sync")
    began = time.monotonic()
    act()
    return time.monotonic() - began
def pipe(number):
    base = f"-i @round{number - 1} " if number else ""
    source = f"{HERE}/pipe@round{number}"
    sh(f"zfs snapshot {source} && zfs send {base}{source} | zfs receive -u {THERE}/pipe")
def syncoid(number):
    sh(f"syncoid --quiet --no-resume {HERE}/syncoid {THERE}/syncoid")
def token():
    return b"both know this"
fileset = FileSet.model_validate({"name": "ours", "path": f"/srv/{THERE}/ours"})
engine = Zfs(fileset, Path("/srv/bench-zfs-store"), door=Door("127.0.0.1", port, token))
offers = {"ours": Offer(f"/srv/{HERE}/ours")}
async def main():
    took = {"ours": [], "pipe": [], "syncoid": []}
    source = Source(lambda: offers)
    serving = asyncio.ensure_future(
        door.serve("127.0.0.1", port, token, {"zfs": source}, tell=lambda text: None))
    await asyncio.sleep(0.2)
    async def ours(number):
        result = await engine.pull("127.0.0.1", 0, timeout=600)
        if not result.complete:
            sys.exit(f"a round failed: {result}")
    for number in range(rounds + 1):
        for name in took:
            write(name, number)
        sh(f"zfs snapshot {HERE}/flushed@{number}")  # else who comes first writes for all of them
        order = sorted(took)[number % 3:] + sorted(took)[:number % 3]
        for name in order:
            await asyncio.sleep(1.0)  # what one of them leaves to be done is not the next one's cost
            if name == "ours":
                sh("sync")
                began = time.monotonic()
                await ours(number)
                spent = time.monotonic() - began
                async with source._lock("ours"):  # what it does behind its answer is not the next one's cost either
                    pass
            else:
                act = {"pipe": pipe, "syncoid": syncoid}[name]
                spent = await asyncio.to_thread(timed, lambda: act(number))
            if number:
                took[name].append(spent)
    serving.cancel()
    print(json.dumps(took))
sh("systemctl start lab-zfs; rm -rf /srv/bench-zfs-store")
for each in (HERE, THERE):
    sh(f"truncate -s {pool} /srv/{each}.img; zpool create -m /srv/{each} {each} /srv/{each}.img")
sh(f"for n in ours pipe syncoid flushed; do zfs create {HERE}/$n; done; zfs create {THERE}/ours")
try:
    asyncio.run(main())
finally:
    for each in (HERE, THERE):
        # It is busy for a moment after the last command.
        sh(f"for n in $(seq 50); do zpool destroy -f {each} && break; sleep 0.2; done; rm /srv/{each}.img")
"""


def measure(both: Sites, rounds: int, scale: int) -> list[Metric]:
    """The three take turns in going first; the first full send is not counted."""
    megabytes = max(1, MEGABYTES * scale // 100)
    told = json.loads(inside(both.lab, STANDBY, _MEASURE, str(rounds), str(megabytes), POOL))
    print(f"zfs rounds: {told}", flush=True)
    name = f"an incremental round of ZFS, {megabytes} MiB"
    ours = Series.of(name, told["ours"])
    return [
        Metric(name, "s", ours, target, Series.of(what, told[peer]), paired=paired(told["ours"], told[peer]))
        for what, peer, target in (("the bare pipe", "pipe", PIPE_RATIO), ("syncoid", "syncoid", SYNCOID_RATIO))
    ]


if __name__ == "__main__":
    run("files_zfs", measure, __doc__, rounds=15)
