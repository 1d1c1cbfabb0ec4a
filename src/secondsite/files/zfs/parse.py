"""Read what zfs(8) and zpool(8) print. Pure. Only tab-separated output for programs (-H, -p) is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from secondsite.files.zfs.model import Dataset, Features, Snapshot, Tree

# What the oldest pool version of use knows (zfs-fuse, 23), and what OpenZFS knows besides.
PLAIN = ("type", "guid", "createtxg", "creation", "userrefs", "mounted", "mountpoint", "readonly", "canmount", "origin")
FULL = (*PLAIN, "written", "encryption", "receive_resume_token")
_USAGE = re.compile(r"\b(?:send|receive|snapshot)\s+\[-([A-Za-z]+)\]")
_EXCLUDE = re.compile(r"-o <?property.*-x <?property", re.DOTALL)
_TOKEN_NAME = re.compile(r"^\s*toname = (\S.*?)\s*$", re.MULTILINE)
_TOKEN_GUID = re.compile(r"^\s*toguid = (0x[0-9a-f]+|\d+)\s*$", re.MULTILINE)


def table(text: str) -> dict[str, dict[str, str]]:
    """`zfs get -Hp -o name,property,value,source`: by name, in the order in which they come. What is temporary is left
    out: it tells how the dataset is mounted where the program runs, and in a unit whose view of the disk is read-only
    each is (zfsprops(7), Temporary Mount Point Properties; systemd.exec(5), ProtectSystem)."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("\t")
        key, tab, rest = rest.partition("\t")
        value, _, source = rest.rpartition("\t")
        if tab and source != "temporary":
            found.setdefault(name, {})[key] = value
    return found


def tree(root: str, rows: Mapping[str, Mapping[str, str]], gone: str) -> Tree:
    """The file systems of a recursive listing of ``root``. gone: the name of the property that marks one."""
    snapshots: dict[str, list[Snapshot]] = {}
    found: list[tuple[str, Mapping[str, str]]] = []
    for name, row in rows.items():
        if "@" in name or "#" in name:
            mark = "@" if "@" in name else "#"
            owner, _, short = name.partition(mark)
            snapshots.setdefault(owner, []).append(_snapshot(short, row, bookmark=mark == "#"))
        elif row.get("type") == "filesystem" and (name == root or name.startswith(f"{root}/")):
            found.append((name, row))
    datasets = [_dataset(name[len(root) + 1 :], row, snapshots.get(name, ()), gone) for name, row in found]
    return Tree(root, tuple(sorted(datasets, key=lambda each: each.path.split("/") if each.path else [])))


def _snapshot(name: str, row: Mapping[str, str], *, bookmark: bool) -> Snapshot:
    return Snapshot(
        name,
        guid=number(row.get("guid")) or 0,
        txg=number(row.get("createtxg")) or 0,
        created=number(row.get("creation")) or 0,
        held=number(row.get("userrefs")) or 0,
        written=number(row.get("written")),
        bookmark=bookmark,
    )


def _dataset(path: str, row: Mapping[str, str], taken: Iterable[Snapshot], gone: str) -> Dataset:
    inorder = sorted(taken, key=lambda each: each.txg)
    return Dataset(
        path,
        guid=number(row.get("guid")) or 0,
        snapshots=tuple(each for each in inorder if not each.bookmark),
        bookmarks=tuple(each for each in inorder if each.bookmark),
        written=number(row.get("written")),
        mounted=row.get("mounted") == "yes",
        mountpoint=row.get("mountpoint", ""),
        readonly=row.get("readonly") == "on",
        canmount=row.get("canmount", "on"),
        encrypted=row.get("encryption", "off") not in ("off", "-", ""),
        token=_given(row.get("receive_resume_token")),
        origin=_given(row.get("origin")),
        gone=_given(row.get(gone)) is not None,
    )


def _given(value: str | None) -> str | None:
    return None if value in (None, "", "-") else value


def number(value: str | None) -> int | None:
    """A whole number as it is printed with -p; None for anything else."""
    return int(value) if value is not None and value.isascii() and value.isdecimal() else None


def features(send: str, receive: str, snapshot: str, bookmark: str, sync: str) -> Features:
    """What the usage texts of this host's programs name. Asking is the only way: there is no list of features."""
    taken, given = _USAGE.search(receive), _USAGE.search(send)
    can = taken[1] if taken else ""
    return Features(
        send="".join(letter for letter in "Lecw" if given is not None and letter in given[1]),
        resume="s" in can,
        exclude=_EXCLUDE.search(receive) is not None,
        bookmarks="unrecognized command" not in bookmark,
        many="> ..." in snapshot or ">..." in snapshot,
        sync="unrecognized command" not in sync,
    )


def token_guid(text: str) -> int | None:
    """`zfs send -nvt TOKEN`: the guid of the snapshot that it goes on with."""
    found = _TOKEN_GUID.search(text)
    return int(found[1], 0) if found else None


def token_name(text: str) -> str | None:
    """The same: the full name of that snapshot."""
    found = _TOKEN_NAME.search(text)
    return found[1] if found else None


def mountpoints(text: str) -> Sequence[tuple[str, str, bool]]:
    """`zfs list -H -o name,mountpoint,mounted`: (name, mount point, whether it is mounted)."""
    rows = (line.split("\t") for line in text.splitlines())
    return [(row[0], row[1], row[2] == "yes") for row in rows if len(row) == 3]


def with_token(dataset: Dataset, guid: int | None) -> Dataset:
    """The dataset with what its token says."""
    return replace(dataset, token_guid=guid)
