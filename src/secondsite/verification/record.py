"""What was found last, check by check, kept at the site that was verified until the same check finds otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondsite.database.verify.model import Outcome, Range
from secondsite.objectives.snapshot import FailedCheck, Verified
from secondsite.spec import paths
from secondsite.verification.check import Check

Kept = Mapping[str, Any]
FILES_NAMED = 20  # paths that evidence names at most


def load(path: Path = paths.VERIFIED) -> Kept | None:
    """The record; None where nothing sound is there."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) and isinstance(kept.get("checks"), dict) else None


def save(kept: Kept, path: Path = paths.VERIFIED) -> None:
    """Whole or not at all, for root only: keys of rows may stand in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(kept, default=str))
    draft.replace(path)


def joined(kept: Kept | None, checks: Sequence[Check], at: float, *, everything: bool) -> dict[str, Any]:
    """Pure. A difference stays until its own check has ended with equal: neither a run that left it out nor one that
    could not look makes it good. everything: tables that are not among the checks any more are forgotten."""
    old = dict(kept["checks"]) if kept else {}
    if everything:
        names = {check.name for check in checks}
        kinds = {check.kind for check in checks}
        old = {name: told for name, told in old.items() if name in names or told["kind"] not in kinds}
    for check in checks:
        was = old.get(check.name)
        stays = was is not None and was["outcome"] == Outcome.DIFFERENT
        if not (stays and check.outcome in (Outcome.BUSY, Outcome.UNKNOWN)):
            old[check.name] = {"at": at, **check.document()}
    return {"at": at, "checks": old}


def verified(kept: Kept | None) -> Verified | None:
    """What readiness needs of it; None where nothing was verified yet."""
    if kept is None:
        return None
    failed = tuple(
        FailedCheck(name, told["kind"], float(told["at"]), str(told["message"]), str(told.get("hint") or ""))
        for name, told in sorted(kept["checks"].items())
        if told["outcome"] == Outcome.DIFFERENT
    )
    looked = (Outcome.EQUAL, Outcome.DIFFERENT)
    seen = sum(told["at"] == kept["at"] and told["outcome"] in looked for told in kept["checks"].values())
    return Verified(float(kept["at"]), len(kept["checks"]), failed, seen)


def suspects(kept: Kept | None) -> dict[str, tuple[Range, ...]]:
    """The ranges that were not equal, by table: a sample that happens to leave them out would prove nothing."""
    found: dict[str, tuple[Range, ...]] = {}
    for name, told in kept["checks"].items() if kept else ():
        if told["kind"] == "table" and told["outcome"] == Outcome.DIFFERENT:
            parts = [one for one in told["evidence"].get("looked_at", ()) if one["outcome"] == Outcome.DIFFERENT]
            found[name.removeprefix("table ")] = tuple(
                Range(*(None if one[end] is None else tuple(one[end]) for end in ("low", "high"))) for one in parts
            )
    return found


def suspect_files(kept: Kept | None) -> dict[str, tuple[str, ...] | None]:
    """By set that was found different: the paths a sample must not leave out; None where not all of them are known, so
    that everything has to be read."""
    found: dict[str, tuple[str, ...] | None] = {}
    for name, told in kept["checks"].items() if kept else ():
        if told["kind"] == "files" and told["outcome"] == Outcome.DIFFERENT:
            evidence = told["evidence"]
            lists = [evidence.get(key, ()) for key in ("wrong", "links", "filled")]
            whole = max(map(len, lists)) < FILES_NAMED and int(evidence.get("differing", 0)) < FILES_NAMED
            paths = tuple(path for part in lists for path in part)
            found[name.removeprefix("files ")] = paths if whole else None
    return found
