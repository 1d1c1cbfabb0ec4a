"""Versions of a file set for a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from secondsite.cli.lost_files import printable
from secondsite.cli.wording import quantity

SHOWN = 40  # changes by name; the document has more
_MARKS = {"added": "+", "removed": "-", "changed": "~"}
Document = Mapping[str, Any]


def list_lines(document: Document) -> list[str]:
    """The versions, or the states of a path; the newest last, where the eye is."""
    silent = [f"nothing from {site}: {why}" for site, why in document["silent"].items()]
    if document["path"] is not None:
        return [*_states(document), *silent]
    if not document["versions"]:
        return [f"no versions of {document['set']} are kept yet", *silent]
    lines = [f"{'as of':<20} {'site':<10} {'files':>9} {'size':>10}  id"]
    for one in document["versions"]:
        size = quantity(one["bytes"], "bytes")
        entries = "-" if one["entries"] is None else f"{one['entries']:,}"
        lines.append(f"{local(one['as_of']):<20} {one['site']:<10} {entries:>9} {size:>10}  {one['id']}")
    look = f'secondsite files diff {document["set"]} --from "2h ago"'
    return [*lines, "", f"one file through time: --path PATH;  what has changed: {look}", *silent]


def _states(document: Document) -> list[str]:
    lines = [f"{printable(document['path']) or 'the set'} in {document['set']}:"]
    if not any(state["there"] for state in document["states"]):
        moments = sorted({one["as_of"] for one in document["versions"]})
        only = f"not in the version of {local(moments[0])}" if len(moments) == 1 else "in none of the versions"
        return [*lines, f"  {only}"]
    for state in document["states"]:
        until = "" if state["last_at"] == state["at"] else f" to {local(state['last_at'])}"
        if state["there"]:
            size = quantity(state["bytes"], "bytes") if state["kind"] == "file" else state["kind"]
            told = f"{size}, changed {local(state['modified_at'])}, {state['mode']} {state['owner']}"
        else:
            told = "not there"
        lines.append(f"  {local(state['at'])}{until}  {told}  ({state['site']}, {state['last_version']})")
    return lines


def diff_lines(document: Document) -> list[str]:
    """What differs, each path with a mark."""
    until = local(document["to"]["as_of"]) if document["to"] else "now"
    lines = [f"{document['set']} at {document['site']}, {local(document['from']['as_of'])} to {until}:"]
    for one in document["changes"][:SHOWN]:
        parts = f"  ({', '.join(one['what'])})" if one["what"] else ""
        lines.append(f"  {_MARKS[one['change']]} {printable(one['path']) or '.'}{parts}")
    counts = document["counts"]
    more = sum(counts.values()) - min(len(document["changes"]), SHOWN)
    lines += [f"  and {more:,} more"] * (more > 0)
    return [*lines, f"{counts['added']:,} added, {counts['removed']:,} removed, {counts['changed']:,} changed"]


def restore_question(planned: Document, where: str, primary: str) -> str:
    """Asked before anything is written at the primary."""
    what = printable(planned["path"]) or f"all of {planned['set']}"
    size = f"{files(planned['files'])} ({quantity(planned['bytes'], 'bytes')})"
    return (
        f"{what} as of {local(planned['version']['as_of'])}: {size} of {where}'s version go to {planned['folder']} at "
        f"{primary}. What differs there is moved aside, nothing else is touched. Do it?"
    )


def restore_lines(document: Document) -> list[str]:
    """What was restored, where, and how to undo it."""
    size, will = quantity(document["bytes"], "bytes"), " would be" if document["dry_run"] else ""
    as_of = local(document["version"]["as_of"])
    at = document["primary"] or document["site"]
    what = f"{files(document['files'])} ({size}) of {document['set']} as of {as_of}"
    lines = [f"{what}{will} restored: {at}:{document['to']}"]
    if document["dry_run"]:
        lines += _planned(document)
    if document["aside"]:
        lines += [
            f"replaced: {files(document['replaced'])}, now at {at} in {document['aside']}",
            f"to put that back, there: rsync -aHAX {document['aside']}/ {document['to']}/",
        ]
    elif document["primary"] is None and not document["dry_run"]:
        lines.append("nothing that was there was touched; to undo it, remove that folder")
    if document.get("without_rights"):
        before = f"; as they were they lie in {document['aside']}" if document["aside"] else ""
        lines.append(f"no version has set-id bits: {files(document['without_rights'])} came back without{before}")
    if document["failed"]:
        lines.append(f"not everything: {document['failed']}")
    if document["lost_count"]:
        lines.append(f"written into since, and not restored: {files(document['lost_count'])}")
        lines += [f"  {printable(path)}" for path in document["lost"]]
    if document.get("blocked") and not document["dry_run"]:
        lines += [
            f"{document['set']} was blocked before this: {document['blocked']}",
            f"look at {at}; once it is as it should be, and status still says blocked, the copy follows after: "
            f"secondsite files allow-deletions {document['set']}",
        ]
    return lines


def _planned(document: Document) -> list[str]:
    """What a dry run shows: each path with a mark, and how many there are of either kind."""
    if document["primary"] is None:
        return [f"  {printable(path)}" for path in document["sample"][:SHOWN]]
    instead = set(document.get("sample_replaced", ()))
    shown = document["sample"][:SHOWN]
    lines = [f"  {_MARKS['changed' if path in instead else 'added']} {printable(path)}" for path in shown]
    more = max(0, document["files"] - sum(not path.endswith("/") and " -> " not in path for path in shown))
    lines += [f"  and {files(more)} more"] * (more > 0)
    new = document["files"] - document["replaced"]
    return [*lines, f"{files(document['replaced'])} would be replaced (~), {files(new)} are not there (+)"]


def files(count: int) -> str:
    """One file, or many: "1 file", "1,200 files"."""
    return "1 file" if count == 1 else f"{count:,} files"


def local(text: str) -> str:
    """A moment in this machine's time."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M:%S")
