"""``secondsite files list``, ``diff`` and ``restore``: the versions of a file set, from any machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, DryRun, Json, Yes, find_config

if TYPE_CHECKING:
    from secondsite.cli.keepers import Keepers
    from secondsite.events import Emit

At = Annotated[
    str | None,
    Parameter(name="--at", help='A moment ("2h ago", "yesterday 14:00", "2026-11-22 09:30") or the id of a version.'),
]
Site = Annotated[str | None, Parameter(name="--site", help="The site whose versions are meant; else both are asked.")]


async def list_(
    name: str,
    /,
    *,
    path: str | None = None,
    at: At = None,
    site: Site = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """List the versions of a file set, or how one file or folder was through time.

    The standby keeps versions where the file says ``versions`` for the set; the primary cannot reach them. Each holds
    the whole set as it was at a moment. Of a set that ZFS mirrors, the snapshots are its versions. Use ``--path`` to
    see when a file changed and when it disappeared. Run it anywhere.

    Example: ``secondsite files list uploads``, one file: ``secondsite files list uploads --path invoices/2026.pdf``

    Exit code 0: listed. 2: there is no such set, or no such moment. 3: no site answers, or none is as old as that.

    See also: files diff, files restore.

    Parameters
    ----------
    name
        The name of the file set, as in the file.
    path
        A path in the set, or an absolute one in its folder.
    """
    from secondsite.cli.live import interruptible
    from secondsite.cli.render import Renderer, emit_json
    from secondsite.cli.views.versions import list_lines

    keepers = _keepers(config, name, site)
    with Renderer() as emit, interruptible():
        told = await keepers.ask("versions-list", _without_none({"path": path, **when(at)}), emit)
    document = {
        "set": name,
        "path": next((one["path"] for one in told.values() if "path" in one), None),
        "folder": next(one["folder"] for one in told.values()),
        "versions": [{"site": where, **one} for where, document in told.items() for one in document["versions"]],
        "states": [{"site": where, **one} for where, document in told.items() for one in document.get("states", ())],
        "silent": keepers.silent,
    }
    if json:
        emit_json(document)
    else:
        print("\n".join(list_lines(document)))
    return 0


async def diff(
    name: str,
    /,
    *,
    from_: Annotated[str | None, Parameter(name="--from", help="The older moment, or a version's id.")] = None,
    to: Annotated[str, Parameter(name="--to", help='The newer moment, a version\'s id, or "now".')] = "now",
    path: str | None = None,
    site: Site = None,
    config: Config = None,
    json: Json = False,
) -> int:
    """Say what differs in a file set between two moments: what was added, removed and changed.

    Without options: between the newest version and the standby's folder now. After an attack, choose a moment before it
    for ``--from``: what was changed since is what it has touched. Content is told by size and time. Run it anywhere.

    Example: ``secondsite files diff uploads --from "yesterday 14:00"``

    Exit code 0: nothing differs. 1: something does. 2: there is no such set, or no such moment. 3: no site answers, or
    there is no such version.

    See also: files list, files restore.

    Parameters
    ----------
    name
        The name of the file set, as in the file.
    path
        Only this path, and what is below it.
    """
    from secondsite.cli.live import interruptible
    from secondsite.cli.render import Renderer, emit_json
    from secondsite.cli.views.versions import diff_lines

    keepers = _keepers(config, name, site)
    arguments = {"from": when(from_), "to": None if to == "now" else when(to), "path": path}
    with Renderer() as emit, interruptible():
        where, told = await keepers.ask_one("versions-diff", _without_none(arguments), emit)
    document = {"site": where, **told}
    if json:
        emit_json(document)
    else:
        print("\n".join(diff_lines(document)))
    return 1 if any(told["counts"].values()) else 0


async def restore(
    name: str,
    path: str | None = None,
    /,
    *,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    at: At = None,
    to: str | None = None,
    to_primary: Annotated[bool, Parameter(negative="")] = False,
    site: Site = None,
    config: Config = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Bring back a file, a folder or a whole set as it was at a moment.

    Without ``--to-primary`` it goes into a new folder at the site that keeps the versions, beside the set; nothing
    that is there is touched, and the folder is told. With it, the primary fetches the files from there into its own
    folder, while the application runs: each file that differs is moved aside first, to a folder beside the set that is
    told, and files that the version does not have stay. Modes, owners, times, ACLs, extended attributes, hard links
    and holes are as they were. Start with ``--dry-run``. Run it anywhere.

    Example: ``secondsite files restore uploads invoices --at "yesterday 14:00" --to-primary --dry-run``

    Exit code 0: restored. 1: restored but for files that are named. 2: there is no such set, path or moment. 3: nothing
    was restored. 4: broken off: what was replaced until then lies in the folder that is told.

    See also: files list, files diff.

    Parameters
    ----------
    name
        The name of the file set, as in the file.
    path
        A path in the set, or an absolute one in its folder.
    everything
        The whole set.
    at
        The moment, or a version's id; the newest version without it.
    to
        A folder at that site which does not exist yet, or is empty.
    to_primary
        Into the set's folder at the primary.
    """
    from secondsite.cli.live import interruptible
    from secondsite.cli.render import Renderer, confirm, emit_json
    from secondsite.cli.views.versions import restore_lines, restore_question
    from secondsite.errors import UsageError

    if (path is None) == (not everything):
        raise UsageError("name a path in the set, or --all", hint=f"secondsite files restore {name} PATH --at TIME")
    if to is not None and not to.startswith("/"):
        raise UsageError(f"{to} is no absolute path", hint="the folder lies on the host that keeps the versions")
    if to is not None and to_primary:
        raise UsageError("--to names a folder, and --to-primary another place", hint="leave one of them out")
    keepers = _keepers(config, name, site)
    wanted = _without_none({"path": path, **when(at)})
    with Renderer() as emit, interruptible():
        if not to_primary:
            order = _without_none({**wanted, "to": to, "dry_run": dry_run or None})
            where, told = await keepers.ask_one("versions-restore", order, emit)
            document = {
                "primary": None,
                "replaced": 0,
                "aside": None,
                "failed": None,
                "sample": [],
                "sample_replaced": [],
                "without_rights": 0,
                "blocked": None,
                **told,
                "site": where,
            }
        else:
            primary, blocked = await _primary(keepers, name)
            where, planned = await keepers.ask_one("versions-offer", {**wanted, "dry_run": True}, emit, but=primary)
            _elsewhere(where, primary, name)
            if not dry_run:
                confirm(restore_question(planned, where, primary), yes=yes)
            exactly = _without_none({"path": path, "id": planned["version"]["id"]})
            document = {**await _brought(keepers, where, primary, exactly, dry_run, emit), "blocked": blocked}
    if json:
        emit_json(document)
    else:
        print("\n".join(restore_lines(document)))
    return 1 if document["lost_count"] or document["failed"] else 0


