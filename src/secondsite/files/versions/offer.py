"""Let the other site fetch files of a version: they are restored into a folder that the read-only daemon offers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secondsite.errors import UsageError
from secondsite.events import Event
from secondsite.files.versions import look, place
from secondsite.files.versions.remove import remove_tree
from secondsite.files.versions.restore import restore
from secondsite.files.versions.version import Keeping

Say = Callable[[Event], None]
STALE_SECONDS = 86400.0  # whoever asked for it has gone


def offer(keeping: Keeping, folder: place.Folder, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """order as for ``restore``, without ``to``. Answers as it does, and {offer}: give that to the one who fetches."""
    if order.get("dry_run"):
        return restore(keeping, folder, {**order, "to": "/"}, say)
    offered = keeping.home() / place.OFFERED
    with contextlib.suppress(FileExistsError):
        offered.mkdir(mode=0o700)
    _forget(offered)
    number = place.new_id(time.time())
    to = offered / number
    version = look.picked(keeping.list(), folder.name, at=order.get("at"), id=order.get("id"))
    try:
        if keeping.lend(version, to):
            exactly = {"path": order.get("path"), "promotions": order["promotions"], "id": version.id}
            told = restore(keeping, folder, exactly | {"to": str(to), "dry_run": True}, say)
            return told | {"dry_run": False, "offer": number}
        return restore(keeping, folder, {**order, "to": str(to)}, say) | {"offer": number}
    except BaseException:
        keeping.take_back(to)
        _withdraw(offered, number)
        raise


def withdraw(keeping: Keeping, folder: place.Folder, order: Mapping[str, Any], _say: Say) -> dict[str, Any]:
    """order: {offer}. The files that were offered are removed; the version stays. Answers {set, offer}."""
    number = str(order["offer"])
    if not place.ID.fullmatch(number):
        raise UsageError(f"{number} is no offer", slug="no-such-argument")
    offered = place.home(folder) / place.OFFERED
    if not keeping.take_back(offered / number):
        _withdraw(offered, number)
    return {"set": folder.name, "offer": number}


def _forget(offered: Path) -> None:
    """What nobody has withdrawn."""
    for path in offered.iterdir():
        if place.ID.fullmatch(path.name) and time.time() - path.lstat().st_ctime > STALE_SECONDS:
            _withdraw(offered, path.name)


def _withdraw(offered: Path, number: str) -> None:
    with contextlib.suppress(FileNotFoundError), place.opened(offered) as folder:
        remove_tree(folder, number)
