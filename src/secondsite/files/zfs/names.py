"""The names that we give, and the names that we believe. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

TAG = "secondsite"  # of our holds
GONE = "secondsite:gone"  # user property at the standby: the source has no such dataset any more
LOOK = "secondsite:look"  # user property of a clone that is there to be looked into: its number
INCOMING = "-secondsite-incoming"  # a copy that is being made beside the one that is there
# UTC, because a local hour comes twice a year; and random digits, because a second is not unique.
_OURS = re.compile(r"secondsite-\d{8}T\d{6}Z-[0-9a-f]{8}")
_ASIDE = re.compile(r".+-secondsite-aside-\d{8}T\d{6}Z-[0-9a-f]{8}")
_LOOK = re.compile(r".+-secondsite-look-\d{8}T\d{6}Z-[0-9a-f]{8}")
_PART = re.compile(r"[A-Za-z0-9_.: -]{1,200}")  # zfs(8), a component of a name
_TOKEN = re.compile(r"1-[0-9a-f]{1,16}-[0-9a-f]{1,16}-[0-9a-f]{1,8192}")
LONGEST = 255  # zfs(8): of a whole name


def stamp(at: float, digits: str) -> str:
    """Like 20261122T163000Z-0123abcd. digits: eight random hexadecimal ones."""
    return f"{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{digits}"


def snapshot(at: float, digits: str) -> str:
    """The name of a snapshot of ours, without its dataset."""
    return f"secondsite-{stamp(at, digits)}"


def aside(root: str, at: float, digits: str) -> str:
    """Where a copy goes that is not the source's any more."""
    return f"{root}-secondsite-aside-{stamp(at, digits)}"


def incoming(root: str) -> str:
    """Where a copy is made before it takes the place of ``root``."""
    return f"{root}{INCOMING}"


def look(root: str, number: str) -> str:
    """The clone of a snapshot that is looked into, beside its tree. number: as ``stamp`` makes them."""
    return f"{root}-secondsite-look-{number}"


def is_look(dataset: str) -> bool:
    """Whether it is the name of such a clone, not of one below it."""
    return _LOOK.fullmatch(dataset) is not None


def number_of(snapshot: str) -> str | None:
    """What tells a snapshot of ours from the others; None where it is not ours."""
    return snapshot.removeprefix("secondsite-") if ours(snapshot) else None


def ours(name: str) -> bool:
    """Whether a snapshot or bookmark was made by us."""
    return _OURS.fullmatch(name) is not None


def beside(dataset: str) -> bool:
    """Whether a dataset is one that we made beside a set's own, or below such a one."""
    parts = dataset.split("/")
    return any(part.endswith(INCOMING) or _ASIDE.fullmatch(part) or _LOOK.fullmatch(part) for part in parts)


def good_part(name: object) -> bool:
    """Whether it can be the name of a snapshot, or one component of a dataset's."""
    return isinstance(name, str) and _PART.fullmatch(name) is not None and name not in (".", "..") and name[0] != "-"


def good_relative(name: object) -> bool:
    """Whether it can name a dataset below a root, or the root itself (an empty text)."""
    return name == "" or (
        isinstance(name, str) and len(name) <= LONGEST and all(good_part(part) for part in name.split("/"))
    )


def good_token(token: object) -> bool:
    """Whether it has the shape of a resume token."""
    return isinstance(token, str) and _TOKEN.fullmatch(token) is not None


def below(root: str, relative: str) -> str:
    """The full name of a dataset of a tree."""
    return f"{root}/{relative}" if relative else root
