"""The source's part: what the standby may ask of this host's ZFS, and nothing else.

The standby names a set and guids. Every name in a command is this host's own: looked up in its listing, never taken
from a request. What it may bring about: a snapshot, a bookmark, a hold or its release (with our tag), the removal of
snapshots that we made and that its retention does not keep. Nothing else is destroyed, rolled back, renamed, written.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from secondsite.errors import FinalError, SecondsiteError
from secondsite.files.versions.retention import Rule
from secondsite.files.zfs import names, parse, retain
from secondsite.files.zfs.host import HERE, Host, digits, kill
from secondsite.files.zfs.model import Dataset, Snapshot, Tree
from secondsite.files.zfs.names import below

SEND_SECONDS = 7 * 24 * 3600.0
ANSWER_SECONDS = 60.0
MOST_GUIDS = 3000
TOLD_SECONDS = 10.0  # for which a listing may be acted upon
HOLD_SECONDS = 1.0  # of sending, after which the new snapshot is held: a short stream has landed before
PRUNE_AT = 10  # snapshots: the removal of one makes the pool write all it has, and a round would wait for that
_PACING = getattr(socket, "SO_MAX_PACING_RATE", 47)


@dataclass(frozen=True, slots=True)
class Offer:
    """A set. rules: which of our snapshots are kept here. bandwidth: bytes a second, None for no limit."""

    path: str
    rules: Sequence[Rule] = ()
    bandwidth: int | None = None


@dataclass(slots=True)
class Source:
    """The handler ``zfs`` of the door."""

    offers: Callable[[], Mapping[str, Offer]]
    host: Host = field(default_factory=lambda: HERE)
    problem: dict[str, str] = field(default_factory=dict)  # what the last send of a set printed
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)  # by path, the dataset that was mounted there last
    _listed: dict[str, tuple[float, Tree]] = field(default_factory=dict)  # by set, what a round has just told
    _held: dict[str, set[int]] = field(default_factory=dict)  # by set, what was held since
    _to_hold: dict[str, tuple[Tree, frozenset[int]]] = field(default_factory=dict)
    _to_hold_at: dict[str, float] = field(default_factory=dict)
    _holding: set[str] = field(default_factory=set)  # sets whose ``_to_hold`` somebody looks after
    _landed_now: dict[str, tuple[Tree, frozenset[int]]] = field(default_factory=dict)

    async def __call__(self, request: Mapping[str, Any], line: socket.socket) -> None:
        """One JSON line as the answer; behind that of ``send`` comes the stream."""
        try:
            name, offer = self._offer(request)
            async with self._lock(name):
                answer, argv = await self._carry_out(request, name, offer)
        except SecondsiteError as refused:
            answer, argv = {"error": refused.slug, "message": refused.message}, None
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().sock_sendall(line, json.dumps(answer).encode() + b"\n")
        if argv is not None:
            sending = self._send(argv, line, name, _slower(offer, request.get("bandwidth")))
            await asyncio.gather(sending, self._hold_meanwhile(name))
        await self._hold_later(name, self._landed_now)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _hold_meanwhile(self, name: str) -> None:
        """Beside a stream that lasts, or has ended without having landed. For a short one it would come too late, and
        make it wait: a hold has the pool write all it has."""
        if name in self._holding:  # another stream's call sees to it
            return
        self._holding.add(name)
        try:
            while name in self._to_hold:
                rest = self._to_hold_at[name] - asyncio.get_running_loop().time()
                if rest <= 0:
                    break
                await asyncio.sleep(rest)
        finally:
            self._holding.discard(name)
        await self._hold_later(name, self._to_hold, release=False)

    async def _hold_later(
        self, name: str, wanted: dict[str, tuple[Tree, frozenset[int]]], *, release: bool = True
    ) -> None:
        """Behind the answer: a hold, and a release, take as long as a small stream. The base is held since it has
        landed. What fails is told by the next round."""
        async with self._lock(name):
            waiting = wanted.pop(name, None)
            if waiting is not None:
                try:
                    await self._hold(name, *waiting, release=release)
                except SecondsiteError as failed:
                    self.problem[name] = failed.message

    def _offer(self, request: Mapping[str, Any]) -> tuple[str, Offer]:
        name = request.get("set")
        known = self.offers()
        if not isinstance(name, str) or name not in known:
            raise _refused("it names no file set of this service")
        return name, known[name]

    async def _carry_out(
        self, request: Mapping[str, Any], name: str, offer: Offer
    ) -> tuple[dict[str, Any], list[str] | None]:
        act = request.get("act")
        tree = self._just_told(name) if act in ("send", "landed") else None
        tree = tree or await self._tree(offer)
        match act:
            case "look":
                return {"ok": True, "root": tree.root}, None
            case "list":
                return {"ok": True, "at": time.time(), "root": tree.root, "tree": to_json(tree), "problem": None}, None
            case "round":
                return await self._round(tree, request, name, offer), None
            case "landed":
                return await self._landed(tree, _guids(request, "guids"), name, offer), None
            case "send":
                return {"ok": True}, await self._stream(tree, request)
            case "resume":
                return {"ok": True}, await self._go_on(tree, request)
        raise _refused("it asks for something that is not known here")

    async def _tree(self, offer: Offer) -> Tree:
        """Raises FinalError (``zfs-no-dataset``) where the folder is no dataset, or is not mounted to be written."""
        root = self._roots.get(offer.path)
        tree = await self.host.tree(root) if root is not None else None
        if tree is None or tree.datasets[0].mountpoint != offer.path or not tree.datasets[0].mounted:
            root = await self.host.dataset_at(offer.path)
            tree = await self.host.tree(root) if root is not None else None
        if tree is None:
            raise FinalError(f"{offer.path} is no dataset's mount point at the source", slug="zfs-no-dataset")
        top = tree.datasets[0]
        if not top.mounted or top.readonly:
            raise FinalError(
                f"{tree.root} is not mounted to be written at {offer.path}: it is not the original",
                slug="zfs-not-original",
            )
        self._roots[offer.path] = tree.root
        return tree

    def _just_told(self, name: str) -> Tree | None:
        """What the last round has told of a set, for the moments in which the standby acts upon it: a listing costs as
        much as a small stream. What is asked for is found in it by its guid, and seen by that at the other end."""
        at, tree = self._listed.get(name, (None, None))
        return tree if at is not None and asyncio.get_running_loop().time() - at < TOLD_SECONDS else None

    async def _round(self, tree: Tree, request: Mapping[str, Any], name: str, offer: Offer) -> dict[str, Any]:
        """A new snapshot where anything was written since the newest that the standby has; then the listing."""
        have, partial = _guids(request, "have"), _guids(request, "partial")
        settled = await self.host.settle(tree.root)
        at = time.time()
        tree = await self._again(tree) if settled else tree
        if not settled or any(_fresh(each, have) for each in tree.datasets):
            await self.host.snapshot(tree, names.snapshot(at, digits()))
            tree = await self._again(tree)
        self._held[name] = set()  # what is held, this listing says
        if partial or not all(_base_held(each, have) for each in tree.datasets):
            await self._hold(name, tree, have, partial)
        else:
            self._to_hold[name] = tree, have
            self._to_hold_at[name] = asyncio.get_running_loop().time() + HOLD_SECONDS
        tree = await self._thin(tree, offer, have, partial)
        self._listed[name] = asyncio.get_running_loop().time(), tree
        return {"ok": True, "at": at, "root": tree.root, "tree": to_json(tree), "problem": self.problem.get(name)}

    async def _again(self, tree: Tree) -> Tree:
        found = await self.host.tree(tree.root)
        if found is None:
            raise FinalError(f"{tree.root} is gone", slug="zfs-no-dataset")
        return found

    async def _hold(
        self,
        name: str,
        tree: Tree,
        have: frozenset[int],
        partial: frozenset[int] = frozenset(),
        *,
        release: bool = True,
    ) -> None:
        """In each dataset the newest that the standby has, one of which it has a part, and the newest at all. The
        holds of earlier rounds, of killed ones too, go: whatever becomes of the standby, these few are held."""
        since = self._held.setdefault(name, set())
        for each in tree.datasets:
            known = [one for one in each.snapshots if one.guid in have]
            keep = {one.guid for one in (*known[-1:], *each.snapshots[-1:])} | partial
            for one in each.snapshots:
                held = one.held or one.guid in since
                if one.guid in keep and not held:
                    await self.host.hold(_name(tree, each, one))
                    since.add(one.guid)
                if release and one.guid not in keep and held:
                    await self.host.release(_name(tree, each, one))
                    since.discard(one.guid)

    async def _thin(self, tree: Tree, offer: Offer, have: frozenset[int], partial: frozenset[int]) -> Tree:
        """Rounds that fail for days must not fill this pool. What is left."""
        gone = [
            _name(tree, each, one)
            for each in tree.datasets
            for one in retain.unsent(each, offer.rules, now=time.time(), have=have, partial=partial)
        ]
        for name in gone:
            await self.host.run("zfs", "destroy", name, check=False)
        return await self._again(tree) if gone else tree

    async def _landed(self, tree: Tree, guids: frozenset[int], name: str, offer: Offer) -> dict[str, Any]:
        """The standby has these: bookmark them, prune; behind the answer they are held, and others released."""
        for each in tree.datasets:
            known = [one for one in each.snapshots if one.guid in guids]
            if known and not any(one.guid == known[-1].guid for one in each.bookmarks):
                await self.host.bookmark(_name(tree, each, known[-1]))
        failed = await prune(self.host, tree, offer.rules, guids)
        self._listed.pop(name, None)
        self._to_hold.pop(name, None)
        self._landed_now[name] = tree, guids
        return {"ok": True, "problem": failed}

    async def _stream(self, tree: Tree, request: Mapping[str, Any]) -> list[str]:
        dataset = next((each for each in tree.datasets if each.path == request.get("dataset")), None)
        to = _snapshot(dataset, request.get("to"))
        since = request.get("base")
        base = dataset.with_guid(int(str(since))) if dataset is not None and _is_guid(since) else None
        if dataset is None or to is None or (since is not None and (base is None or base.txg >= to.txg)):
            raise FinalError("the source has no such snapshot any more", slug="zfs-no-snapshot")
        words = ["zfs", "send", *await self._options(dataset, request)]
        if base is not None:
            words += ["-i", f"{below(tree.root, dataset.path)}{'#' if base.bookmark else '@'}{base.name}"]
        return self.host.argv(*words, _name(tree, dataset, to))

    async def _options(self, dataset: Dataset, request: Mapping[str, Any]) -> list[str]:
        """Raw where it is encrypted: the standby needs no key. Else as it lies on the disk, where both can."""
        can = (await self.host.features()).send
        if dataset.encrypted:
            if "w" not in can or "w" not in str(request.get("can")):
                raise FinalError("an encrypted dataset needs raw sends at both sites", slug="zfs-refused")
            return ["-w"]
        letters = "".join(letter for letter in "Lec" if letter in can and letter in str(request.get("can")))
        return [f"-{letters}"] if letters else []

    async def _go_on(self, tree: Tree, request: Mapping[str, Any]) -> list[str]:
        """A token holds names: what it names has to be a snapshot of this set, by its guid."""
        token = request.get("token")
        if not names.good_token(token) or not (await self.host.features()).resume:
            raise _refused("its resume token is none")
        said = await self.host.run("zfs", "send", "-nvt", str(token), check=False)
        guid, name = token_target(said.stdout + said.stderr)
        known = {_name(tree, each, one): one.guid for each in tree.datasets for one in each.snapshots}
        if not said.ok or guid is None or known.get(name or "") != guid:
            raise FinalError("the source has no such snapshot any more", slug="zfs-no-snapshot")
        return self.host.argv("zfs", "send", "-t", str(token))

    async def _send(self, argv: Sequence[str], line: socket.socket, name: str, offer: Offer) -> None:
        """zfs writes into the socket itself. It ends when the standby does, or when it is cancelled."""
        if offer.bandwidth is not None:
            line.setsockopt(socket.SOL_SOCKET, _PACING, offer.bandwidth)
        line.setblocking(True)  # for the child; nothing here reads or writes it any more
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=line.fileno(),
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(SEND_SECONDS):
                assert child.stderr is not None
                said = (await child.stderr.read(65536)).decode("utf-8", "replace").strip()
                code = await child.wait()
        finally:
            if child.returncode is None:
                kill(child.pid)
                await child.wait()
        with contextlib.suppress(OSError):  # the standby may be gone already
            line.shutdown(socket.SHUT_WR)
        if code == 0:
            self.problem.pop(name, None)
        else:
            self.problem[name] = (said.splitlines() or [f"zfs send ended with {code}"])[-1][:300]


async def prune(
    host: Host, tree: Tree, rules: Sequence[Rule], bases: frozenset[int], keep: frozenset[int] = frozenset()
) -> str | None:
    """Remove what ``retain`` lets go, as soon as that is worth it; what failed, as the last message. Without the
    permission to destroy (a delegated source) nothing is removed, and that is said. keep: as ``retain`` has it."""
    gone = {
        below(tree.root, each.path): (
            [one.name for one in retain.removable(each, rules, now=time.time(), bases=bases, keep=keep)],
            [one.name for one in retain.stale_bookmarks(each, bases=bases)],
        )
        for each in tree.datasets
    }
    if sum(len(snapshots) + len(bookmarks) for snapshots, bookmarks in gone.values()) < PRUNE_AT:
        return None
    failed = None
    together = (await host.features()).many  # such a ZFS takes the names of several in one command
    for dataset, (snapshots, bookmarks) in gone.items():
        lists = [",".join(snapshots)] if together and snapshots else snapshots
        for name in (*(f"{dataset}@{one}" for one in lists), *(f"{dataset}#{one}" for one in bookmarks)):
            done = await host.run("zfs", "destroy", name, check=False)
            failed = failed if done.ok else done.why()
    return failed


def _slower(offer: Offer, wanted: object) -> Offer:
    """The standby knows the set's limit, too; it can only lower what is allowed here."""
    if not isinstance(wanted, int) or not 1024 <= wanted < 2**32:
        return offer
    return replace(offer, bandwidth=min(wanted, offer.bandwidth or wanted))


