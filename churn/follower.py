"""The standby's part of the agent that keeps file sets, as a process that can be killed: ``python -m churn.follower``.

Argument: a folder with ``follower.json``. Everything else is secondsite's own.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from secondsite.files.keeper import Keeper
from secondsite.spec import FileSet, Spec, Tunnel, paths

SITE = "bergen"


def spec_of(settings: dict[str, Any]) -> Spec:
    """A service whose one set lies in a folder that a service's file could not name, because it is a temporary one."""
    site = {"operator": "Example AS", "country": "NO", "location": [60, 10]}
    spec = Spec.model_validate(
        {
            "service": {"name": "shop"},
            "objectives": {"rpo": "1m", "rto": "5m"},
            "sites": {
                "oslo": site | {"ssh": "root@192.0.2.11", "public": "192.0.2.11"},
                SITE: site | {"ssh": "root@198.51.100.11", "public": "198.51.100.11"},
            },
            "tunnel": {"network": "10.10.0.0/24"},
            "database": {"cluster": "15/main", "port": 5432, "max_slot_wal": "1GB"},
        }
    )
    tunnel = Tunnel.model_validate(
        {"network": "127.0.0.0/24", "files_port": settings["files_port"], "watch_port": settings["watch_port"]}
    )
    # Nobody looks at what a mass change does here: the churn is one.
    fileset = FileSet.model_validate({"name": "uploads", "path": "/srv/uploads", "engine": settings["engine"]})
    more = {"path": PurePosixPath(settings["path"]), "interval": 0.5, "max_delete": 1.0, "max_change": 1.0}
    return spec.model_copy(update={"tunnel": tunnel, "files": (fileset.model_copy(update=more),)})


def main(base: Path) -> None:
    """For ever."""
    # The clock jumps for this process. An rsync that is confined could not load what makes it jump.
    os.environ.pop("LD_PRELOAD", None)
    settings = json.loads((base / "follower.json").read_text())
    paths.PEER_TOKEN = base / "token"
    keeper = Keeper(spec_of(settings), SITE, store=base / "store" / "files", token=base / "token")
    asyncio.run(_kept(keeper))


async def _kept(keeper: Keeper) -> None:
    """For ever. SIGUSR1 has it say what it waits for, for a round in which it does not go on."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _tell)
    await keeper.keep(lambda: True, lambda: False)


def _tell() -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    faulthandler.dump_traceback(all_threads=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
