"""The report of the last failover: from its journal, and from what was found at the old primary since."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondsite.spec import paths

if TYPE_CHECKING:
    from secondsite.cli.journals import Kept
    from secondsite.spec import Spec


def write_last(config: Path | None, elsewhere: Path) -> Path:
    """Write it, or write it again; the folder: with the others that are kept, or off the sites' hosts ``elsewhere``.

    Raises UsageError (``no-report``) where no failover is known here, OSError where the folder cannot be written.
    """
    from secondsite.cli.given_up import last_failover
    from secondsite.cli.journals import journals
    from secondsite.cli.options import find_config
    from secondsite.cli.this_host import site_here
    from secondsite.errors import UsageError
    from secondsite.spec.load import load

    loaded = load(find_config(config))
    here = site_here()
    failover = last_failover(journals(config).kept)
    if failover is None:
        where = f"at {here}" if here else "at any site that answers"
        hint = "it is journalled at the site that took over; run it there, or where both hosts are reached by SSH"
        raise UsageError(f"no failover is known {where}", slug="no-report", hint=hint)
    rows, files = _found(loaded.spec, failover, here)
    return _write(loaded.spec, loaded.sha256, failover, rows, files, (paths.REPORTS if here else elsewhere))


def _found(
    spec: Spec, failover: Kept, here: str | None
) -> tuple[Sequence[Mapping[str, Any]] | None, Sequence[Mapping[str, Any]] | None]:
    """Lists of rows and of files that the old primary alone had; None where nobody can look from here."""
    from secondsite.cli import lost, lost_files
    from secondsite.cli.given_up import left_by, of_failover
    from secondsite.errors import SecondsiteError

    left = left_by(failover, spec)
    if here not in (None, left.site):
        return None, None  # they lie at the other site

    async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = (lost.fetched(spec, flag, key) for flag, key in (
            (lost.FLAG, lost.KEY), (lost_files.FLAG, lost_files.KEY)))  # fmt: skip
        rows, files = await asyncio.gather(*found)
        return rows, files

    try:
        rows, files = (lost.found(None), lost_files.found(None)) if here else asyncio.run(both())
    except SecondsiteError:
        return None, None  # the report says that it is not known
    return of_failover(rows, left) or None, of_failover(files, left) or None  # none: it has not been read since


def _write(
    spec: Spec,
    config_sha256: str,
    failover: Kept,
    rows: Sequence[Mapping[str, Any]] | None,
    files: Sequence[Mapping[str, Any]] | None,
    below: Path,
) -> Path:
    from secondsite.cli.given_up import counted
    from secondsite.clock import SystemClock, to_text
    from secondsite.evidence.disaster import account
    from secondsite.evidence.write import write
    from secondsite.recovery.retold import failover_of

    entry = failover.entry
    found = counted(rows or (), files or (), None)
    found |= {} if rows is not None else {"transactions": None, "rows": None, "prepared": None}
    found |= {} if files is not None else {"files": None}
    names = [str(file["path"]) for one in files or () for file in one["files"]]
    document = account(
        spec=spec,
        config_sha256=config_sha256,
        procedure=failover_of(entry, spec),
        found=None if rows is None and files is None else found,
        lost_files=[name.encode("utf-8", "backslashreplace").decode() for name in names],
        created_at=to_text(SystemClock().now()),
    )
    evidence = {"journal.jsonl": b"".join(record.line() for record in entry.records)}
    if files is not None:
        evidence["lost-files.jsonl"] = b"".join(
            json.dumps({"site": one["site"], "set": one["set"], **file}).encode() + b"\n"
            for one in files for file in one["files"]
        )  # fmt: skip
    folder = below / entry.id
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # names of users' files
    write(document, folder, evidence)
    return folder
