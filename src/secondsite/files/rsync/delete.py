"""The deletions of one pull: what is extra here goes within the budget, or as far as a person has agreed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from secondsite.files import parting
from secondsite.files.budget import Alarm, Counted, Hour, allowed_deletions, last_hour, refusal, shrinks
from secondsite.files.rsync import irregular, passing
from secondsite.files.rsync.output import Code, Stats
from secondsite.files.rsync.passes import PASSES, Passes, another_helps
from secondsite.files.stream.thread import in_thread

WITHOUT_LIMIT = 2**31 - 1  # deletions: rsync has said how many files, and not how many folders they are in


async def delete(work: Passes, seen: Stats) -> bool:
    """Delete what is extra here, within the budget, or as many as a person has agreed to."""
    extra = seen.skipped + sum(work.stale.values())
    files = seen.files
    if work.record.settled:  # else what is extra goes aside, however much it is
        here = await in_thread(lambda: irregular.entries(Path(work.fileset.path), work.fileset.patterns))
        files = files if here is None else max(0, min(files, here - extra))  # it may list what never comes
    found = Counted(files, seen.created, extra)
    # A person has agreed to what was shown: when still more is gone by now, somebody has to look again.
    # A word for changes is none for deletions: it was not they that were shown.
    word = work.record.allow_deletions and work.record.alarm != Alarm.CHANGES
    shown = work.record.held_back if word else None
    agreed = word and found.extra <= (shown or found.extra)
    free = not work.record.settled or work.fileset.max_delete >= 1  # unsettled: what is extra goes aside
    here_before = found.before if not work.record.entries else min(found.before, work.record.entries)
    hour = last_hour(work.record.window, time.time(), entries=here_before)
    most = WITHOUT_LIMIT if free else allowed_deletions(hour, work.fileset.max_delete)
    # There were too many once: fewer of them wait for a person as well.
    waits = not (free or agreed) and work.record.alarm == Alarm.DELETIONS
    no = refusal(found, most=most, lately=hour.deleted, waits=waits, agreed=shown)
    if no is not None and not agreed:
        came = passing.Passing() if waits else await _passing(work, found, hour)
        counting = replace(found, extra=found.extra - came.free)
        if not came.free or refusal(counting, most=most, lately=hour.deleted) is not None:
            work.reason, work.blocked, work.held_back = no, True, found.extra
            work.alarm = Alarm.DELETIONS if found.source > 1 else None  # an empty source may be back at any moment
            return False
        gone = await in_thread(lambda: passing.remove(Path(work.fileset.path), came.names, work.may))
        work.deleted += gone
        work.uncounted += max(0, gone - came.counting)
        most -= came.counting
    if agreed and not free:
        most = await _agreed(work, seen)
    if work.stale:
        await _remove_stale(work)
    if not seen.skipped:
        return True
    left = most - sum(work.stale.values())
    for _ in range(PASSES):
        ended = await work.run(max_delete=left)
        left = max(0, left - work.count(ended).deleted)
        if work.alarmed():
            return False
        if ended.code in (Code.OK, Code.VANISHED):
            return True
        if not another_helps(ended):
            break
    work.fail(ended)
    if ended.code == Code.DELETE_LIMIT:  # it counts the folders of a tree only when it deletes them
        work.reason = f"more than {most} files and folders are gone at the source; the deletion budget is {most}"
        work.blocked, work.held_back, work.alarm = True, max(found.extra, most + 1), Alarm.DELETIONS
    return False


async def _agreed(work: Passes, seen: Stats) -> int:
    """How many entries may go on a person's word. rsync has said how many files are extra, and not how many folders
    they are in: those are counted by name. Of what goes at the source from here on nobody has spoken."""
    left, target = work.deadline - time.monotonic(), Path(work.fileset.path)
    names = await passing.extra(work.source, target, work.fileset.patterns, seconds=left)
    folders = await in_thread(lambda: passing.folders(target, names))
    return seen.skipped + folders + sum(work.stale.values())


async def _passing(work: Passes, found: Counted, hour: Hour) -> passing.Passing:
    """Of what is extra here, what came within the hour. Looked for only where it matters: it costs a listing."""
    since, target, patterns = work.record.guarded_at, Path(work.fileset.path), work.fileset.patterns
    before = work.record.entries or found.before
    smaller = shrinks(before, found.source, work.fileset.max_delete)
    if since is None or smaller or work.fileset.max_delete <= 0 or found.source <= 1 or found.extra > passing.MOST:
        return passing.Passing()
    left = work.deadline - time.monotonic()
    names = await passing.extra(work.source, target, patterns, seconds=left)
    now = time.time()
    known = sum(work.lately.rewritten.has(path, now) for path in names)  # no others need to be taken for these
    lately = (work.lately.rewritten, work.lately.anew)
    names = [path for path in names if not any(seen.touched(path, now) for seen in lately)]
    rewritten = max(0, hour.rewritten + work.rewritten - known)
    return await in_thread(lambda: passing.among(target, names, patterns, since=since, rewritten=rewritten))


async def _remove_stale(work: Passes) -> None:
    target, excludes = Path(work.fileset.path), irregular.of_set(work.fileset.patterns)
    if work.aside is not None:
        work.irregular_aside = parting.aside_folder(work.fileset.name, work.store)
    aside, may = work.irregular_aside, work.may
    may()
    work.deleted += await in_thread(lambda: irregular.remove(target, work.stale, aside, excludes, may))
