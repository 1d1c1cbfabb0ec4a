"""Runs in a guest: one site's door, and the real engine beside it, told what to do by JSON lines on standard input.

One process, because starting one takes an emulated machine many seconds. Who runs it is whom ZFS lets do things.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondsite.errors import SecondsiteError
from secondsite.events import ignore
from secondsite.files import store as records
from secondsite.files.choice import chosen
from secondsite.files.engine import allow_deletions
from secondsite.files.offer import door
from secondsite.files.versions.acts import perform
from secondsite.files.zfs import pools
from secondsite.files.zfs.ask import Door
from secondsite.files.zfs.engine import Zfs
from secondsite.files.zfs.host import HERE
from secondsite.files.zfs.offered import Offer, Source
from secondsite.spec import FileSet

PORT = 7435
TOKEN = b"a token that both sites share"


class Site:
    """What one host would have of a set."""

    def __init__(self, here: str, other: str, path: str, store: str) -> None:
        self.here, self.store = here, Path(store)
        self.fileset = FileSet.model_validate({"name": "up", "path": path})
        self.offers = {"up": Offer(path)}
        self.door = Door(other, PORT, lambda: TOKEN)
        self.engine = Zfs(self.fileset, self.store, host=HERE, door=self.door)

    async def serve(self) -> None:
        handlers = {"zfs": Source(lambda: self.offers, HERE)}
        await door.serve(self.here, PORT, lambda: TOKEN, handlers)

    async def act(self, asked: dict[str, Any]) -> Any:
        match asked["do"]:
            case "chosen":
                return type(await chosen(self.fileset, self.door, store=self.store, host=HERE)).__name__
            case "pull":
                return asdict(await self.engine.pull("", 0, timeout=float(asked.get("timeout", 600))))
            case "verify":
                return asdict(await self.engine.verify("", 0, timeout=300))
            case "promote":
                return await self.engine.promote()
            case "demote":
                return await self.engine.demote()
            case "allow":
                return await allow_deletions(self.fileset, self.store)
            case "bandwidth":
                self.offers["up"] = Offer(str(self.fileset.path), bandwidth=asked["bytes"])
                return None
            case "record":
                return asdict(records.load("up", self.store))
            case "tree":
                tree = await HERE.tree(asked["root"])
                return None if tree is None else asdict(tree)
            case "pools":
                return [asdict(each) for each in await pools.look([self.fileset], self.store, HERE)]
            case "versions":
                return await perform(
                    f"versions-{asked['act']}", self.fileset, asked["arguments"], peer="", port=1, emit=ignore,
                    store=self.store, host=HERE,
                )  # fmt: skip
            case "features":
                return asdict(await HERE.features())
        raise ValueError(asked)


async def told(site: Site) -> None:
    """Until the input ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            answer = {"ok": await site.act(json.loads(line))}
        except SecondsiteError as failed:
            answer = {"error": failed.slug, "message": failed.message}
        print(json.dumps(answer), flush=True)


async def main() -> None:
    """Arguments: this site's address, the other's, the set's folder, where records are kept."""
    site = Site(*sys.argv[1:5])
    site.store.mkdir(parents=True, exist_ok=True)
    serving = asyncio.ensure_future(site.serve())
    print(json.dumps({"ok": "ready"}), flush=True)
    await told(site)
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(main())
