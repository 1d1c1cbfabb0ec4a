"""The zfs and zpool programs of this host. Each act is one command; what a listing says afterwards is what counts."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from secondsite import process
from secondsite.errors import FinalError
from secondsite.files.zfs import names, parse
from secondsite.files.zfs.model import Dataset, Features, Tree
from secondsite.process import Completed

SECONDS = 60.0
AT_ONCE = 200  # names in one command line
_MISSING = re.compile(r"does not exist|no such pool|not found", re.IGNORECASE)


@dataclass(slots=True)
class Host:
    """prefix: words before each command, to run it elsewhere (a namespace). root: where that place's files are seen."""

    prefix: tuple[str, ...] = ()
    root: Path = Path("/")
    _features: Features | None = field(default=None, repr=False)
    _plain: bool = False

    def argv(self, *words: str) -> list[str]:
        return [*self.prefix, *words]

    async def run(self, *words: str, check: bool = True, seconds: float = SECONDS) -> Completed:
        """Raises FinalError (``zfs-failed``; ``program-missing``), RetryableError (``program-timeout``)."""
        done = await process.run(self.argv(*words), timeout=seconds, check=False, step="zfs")
        if check and not done.ok:
            raise FinalError(f"{' '.join(words[:2])} failed: {done.why()}", slug="zfs-failed", step="zfs")
        return done

    async def features(self) -> Features:
        """What the programs here can; asked once."""
        if self._features is None:
            said = [
                (await self.run(*words, check=False)).stderr
                for words in (
                    ("zfs", "send"),
                    ("zfs", "receive"),
                    ("zfs", "snapshot"),
                    ("zfs", "bookmark"),
                    ("zpool", "sync", "-?"),
                )
            ]
            self._features = parse.features(said[0], said[1], said[2], said[3], said[4])
        return self._features

    async def dataset_at(self, path: str) -> str | None:
        """The name of the dataset whose mount point is ``path``; one that is mounted before one that is not."""
        done = await self.run("zfs", "list", "-H", "-t", "filesystem", "-o", "name,mountpoint,mounted", check=False)
        fits = [each for each in parse.mountpoints(done.stdout) if each[1] == path and not names.beside(each[0])]
        return max(fits, key=lambda each: each[2])[0] if done.ok and fits else None

    async def tree(self, root: str) -> Tree | None:
        """All of a dataset; None where it does not exist."""
        return (await self.trees(root))[0]

    async def trees(self, *roots: str) -> tuple[Tree | None, ...]:
        """All of several datasets, by one command; None for each that does not exist."""
        can = await self.features()
        listed = ("-t", "filesystem,snapshot,bookmark") if can.bookmarks else ()
        wanted = parse.PLAIN if self._plain else parse.FULL
        done = await self._get(roots, (*wanted, names.GONE), listed)
        if not done.ok and not self._plain and "invalid property" in done.stderr:
            self._plain = True
            done = await self._get(roots, (*parse.PLAIN, names.GONE), listed)
        if not done.ok and not all(_MISSING.search(line) for line in done.stderr.strip().splitlines() or [""]):
            raise FinalError(f"{' and '.join(roots)} cannot be listed: {done.why()}", slug="zfs-failed", step="zfs")
        rows = parse.table(done.stdout)
        return tuple([await self._read(root, rows) if root in rows else None for root in roots])

    async def _read(self, root: str, rows: Mapping[str, Mapping[str, str]]) -> Tree:
        found = parse.tree(root, rows, names.GONE)
        return Tree(root, tuple([await self._with_token(each) for each in found.datasets]))

    async def _get(self, roots: Iterable[str], wanted: Iterable[str], listed: Sequence[str]) -> Completed:
        words = ("zfs", "get", "-Hpr", *listed, "-o", "name,property,value,source", ",".join(wanted), *roots)
        return await self.run(*words, check=False)

    async def _with_token(self, dataset: Dataset) -> Dataset:
        if dataset.token is None or not names.good_token(dataset.token):
            return dataset
        said = await self.run("zfs", "send", "-nvt", dataset.token, check=False)
        return parse.with_token(dataset, parse.token_guid(said.stdout + said.stderr))

    async def settle(self, root: str) -> bool:
        """Write what is only in memory, so that ``written`` says it; False where this ZFS cannot."""
        if self._plain or not (await self.features()).sync:
            return False
        return (await self.run("zpool", "sync", root.partition("/")[0], check=False)).ok

    async def snapshot(self, tree: Tree, name: str) -> None:
        """All datasets of the tree at one moment."""
        if (await self.features()).many and len(tree.datasets) <= AT_ONCE:
            await self.run(
                "zfs", "snapshot", *(f"{names.below(tree.root, each.path)}@{name}" for each in tree.datasets)
            )
        else:
            await self.run("zfs", "snapshot", "-r", f"{tree.root}@{name}")

    async def hold(self, snapshot: str) -> None:
        """Have it kept. One that we hold already stays so."""
        done = await self.run("zfs", "hold", names.TAG, snapshot, check=False)
        if not done.ok and "already exists" not in done.stderr:
            raise FinalError(f"{snapshot} cannot be held: {done.why()}", slug="zfs-failed", step="zfs")

    async def release(self, snapshot: str) -> None:
        """Let our hold go, where there is one; others' stay. (`zfs holds` does not work in zfs-fuse.)"""
        await self.run("zfs", "release", names.TAG, snapshot, check=False)

    async def bookmark(self, snapshot: str) -> None:
        """Where the pool has bookmarks: it can be the base of an increment when the snapshot is gone."""
        if (await self.features()).bookmarks:
            await self.run("zfs", "bookmark", snapshot, snapshot.replace("@", "#"), check=False)

    async def put(self, dataset: str, **properties: str) -> None:
        """Set properties, one after the other: zfs-fuse takes one a command."""
        for key, value in properties.items():
            await self.run("zfs", "set", f"{key}={value}", dataset)


HERE = Host()  # asks its programs once what they can


def digits() -> str:
    """Eight random hexadecimal digits."""
    return secrets.token_hex(4)


def kill(pid: int) -> None:
    """A child that was started in a session of its own, and all below it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
