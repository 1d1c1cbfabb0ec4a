"""Where journals are: in this host's own folder, or on both sites' hosts, fetched from there by SSH."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from secondsite.cli.options import find_config
from secondsite.cli.this_host import site_here
from secondsite.errors import FinalError, SecondsiteError, UsageError
from secondsite.recovery.engine import Outcome, position
from secondsite.recovery.history import Entry, entries
from secondsite.recovery.journal import read
from secondsite.spec import Spec, paths


@dataclass(frozen=True, slots=True)
class Kept:
    """A journal, and where it is kept. site: None where that is this host."""

    entry: Entry
    site: str | None = None

    @property
    def path(self) -> Path:
        """Where it stands on its host."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class Journals:
    """What was found, the oldest first. sites: who was asked (None is this host); silent: who did not answer, why."""

    kept: tuple[Kept, ...]
    sites: tuple[str | None, ...] = (None,)
    silent: dict[str, str] = field(default_factory=dict)


def journals(config: Path | None) -> Journals:
    """Every journal that belongs to the service, as far as it can be reached from here.

    Raises UsageError where this host's may not be read, or where this is no site's host and no file says where the
    sites are; the SSH error where neither site answers.
    """
    if site_here() is not None or paths.JOURNAL.is_dir():
        if paths.JOURNAL.exists() and not os.access(paths.JOURNAL, os.R_OK | os.X_OK):
            raise UsageError(f"{paths.JOURNAL} may be read by root only", hint="run it with sudo")
        return Journals(tuple(Kept(entry) for entry in entries(paths.JOURNAL)))
    from secondsite.spec.load import load

    return asyncio.run(of_sites(load(find_config(config)).spec))


def came_home(kept: Sequence[Kept]) -> Entry | None:
    """Pure: the completed switchover that was the last thing done, where it was: then there is nothing to come home
    from. None after a failover, and where anything is unfinished."""
    told = [one.entry for one in kept if one.entry.opened and one.entry.position.outcome is not Outcome.ROLLED_BACK]
    newest = max(told, key=lambda entry: entry.records[0].at, default=None)
    if newest is None or newest.unfinished or newest.opened.get("procedure") != "switchover":
        return None
    return newest


def halfway(kept: Sequence[Kept]) -> Entry | None:
    """Pure: the switchover that was begun last and is not at its end; None where something else was begun since."""
    newest = max((one.entry for one in kept if one.entry.opened), key=lambda entry: entry.records[0].at, default=None)
    if newest is None or not newest.unfinished or newest.opened.get("procedure") != "switchover":
        return None
    return newest


def way_home(kept: Sequence[Kept], spec: Spec) -> Entry | None:
    """Pure: the move home that was begun and is not at its end. Raises FinalError (``other-way``) where what is not at
    its end leads elsewhere: that is no way home."""
    from secondsite.cli.given_up import last_failover

    going, failover = halfway(kept), last_failover(kept)
    if going is None:
        return None
    to = str(going.opened["arguments"]["to"])
    if failover is not None and failover.entry.records[0].at < going.records[0].at and to == _left(failover, spec):
        return going
    raise FinalError(
        f"{going.id} is not at its end, and it moves the service to {to}: that is not the way home from a failover",
        slug="other-way",
        hint=f"secondsite switchover --resume --to {to} finishes it; then move the service where it belongs",
    )


def at_home(kept: Sequence[Kept], spec: Spec, standby: str) -> bool:
    """Pure: is the service where it belongs, while ``standby`` is the standby? Only a failover takes it away, and
    home is the site that the last one has left."""
    from secondsite.cli.given_up import last_failover

    failover = last_failover(kept)
    return failover is None or _left(failover, spec) != standby or came_home(kept) is not None


def left_by_failover(kept: Sequence[Kept], spec: Spec, standby: str) -> bool:
    """Pure: has the last failover left ``standby``, and did nothing since make it the primary, or try to? What is
    there as at a primary is then of its time before that failover. A move that took everything back did nothing."""
    from secondsite.cli.given_up import last_failover

    failover = last_failover(kept)
    if failover is None or _left(failover, spec) != standby:
        return False
    moves = [one.entry for one in kept if one.entry.opened.get("procedure") in ("failover", "switchover")]
    done = [entry for entry in moves if entry.position.outcome is not Outcome.ROLLED_BACK]
    return max(done, key=lambda entry: entry.records[0].at) == failover.entry


def _left(failover: Kept, spec: Spec) -> str:
    return spec.peer_of(str(failover.entry.opened["arguments"]["to"]))


def of_file(path: Path) -> Kept:
    """One journal, from a file that somebody has named."""
    recovered = read(path)
    return Kept(Entry(path, recovered.records, position(recovered.records), not recovered.torn))


async def of_sites(spec: Spec) -> Journals:
    """Those of both sites, fetched by SSH. Raises the SSH error where neither answers."""
    from secondsite.remote.journals import fetch

    with tempfile.TemporaryDirectory(prefix="secondsite-journals-") as work:

        async def one(site: str) -> Sequence[Kept] | SecondsiteError:
            try:
                await fetch(spec, site, Path(work) / site)
            except SecondsiteError as silent:
                return silent
            # Its own place is told, not the copy's: the copy is gone in a moment.
            return [
                Kept(replace(entry, path=paths.JOURNAL / entry.path.name), site) for entry in entries(Path(work) / site)
            ]

        answers = dict(zip(spec.site_names, await asyncio.gather(*map(one, spec.site_names)), strict=True))
    silent = {site: answer for site, answer in answers.items() if isinstance(answer, SecondsiteError)}
    if len(silent) == len(answers):
        raise next(iter(silent.values()))
    found = [kept for answer in answers.values() if not isinstance(answer, SecondsiteError) for kept in answer]
    return Journals(
        tuple(sorted(found, key=lambda kept: kept.entry.id)),
        tuple(site for site in spec.site_names if site not in silent),
        {site: problem.message for site, problem in silent.items()},
    )
