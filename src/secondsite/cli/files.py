"""``secondsite files``: what a person decides about the file sets, and what was in them before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from cyclopts import App

from secondsite.cli.options import Config, Json, Yes, find_config

HELP = "Look into the past of the file sets, bring files back, and decide what only a person can decide."
app = App(name="files", help=HELP)
# Loaded when called; the order is that of the help.
app.command("secondsite.cli.versions:list_", name="list", help="List versions, or how one path was through time.")
app.command("secondsite.cli.versions:diff", name="diff", help="Say what differs between two moments.")
app.command("secondsite.cli.versions:restore", name="restore", help="Bring back a file, a folder or a whole set.")


@app.command(name="allow-deletions")
async def allow_deletions(name: str, /, *, config: Config = None, json: Json = False, yes: Yes = False) -> int:
    """Let the next pull of a file set do what a safety rule has held back, once: deletions, or many changes.

    When more files are gone at the source than ``max_delete`` allows, nothing is deleted at the standby and the set is
    blocked. When more than ``max_change`` of them are rewritten, renamed or deleted within an hour, nothing is brought
    any more. It may be a mistake, or an attack: look at the source first. What the copy holds now is replaced then; its
    versions stay. If still more is gone when the next pull comes, it is blocked again. Run it anywhere: it reaches
    the standby as the other commands do.

    Example: ``secondsite files allow-deletions uploads``

    Exit code 0: allowed. 2: there is no such set. 3: no rule has stopped anything, or the answer was no.

    See also: status, readiness.

    Parameters
    ----------
    name
        The name of the file set, as in the file.
    """
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.cli.render import Renderer, confirm, emit_json
    from secondsite.cli.sight import begin
    from secondsite.spec.load import load

    path = find_config(config)
    spec = load(path).spec
    seen = await asyncio.to_thread(begin(path))  # it has a loop of its own where it looks over SSH
    site, told = _blocked(seen, name)
    confirm(f"{name} at {site}: {told}. Let the next pull do it there, once?", yes=yes)
    with Renderer() as emit:
        result = await carry_out(lambda: spec, "allow-deletions", {"set": name}, at=site, emit=emit)
    raise_error_of(result)
    if json:
        emit_json(result.document)
    else:
        count = result.document["allowed"]
        print(
            f"the next pull of {name} at {site} may do what was held back ({count} deletions or changes); "
            "see: secondsite status"
        )
    return 0


@app.command(name="watch", show=False)
def watch() -> int:
    """Watch this host's file sets, and tell the peer what changed, until stopped. Started by systemd."""
    from secondsite.files.watch.program import main

    return main()


def _blocked(status: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Pure: the site whose copy waits for a person, and why. Raises UsageError, FinalError."""
    from secondsite.errors import FinalError, UsageError

    sets = {replica["name"]: replica for replica in status["replicas"] if replica["kind"] == "files"}
    if name not in sets:
        known = ", ".join(sets) or "none"
        raise UsageError(f"there is no file set {name} (sets: {known})", slug="no-such-set", hint="secondsite status")
    replica = sets[name]
    if not replica.get("held_back"):
        raise FinalError(
            f"no safety rule has stopped a pull of {name}: it is {replica['state']}",
            slug="nothing-held-back",
            host=replica["site"],
            hint="secondsite status says how the file set is",
        )
    return str(replica["site"]), str(replica["reason"])
