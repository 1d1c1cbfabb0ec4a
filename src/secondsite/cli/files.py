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


@app.command(name="bandwidth")
async def bandwidth(name: str, rate: str | None = None, /, *, config: Config = None, json: Json = False) -> int:
    """Change how fast a file set may come to the standby, now and until it is changed again; or say how fast it may.

    The limit holds from the next second on, for what is under way too: a first copy, a pull, changes that are followed.
    It stays over a restart of the agent, and ``file`` puts back what the file says. Nothing that was copied is copied
    again: rsync is ended, keeps what it has of a large file, and goes on at the new rate. A ZFS set takes it with its
    next send, and not above what the file allows: there the source slows down, by its own file.

    Example: ``secondsite files bandwidth uploads 2MB/s``

    Exit code 0: done. 2: there is no such set, or that is no rate. 3: no standby is known that could
    be asked.

    See also: status, verify.

    Parameters
    ----------
    name
        The name of the file set, as in the file.
    rate
        Like 5MB/s or 512KiB/s; unlimited; or file, for what the file says. Without it nothing is changed.
    """
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.cli.render import Renderer, emit_json
    from secondsite.cli.sight import begin
    from secondsite.files.bandwidth import FILE, read
    from secondsite.spec.load import load

    path = find_config(config)
    spec = load(path).spec
    if rate not in (None, FILE):
        read(str(rate))  # a slip is told before anybody is asked
    site = _puller(await asyncio.to_thread(begin(path)), name)
    with Renderer() as emit:
        result = await carry_out(lambda: spec, "bandwidth", {"set": name, "rate": rate}, at=site, emit=emit)
    raise_error_of(result)
    if json:
        emit_json(result.document)
    else:
        print(_limit(result.document))
    return 0


@app.command(name="watch", show=False)
def watch() -> int:
    """Watch this host's file sets, and tell the peer what changed, until stopped. Started by systemd."""
    from secondsite.files.watch.program import main

    return main()


def _limit(told: Mapping[str, Any]) -> str:
    """Pure: a line for a person."""
    from secondsite.spec.quantities import size_text

    now, in_file = told["bytes_per_second"], told["in_file"]
    limit = "without a limit" if now is None else f"at {size_text(now)}/s at most"
    if told["set_by"] == "file":
        return f"{told['set']} comes to {told['site']} {limit}, as the file says"
    written = "no limit" if in_file is None else f"{size_text(in_file)}/s"
    return (
        f"{told['set']} comes to {told['site']} {limit} (the file says {written}: "
        f"secondsite files bandwidth {told['set']} file)"
    )


def _puller(status: Mapping[str, Any], name: str) -> str:
    """Pure: the site that the set comes to. Raises UsageError, FinalError."""
    from secondsite.errors import FinalError

    site = _replica(status, name).get("site")
    if site is None:
        raise FinalError(
            f"it is not known which site {name} comes to", slug="primary-unknown", hint="secondsite status says why"
        )
    return str(site)


def _replica(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Pure. Raises UsageError."""
    from secondsite.errors import UsageError

    sets: dict[str, Mapping[str, Any]] = {one["name"]: one for one in status["replicas"] if one["kind"] == "files"}
    if name not in sets:
        known = ", ".join(sets) or "none"
        raise UsageError(f"there is no file set {name} (sets: {known})", slug="no-such-set", hint="secondsite status")
    return sets[name]


def _blocked(status: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Pure: the site whose copy waits for a person, and why. Raises UsageError, FinalError."""
    from secondsite.errors import FinalError

    replica = _replica(status, name)
    if not replica.get("held_back"):
        raise FinalError(
            f"no safety rule has stopped a pull of {name}: it is {replica['state']}",
            slug="nothing-held-back",
            host=replica["site"],
            hint="secondsite status says how the file set is",
        )
    return str(replica["site"]), str(replica["reason"])