def _fresh(dataset: Dataset, have: frozenset[int]) -> bool:
    newest = dataset.newest
    return newest is None or newest.guid not in have or dataset.written is None or dataset.written > 0


def _base_held(dataset: Dataset, have: frozenset[int]) -> bool:
    known = [each for each in dataset.snapshots if each.guid in have]
    return bool(known) and known[-1].held > 0


def _name(tree: Tree, dataset: Dataset, snapshot: Snapshot) -> str:
    return f"{below(tree.root, dataset.path)}@{snapshot.name}"


def _snapshot(dataset: Dataset | None, guid: object) -> Snapshot | None:
    if dataset is None or not _is_guid(guid):
        return None
    return next((each for each in dataset.snapshots if each.guid == int(str(guid))), None)


def _is_guid(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20


def _guids(request: Mapping[str, Any], key: str) -> frozenset[int]:
    given = request.get(key)
    if not isinstance(given, list) or len(given) > MOST_GUIDS or not all(_is_guid(each) for each in given):
        raise _refused(f"its {key} are no guids")
    return frozenset(int(each) for each in given)


def _refused(why: str) -> FinalError:
    return FinalError(f"the request was refused: {why}", slug="zfs-refused")


def token_target(text: str) -> tuple[int | None, str | None]:
    """`zfs send -nvt TOKEN`: guid and full name of the snapshot."""
    return parse.token_guid(text), parse.token_name(text)


def to_json(tree: Tree) -> list[dict[str, Any]]:
    """The listing, as the standby needs it: no mount points, no tokens. Guids are texts: 64 bits."""
    return [
        {
            "path": each.path,
            "guid": str(each.guid),
            "encrypted": each.encrypted,
            "written": each.written,
            "snapshots": [asdict(one) | {"guid": str(one.guid)} for one in (*each.snapshots, *each.bookmarks)],
        }
        for each in tree.datasets
    ]
