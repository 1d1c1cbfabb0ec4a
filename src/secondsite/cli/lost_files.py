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
    if not any(one["count"] for one in records):
        why = [f"{one['site']}: every file of {one['set']} had reached the other site" for one in records]
        return why or ["no lost files are known: no former primary has been taken back, or its first pull still runs"]
    out = []
    for one in records:
        until = f"since {one['complete_until']}" if one["complete_until"] else "and no pull was ever complete"
        out.append(f"{one['site']}: {told(one)} never reached the other site: written or changed {until}")
        for file in one["files"][:SHOWN]:
            out.append(
                f"  {file['changed_at'][:19]}Z  {quantity(file['bytes'], 'bytes'):>9}  {printable(file['path'])}"
            )
        more = one["count"] - SHOWN
        out += [f"  and {more} more: secondsite report {FLAG} --output FILE   (one JSON document a line)"] * (more > 0)
        out += [f"  kept at {one['site']} in {folder}" for folder in one["kept_in"] if one["count"]]
        if one["older"]:
            out.append(
                f"  beside them {one['older']} that had arrived, and were changed or deleted at the other site since"
            )
    return [*out, "", "nothing there is ever deleted or written over; copy back what you want to keep"]


def summary(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Pure: how many there are and the command that lists them, in one line; None where there are none."""
    some = [one for one in records if one["count"]]
    if not some:
        return None
    places = ", ".join(f"{told(one)} at {one['site']}" for one in some)
    return f"{places}: secondsite report {FLAG}"


def told(one: Mapping[str, Any]) -> str:
    """Pure: "3 files of uploads (1.2 MB)"."""
    files = "1 file" if one["count"] == 1 else f"{one['count']} files"
    return f"{files} of {one['set']} ({quantity(one['bytes'], 'bytes')})"


def printable(path: str) -> str:
    """Pure: a name that is no text is shown with escapes, never as what a terminal would obey."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def write(records: Sequence[Mapping[str, Any]], file: Path) -> int:
    """Write a line for every file to a new one that only its owner may read; how many. Raises UsageError where it is
    there."""
    lost = [{"site": one["site"], "set": one["set"], **entry} for one in records for entry in one["files"]]
    return new_file(file, lost)
