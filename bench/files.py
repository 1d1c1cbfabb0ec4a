"""Everything that a promise about files rests on, in one run: each beside what others use for it.

One lab for all parts that need one, with 50,000 files in place, then the watcher's restart. The heavy parts have three
rounds, a round of ZFS has fifteen.
"""

from __future__ import annotations

import argparse

from bench import files_idle, files_large, files_latency, files_new, files_restart, files_zfs
from bench.file_sites import FILES, sites
from bench.results import Metric, write

# In this order: what is at rest has to be seen before 300,000 files more are there.
PARTS = {
    "idle": files_idle.measure,
    "latency": files_latency.measure,
    "zfs": files_zfs.measure,
    "large": files_large.measure,
    "new": files_new.measure,
}
RESTARTS = 5
LIGHT = {"zfs": 5}  # so many times as many rounds: each takes a second


def main() -> None:
    """Run the parts; one document and one table of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=FILES, help="that are in place before anything is measured")
    parser.add_argument("--restart-files", type=int, default=files_restart.FILES)
    parser.add_argument("--scale", type=int, default=100, help="percent of what a round changes, for a first look")
    options = parser.parse_args()
    metrics: list[Metric] = []
    with sites("bench-files", options.files) as both:
        versions = both.versions()
        for part, measure in PARTS.items():
            rounds = options.rounds * LIGHT.get(part, 1)
            found = measure(both, rounds, options.scale)
            write(f"files_{part}", rounds, versions, found)  # whatever becomes of the others
            metrics += found
    restarts = files_restart.measure(RESTARTS, options.restart_files)
    write("files_restart", RESTARTS, versions, restarts)
    write("files", options.rounds, versions, metrics + restarts)


if __name__ == "__main__":
    main()
