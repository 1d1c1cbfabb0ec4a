"""Checks of the file sets: is each copied, lately, and by its own rules?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.files.state import SOURCE_UNREADABLE, FilesStatus
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.lag import Kind, Lag
from secondsite.spec.model import Spec

registry = Registry(sees=lambda state: bool(state.files), named=lambda spec: bool(spec.files))
_LOOK = "repair what it names; the next one is tried within a minute, and `secondsite files list` shows it"
_WORDS = {
    FilesStatus.STALE: "its last complete copy is too old",
    FilesStatus.FAILED: "its last pull failed",
    FilesStatus.UNKNOWN: "nothing is known about its copy",
}


@registry.check("files", Severity.CRITICAL, "Is every file set copied, and lately?", Needs.STANDBY)
def files(judged: Judged) -> Iterator[Problem]:
    """Stale, failed and unknown are all the same in a disaster: files that are not there."""
    standby = judged.situation.standby
    if standby is None or judged.situation.present(standby) is None:
        return
    for lag in judged.lags:
        if lag.kind is not Kind.FILES or lag.state not in set(_WORDS):
            continue
        because = f": {lag.reason}" if lag.reason else ""
        message = f"file set {lag.replica}: {_WORDS[FilesStatus(lag.state)]}{because}"
        unseen = lag.state == FilesStatus.UNKNOWN
        yield Problem(standby, message, _where_to_look(lag), unseen=unseen)


_UNBLOCK = (
    "First see what has happened: look at the source; `secondsite files list NAME` has the moments of which there are "
    'versions, and `secondsite files diff NAME --from "3h ago"` what has changed in the copy since. If it was an '
    'accident or an attack: `secondsite files restore NAME --all --at "3h ago" --to-primary` brings back what was '
    "there. Where only deletions were held back, the set goes on by itself once nothing is missing; else agree to what "
    "is there now with `secondsite files allow-deletions NAME`. If it was meant: `secondsite files allow-deletions "
    "NAME` lets the next pull do what was held back, once. If the source is not there: repair what the finding names; "
    "the next pull looks by itself."
)


@registry.check(
    "files-blocked", Severity.CRITICAL, "Is no file set stopped by a safety rule?", Needs.STANDBY, do=_UNBLOCK
)
def files_blocked(judged: Judged) -> Iterator[Problem]:
    """What befell the source must not befall the copy, so a person looks first.

    More is deleted than ``max_delete`` allows: the deletions are held back, and what is new or changed still comes.
    More is rewritten, renamed or deleted within an hour than ``max_change`` allows, as by encryption: nothing comes any
    more; of a ZFS set the newest snapshot has the change, and none comes after it. The source is not mounted: nothing
    comes. What the copy had taken over before it stopped stays so. No version is made meanwhile, and the old ones stay.
    """
    for lag in judged.lags:
        if lag.kind is Kind.FILES and lag.state == FilesStatus.BLOCKED:
            message = f"file set {lag.replica} is blocked: {lag.reason or 'by a safety rule'}"
            yield Problem(lag.site, message, _way_on(lag))


def _some(spec: Spec) -> bool:
    return any(fileset.versions for fileset in spec.files)


@registry.check(
    "versions", Severity.WARNING, "Are versions of the file sets kept, and lately?", Needs.STANDBY, named=_some
)
def versions(judged: Judged) -> Iterator[Problem]:
    """What somebody deletes or encrypts at the primary is gone in the copy within seconds; a version still has it.

    A set whose copy stands still has another finding, and no new version to be made.
    """
    for lag in judged.lags:
        kept = lag.copy.versions if lag.copy else None
        if lag.kind is not Kind.FILES or kept is None or lag.state not in (FilesStatus.CURRENT, FilesStatus.PULLING):
            continue
        if kept.problem is not None:
            yield Problem(lag.site, f"file set {lag.replica}: no version could be made: {kept.problem}", _LOOK)
        elif kept.overdue:
            yield Problem(lag.site, f"file set {lag.replica}: its next version is overdue", _LOOK)


def _where_to_look(lag: Lag) -> str:
    """The copy's host knows why a pull fails, but for what only the source's kernel can say."""
    if (lag.reason or "").startswith(SOURCE_UNREADABLE):
        return "journalctl -k at the source; repair what is named, or remove it there: the next pull looks by itself"
    return "journalctl -u secondsite-agent at the standby"


def _way_on(lag: Lag) -> str:
    """A budget waits for a person's word; anything else for a repair."""
    if lag.held_back:
        meant = f"look at the source; if it is meant: `secondsite files allow-deletions {lag.replica}`"
        return f"{meant}; if not: `secondsite explain files-blocked`"
    return "repair what it names; the next pull looks again by itself"