async def _brought(
    keepers: Keepers, where: str, primary: str, wanted: Mapping[str, Any], dry_run: bool, emit: Emit
) -> dict[str, Any]:
    """Offered at one site, fetched by the other, and no longer offered, however it ends."""
    offered = await keepers.at(where, "versions-offer", _without_none(dict(wanted)), emit)
    try:
        order = _without_none({"offer": offered["offer"], "path": offered["path"], "dry_run": dry_run or None})
        fetched = await keepers.at(primary, "versions-fetch", order, emit)
    finally:
        await keepers.withdrawn(where, offered["offer"], emit)
    told = {key: fetched[key] for key in ("replaced", "aside", "failed", "sample", "dry_run", "files", "bytes")}
    told |= {key: fetched.get(key, default) for key, default in (("sample_replaced", []), ("without_rights", 0))}
    return {**offered, **told, "site": where, "primary": primary, "to": offered["folder"]}


def when(text: str | None) -> dict[str, Any]:
    """What ``--at`` means, for the host: {id} or {at} in unix seconds; nothing without it. Raises UsageError."""
    from secondsite.cli.moments import moment
    from secondsite.files.versions.place import ID

    if text is None:
        return {}
    if ID.fullmatch(text.strip()):
        return {"id": text.strip()}
    return {"at": moment(text, datetime.now().astimezone()).timestamp()}


def _keepers(config: Any, name: str, site: str | None) -> Keepers:
    from secondsite.cli.keepers import Keepers
    from secondsite.spec.load import load

    path = find_config(config)
    return Keepers(load(path).spec, path, name, site)


async def _primary(keepers: Keepers, name: str) -> tuple[str, str | None]:
    """The site that is primary now, and why the set's copy is blocked, if it is.

    Raises FinalError (``no-primary-answers``).
    """
    from secondsite.cli.sight import begin
    from secondsite.errors import FinalError

    seen = await asyncio.to_thread(begin(keepers.path))  # it has a loop of its own where it looks over SSH
    found = next((name for name, one in seen["sites"].items() if one["role"] == "primary" and one["reachable"]), None)
    if found is None:
        raise FinalError(
            "no primary answers, so nothing can be brought back to it",
            slug="no-primary-answers",
            step="restore files",
            hint="secondsite status; without --to-primary the files go into a new folder at the standby",
        )
    copy = next((one for one in seen["replicas"] if one["name"] == name and one["state"] == "blocked"), None)
    return str(found), copy and (copy["reason"] or "blocked")


def _elsewhere(where: str, primary: str, name: str) -> None:
    from secondsite.errors import FinalError

    if where == primary:
        raise FinalError(
            f"the versions lie at {where}, which is the primary itself: there is nothing to fetch",
            slug="versions-here",
            host=where,
            hint=f"secondsite files restore {name} PATH --at TIME, then copy from the folder that it names",
        )


def _without_none(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if value is not None}
