"""Files that a failover has lost and the old primary still had: where they lie; read here, or fetched by SSH."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from secondsite.cli.lost import at_sites, new_file
from secondsite.cli.this_host import site_here
from secondsite.cli.wording import quantity
from secondsite.errors import UsageError
from secondsite.files import parting, store

FLAG, KEY = "--lost-files", "lost_files"
NOTHING_COMMON = "the two copies had no snapshot in common"
SHOWN = 20  # files of a set by name on a terminal; the document has all


def found(config: Path | None) -> list[dict[str, Any]]:
    """Every list, the oldest first: {site} and what ``parting.records`` tells.

    Raises UsageError where this host's may not be read, FinalError (``hosts-silent``) where a host does not answer.
    """
    here = site_here()
    if here is None:
        return at_sites(config, FLAG, KEY)
    if store.STORE.exists() and not os.access(store.STORE, os.R_OK | os.X_OK):
        raise UsageError(f"{store.STORE} may be read by root only", hint="run it with sudo")
    return [{"site": here, **one} for one in parting.records(store.STORE)]


def lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pure: what a person has to know to bring the files back."""
    if not any(one["count"] or one.get("perhaps") for one in records):
        why = [f"{one['site']}: every file of {one['set']} had reached the other site" for one in records]
        return why or ["no lost files are known: no former primary has been taken back, or its first pull still runs"]
    out = []
    for one in records:
        until = f"since {one['complete_until']}" if one["complete_until"] else "and no pull was ever complete"
        perhaps = one.get("perhaps", ())
        if one["count"] or not perhaps:
            out.append(f"{one['site']}: {told(one)} never reached the other site: written or changed {until}")
            out += _named(one["files"])
        if perhaps:
            because = f"a folder above was moved or changed {until}" if one["complete_until"] else NOTHING_COMMON
            out.append(f"{one['site']}: {_perhaps(one)} may never have reached it: {because}")
            out += _named(perhaps)
        if one["count"] or perhaps:
            out += [f"  kept at {one['site']} in {folder}" for folder in one["kept_in"]]
        if one["older"]:
            out.append(f"  beside them {one['older']} that were older, and are others or gone at the other site")
    return [*out, "", "nothing there is ever deleted or written over; copy back what you want to keep"]


def _named(files: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [
        f"  {file['changed_at'][:19]}Z  {quantity(file['bytes'], 'bytes'):>9}  {printable(file['path'])}"
        for file in files[:SHOWN]
    ]
    more = len(files) - SHOWN
    return found + [f"  and {more} more: secondsite report {FLAG} --output FILE   (one JSON document a line)"] * (
        more > 0
    )


def summary(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Pure: how many there are and the command that lists them, in one line; None where there are none."""
    places = [f"{told(one)} at {one['site']}" for one in records if one["count"]]
    places += [f"perhaps {_perhaps(one)} at {one['site']}" for one in records if one.get("perhaps")]
    return f"{', '.join(places)}: secondsite report {FLAG}" if places else None


def told(one: Mapping[str, Any]) -> str:
    """Pure: "3 files of uploads (1.2 MB)"."""
    files = "1 file" if one["count"] == 1 else f"{one['count']} files"
    return f"{files} of {one['set']} ({quantity(one['bytes'], 'bytes')})"


def _perhaps(one: Mapping[str, Any]) -> str:
    """Pure: the same, of those that may be lost."""
    files = one["perhaps"]
    return told({"set": one["set"], "count": len(files), "bytes": sum(int(each["bytes"]) for each in files)})


def printable(path: str) -> str:
    """Pure: a name that is no text is shown with escapes, never as what a terminal would obey."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def write(records: Sequence[Mapping[str, Any]], file: Path) -> int:
    """Write a line for every file to a new one that only its owner may read; how many. Raises UsageError where it is
    there."""
    lost = [
        {"site": one["site"], "set": one["set"], **entry, "certain": key == "files"}
        for one in records
        for key in ("files", "perhaps")
        for entry in one.get(key, ())
    ]
    return new_file(file, lost)
