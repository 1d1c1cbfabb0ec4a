"""``secondsite verify``: is the copy at the standby really what the primary has?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from secondsite.cli.options import Config, Json, find_config

if TYPE_CHECKING:
    from pathlib import Path

    from secondsite.events import Emit, Result
    from secondsite.spec import Spec

AGAIN = "secondsite verify"
_OWN_CODES = ("bug", "interrupted")  # they say how it ended and nothing about the sites
_ENDED_WITH_US = ("session-lost", "relay-lost", "agent-died", "agent-unheard")


async def run(
    *tables: str,
    only: Literal["database", "files"] | None = None,
    full: Annotated[bool, Parameter(negative="")] = False,
    seed: int | None = None,
    ranges: int = 64,
    files_set: Annotated[list[str] | None, Parameter(negative="")] = None,
    files_sample: int = 1000,
    complete: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """Compare the standby's copy with the primary: rows, indexes, files, and what the file asks.

    Lag says how far the copy is behind; verify says whether it is a copy. It compares checksums of ranges of primary
    keys, checks that the heartbeat goes on, runs pg_amcheck at the standby where the extension is, asks what
    [[database.verify]] names, and compares every file set: name, size, time, mode, owner, ACLs and extended attributes
    of all files; content, hard links and holes of a sample, or of all with --complete. It only reads, at low priority,
    and neither stops replay nor holds a snapshot open. What it finds is kept: status and readiness tell of a
    difference until verify finds it gone. Run it anywhere.

    Example: ``secondsite verify``, for a night: ``secondsite verify --full``, for a table:
    ``secondsite verify orders``, for a file set: ``secondsite verify --files-set uploads``

    Exit code 0: what was looked at is equal; what is busy all the while does not count, as long as something was found
    equal. 1: something is different, could not be looked at though it was asked for, or nothing was found equal. 2: the
    file or the command line is wrong, or there is no such table or set. 3: not begun, or broken off, and nothing was
    changed. Never 4: a verification only reads.

    See also: status, readiness, report.

    Parameters
    ----------
    tables
        Only these tables, as [DATABASE:][SCHEMA.]TABLE.
    only
        Only the database, or only the file sets.
    files_set
        Only this file set; may be given more than once. Without tables nothing else is looked at.
    full
        Every row of every table instead of a sample.
    seed
        Draw the same sample as a run that showed this number.
    ranges
        How many ranges of keys the sample has.
    files_sample
        How many files of each set are read.
    complete
        Read every byte of every file; --full does so, too.
    """
    from secondsite.cli.live import interruptible
    from secondsite.cli.render import Renderer, emit_json
    from secondsite.errors import UsageError
    from secondsite.spec.load import load

    if ranges < 1:
        raise UsageError("a sample has at least one range", hint="secondsite verify --ranges 64")
    if files_sample < 1:
        raise UsageError("a sample has at least one file", hint="secondsite verify --files-sample 1000")
    path = find_config(config)
    spec = load(path).spec
    if files_set:
        from secondsite.verification.run import Wanted, picked_sets

        picked_sets(spec.files, Wanted.read({"only": only, "files_sets": files_set}).files_sets)
    wanted = {"only": only, "full": full, "seed": seed, "ranges": ranges, "tables": list(tables)}
    wanted |= {"files_sample": files_sample, "complete": complete}
    wanted |= (
        {"files_sets": files_set} if files_set else {}
    )  # an older release at the other host knows no such argument
    at = await _where(path, spec)
    with Renderer() as emit, interruptible():
        result = await _carried_out(spec, wanted, at, emit)
    if json:
        emit_json(result.document)
    else:
        from secondsite.cli.views.verify import printed

        printed(result.document)
    return result.exit_code


async def _where(path: Path, spec: Spec) -> str:
    """This host where it is one of the two; else the standby of now, as far as it is known."""
    from secondsite.cli.sight import begin
    from secondsite.cli.this_host import site_here

    here = site_here()
    if here is not None:
        return here
    seen = await asyncio.to_thread(begin(path))
    return str(seen.get("standby") or spec.site_names[1])


async def _carried_out(spec: Spec, wanted: dict[str, Any], at: str, emit: Emit) -> Result:
    """A line that breaks ends the verification with it, unlike a procedure: there is nothing to be taken up.

    Nothing is ever half-way, whatever the errors on the way are called. Raises SecondsiteError."""
    from secondsite.cli.carry_out import carry_out
    from secondsite.cli.outcome import raise_error_of
    from secondsite.errors import Exit, RetryableError, SecondsiteError

    try:
        result = await carry_out(lambda: spec, "verify", wanted, at=at, emit=emit)
        raise_error_of(result)
    except SecondsiteError as broken:
        if broken.exit is not Exit.HALFWAY or broken.slug in _OWN_CODES:
            raise
        slug, told = broken.slug, f"the verification was broken off, and nothing was changed: {broken.message}"
        if slug in _ENDED_WITH_US:
            slug, told = (
                "verify-ended",
                f"the line to {at} broke, and the verification ended with it: nothing was changed",
            )
        raise RetryableError(told, slug=slug, host=broken.host or at, step="verify", hint=AGAIN) from broken
    return result
