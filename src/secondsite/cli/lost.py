"""Work that was lost in a failover and found again on the old primary: read here, or fetched from both hosts by SSH."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondsite.cli.this_host import site_here
from secondsite.errors import FinalError, SecondsiteError, UsageError
from secondsite.spec import Spec, paths

FETCH_SECONDS = 600.0
STEP = "fetch the lost work"
FLAG, KEY = "--lost-rows", "lost"


def found(config: Path | None) -> list[dict[str, Any]]:
    """Every record, the oldest first: {site, generation, written_at, commits, rows, first_at, last_at, folder,
    transactions, prepared, complete, lost_rows}. complete: False where the old WAL was damaged; absent in older ones.

    Raises UsageError where this host's may not be read, FinalError (``hosts-silent``) where no host answers.
    """
    if site_here() is not None:
        if paths.LOST.parent.exists() and not os.access(paths.LOST.parent, os.R_OK | os.X_OK):
            raise UsageError(f"{paths.LOST} may be read by root only", hint="run it with sudo")
        return list(kept_here(paths.LOST, site_here() or ""))
    return at_sites(config, FLAG, KEY)


def kept_here(folder: Path, site: str) -> Iterator[dict[str, Any]]:
    """The records below ``folder``; one that is being written yet has no summary and is passed over."""
    for summary in sorted(folder.glob("*/lost.json")):
        rows = [json.loads(row) for row in summary.with_name("rows.jsonl").read_text().splitlines()]
        yield {"site": site, "folder": str(summary.parent), **json.loads(summary.read_text()), "lost_rows": rows}


def lines(records: Sequence[Mapping[str, Any]], files: str | None = None) -> list[str]:
    """Pure: what a person has to know to enter the work again. files: what is known of lost files, in a line."""
    more = [f"files were lost, too: {files}"] if files else []
    records = [one for one in records if one["commits"] or one.get("prepared") or not one.get("complete", True)]
    if not records:
        return [
            "no lost rows are known: none were lost, or no former primary has been taken back yet, or one was copied",
            "anew unread: then what it had lies in a folder .aside-* beside its data folder",
            *more,
        ]
    out = []
    for one in records:
        span = f" from {one['first_at']} to {one['last_at']}" if one["commits"] else ""
        least = "" if one.get("complete", True) else "at least "  # the WAL is damaged, and was not read to its end
        out.append(
            f"{one['site']}, generation {one['generation']}: {least}{one['commits']} transactions{span} never reached"
            " the other site"
        )
        out += [f"  prepared {one['at']} and never committed: {one['gid']!r}" for one in one.get("prepared", ())]
        tables = Counter(f"{row['database']}.{row['schema']}.{row['table']}" for row in one["lost_rows"])
        out += [f"  {count:>8} rows in {table}" for table, count in sorted(tables.items())]
        out += [] if tables else ["  no row was left of them (heartbeats of our own, and what was deleted again)"]
        out.append(f"  kept at {one['site']} in {one['folder']}")
    return [
        *out,
        "",
        "the rows themselves: secondsite report --lost-rows --output FILE   (one JSON document a line)",
        *more,
    ]


def write(records: Sequence[Mapping[str, Any]], file: Path) -> int:
    """Write every row to a new file that only its owner may read; how many. Raises UsageError where it exists."""
    return new_file(file, ({"site": one["site"], **row} for one in records for row in one["lost_rows"]))


def new_file(file: Path, documents: Iterable[Mapping[str, Any]]) -> int:
    """Write one document a line to a new file that only its owner may read; how many. Raises UsageError where it is
    there."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as there:
        raise UsageError(f"{file} is there already", hint="name a file that does not exist yet") from there
    count = 0
    with os.fdopen(handle, "w") as out:
        for document in documents:
            line = json.dumps(document, ensure_ascii=False) + "\n"
            out.write(
                line.encode("utf-8", "backslashreplace").decode()
            )  # a file's name may be no text; JSON escapes it
            count += 1
    return count


def at_sites(config: Path | None, flag: str, key: str) -> list[dict[str, Any]]:
    """What both sites' hosts answer to ``report FLAG --json``, under ``key`` of the document."""
    from secondsite.cli.options import find_config
    from secondsite.spec.load import load

    return asyncio.run(fetched(load(find_config(config)).spec, flag, key))


async def fetched(spec: Spec, flag: str, key: str) -> list[dict[str, Any]]:
    """The same, of a file that was read. Raises SecondsiteError where a site does not answer."""
    from secondsite.remote.host import reach
    from secondsite.remote.target import target_of

    async def one(site: str) -> list[dict[str, Any]] | SecondsiteError:
        try:
            async with reach(target_of(spec, site)) as host:
                done = await host.run(
                    f"exec {shlex.quote(str(paths.COMMAND))} report {flag} --json", timeout=FETCH_SECONDS, step=STEP
                )
            return list(json.loads(done.stdout)[key])
        except SecondsiteError as silent:
            return silent
        except (ValueError, KeyError) as strange:
            return FinalError(
                f"no answer that can be read: {strange}", slug="no-answer-from-host", host=site, step=STEP
            )

    answers = await asyncio.gather(*map(one, spec.site_names))
    silent = [answer for answer in answers if isinstance(answer, SecondsiteError)]
    if silent:  # half an answer would look like all that was lost
        raise silent[0]
    records = [record for answer in answers if not isinstance(answer, SecondsiteError) for record in answer]
    return sorted(records, key=lambda record: str(record["written_at"]))
