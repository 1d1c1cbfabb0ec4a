"""Copy the primary here as `apply` does, and print how long it took (s). Runs at the standby, from what stands there.

The same two calls as an apply's (database/seed.py). The password is in the password file, so none is given here.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

release = os.path.realpath("/opt/secondsite/current")
with Path(release, "bin", "secondsite").open() as launcher:
    libraries = next(line for line in launcher if line.startswith("libraries")).split("'")[-2]
sys.path[:0] = [release, f"/opt/secondsite/libraries/{libraries}"]

from secondsite.clock import SystemClock  # noqa: E402
from secondsite.database import basebackup  # noqa: E402
from secondsite.database.facts import Facts  # noqa: E402
from secondsite.database.node import Node  # noqa: E402
from secondsite.database.password import Password  # noqa: E402
from secondsite.database.source import peer  # noqa: E402
from secondsite.events import ignore  # noqa: E402
from secondsite.spec import paths  # noqa: E402
from secondsite.spec.load import load  # noqa: E402

spec, site = load(paths.CONFIG).spec, paths.SITE.read_text().strip()
own, other = (str(spec.tunnel_address(one)) for one in (site, spec.peer_of(site)))
node = Node.of(spec)
source = peer(spec, site, Facts(own, other, Password("")), str(node.passfile))


async def seed() -> None:
    """The copy, safe on the disk."""
    await basebackup.start(node, source)
    await basebackup.wait(node, site, ignore, SystemClock())


basebackup.remove_half(node)
os.sync()
began = time.monotonic()
asyncio.run(seed())
print(json.dumps(time.monotonic() - began))
basebackup.remove_half(node)
os.sync()
