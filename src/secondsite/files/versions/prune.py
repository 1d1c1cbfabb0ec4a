"""One round of keeping versions: make one where something has changed, then remove what no rule wants any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from secondsite.events import Event, Progress
from secondsite.files.versions.place import Folder
from secondsite.files.versions.retention import kept
from secondsite.files.versions.version import Keeping, Report
from secondsite.spec.retention import parse

Say = Callable[[Event], None]


def keep(keeping: Keeping, folder: Folder, order: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """order: {rules, made_at, complete_at, promotions}. Answers {made, count, removed, newest_at}.

    Raises FinalError, OSError where none could be made; nothing is removed then.
    """
    report = reporter(folder.name, say)
    made = keeping.make(
        made_at=order["made_at"], complete_at=order["complete_at"], promotions=order["promotions"], report=report
    )
    versions = keeping.list()
    stay = kept(parse(order["rules"]), [version.mark for version in versions])
    removed = [version.id for version in versions if version.number not in stay and keeping.remove(version, report)]
    return {
        "made": made.id if made else None,
        "count": len(versions) - len(removed),
        "removed": removed,
        "newest_at": versions[-1].as_of if versions else None,
    }


def reporter(name: str, say: Say) -> Report:
    """Tells how far it is as events."""
    return lambda what, done, total: say(Progress(f"{what} of {name}", done, total, "files"))
