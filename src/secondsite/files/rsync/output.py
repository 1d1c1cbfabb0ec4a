"""Read what rsync prints: --stats, progress2 and its last words. Exit codes: man rsync, EXIT VALUES."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from enum import IntEnum


class Code(IntEnum):
    """The exit codes that mean something to a pull."""

    OK = 0
    PROTOCOL_START = 5  # the daemon refused: unknown module, not allowed, its check before the transfer failed
    SOCKET = 10
    STREAM = 12  # the other process of the same rsync was gone first
    SIGNAL = 20
    PARTIAL = 23
    VANISHED = 24  # files went away between being listed and being read
    DELETE_LIMIT = 25


@dataclass(frozen=True, slots=True)
class Stats:
    """The numbers of --stats. skipped: deletions that --max-delete held back; bytes: of file content received."""

    files: int = 0
    created: int = 0
    deleted: int = 0
    transferred: int = 0
    bytes: int = 0
    skipped: int = 0


_STATS = {
    "files": re.compile(r"^Number of files: ([\d,]+)", re.MULTILINE),
    "created": re.compile(r"^Number of created files: ([\d,]+)", re.MULTILINE),
    "deleted": re.compile(r"^Number of deleted files: ([\d,]+)", re.MULTILINE),
    "transferred": re.compile(r"^Number of regular files transferred: ([\d,]+)", re.MULTILINE),
    "bytes": re.compile(r"^Total transferred file size: ([\d,]+)", re.MULTILINE),
}
_SKIPPED = re.compile(r"max-delete limit \((\d{1,12}) skipped\)")
_PROGRESS = re.compile(r"([\d,]+)\s+(\d+)%\s+([\d.,]+)(B|kB|MB|GB|TB)/s\s+(\d+):(\d\d):(\d\d)")
_UNIT = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_REWRITTEN = re.compile(
    rb"(?:>f(?!\+)[.c+?a-zA-Z]{9}|hf(?!\+)[.c+?a-zA-Z ]{9}|cLc[.?a-zA-Z]{8})(?: ([^\r\n]*))?(?=[\r\n])"
)
_DELETED_FILE = re.compile(rb"^delete_item\(.*\) mode=10[0-7]{4} flags=(\d{1,9})\r?$", re.MULTILINE)
_FOR_ANOTHER = 16 | 32 | 64 | 128  # it makes room for a folder, a link, a device, a socket or FIFO (rsync.h, DEL_FOR_*)
WORDS = 500  # of what the other site may have a person read
NOT_MOUNTED = "the source is not on its file system"
_SENDER = re.compile(
    r"^(rsync: \[sender\] .*\((\d+)\)|(?:cannot send long-named|skipping overly long) .*)$", re.MULTILINE
)
_FAILURES = ("rsync: ", "@ERROR", "ERROR", "cannot", "skipping overly long")
_MOVED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # it was there when the folder was read, and is elsewhere by now
# Of the first kind that is there the first one is told. A file that vanished is seldom why anything failed.
_COMPLAINTS = (("@ERROR", "rsync: "), ("cannot", "could not"), ("IO error",), ("file has vanished",))
_NOISE = ("rsync error:", "rsync warning:", "Deletions stopped")


def stats(stdout: str, stderr: str = "") -> Stats:
    """From everything rsync printed; missing numbers are 0. Only the last block of numbers of its standard output
    counts, which it makes itself: before that, and on the other, a daemon can have it print whatever it likes. Of
    deletions that were held back it can claim more than there are, and not fewer."""
    last = max((hit.start() for hit in _STATS["files"].finditer(stdout)), default=0)
    found = {name: _number(hit[1]) for name, row in _STATS.items() if (hit := row.search(stdout, last))}
    skipped = max((int(hit[1]) for hit in _SKIPPED.finditer(f"{stdout}\n{stderr}")), default=0)
    return Stats(**found, skipped=skipped)


def progress(line: str) -> tuple[int, int | None, float, int] | None:
    """(bytes done, bytes in total or None, bytes a second, seconds left) from a progress2 line."""
    hits = _PROGRESS.findall(line)
    if not hits:
        return None
    done, percent, rate, unit, hours, minutes, seconds = hits[-1]
    copied, share = _number(done), int(percent)
    total = copied * 100 // share if share else None
    return (
        copied,
        total,
        float(rate.replace(",", "")) * _UNIT[unit],
        int(hours) * 3600 + int(minutes) * 60 + int(seconds),
    )


def rewritten(lines: bytes) -> list[bytes]:
    """Files that are here and get another content, and links that get another target, by name as rsync escapes it, in
    whole lines of output of ``--out-format="%i %n"`` (man rsync, --itemize-changes); without names each is empty."""
    return _REWRITTEN.findall(lines)


def replaced(lines: bytes) -> int:
    """How many files that are here make room for a folder, in whole lines of output of ``--debug=del2``, which tells it
    before it happens. A link takes the place of a file in one step, and rsync calls it new: of that nothing is told."""
    return sum(int(hit[1]) & _FOR_ANOTHER != 0 for hit in _DELETED_FILE.finditer(lines))


def source_missing(text: str) -> str | None:
    """Why the source's folder is not there, as its daemon says; None where that is not the trouble."""
    if NOT_MOUNTED in text:
        return next(row.strip() for row in text.splitlines() if NOT_MOUNTED in row)[:WORDS]
    if "@ERROR: chroot failed" in text or "@ERROR: chdir failed" in text:
        return "the source's folder does not exist"
    return None


def unread(text: str) -> str | None:
    """What the source could not read although it is there, in its rsync's words, which name it and the error; None
    where nothing of that kind was told, or this side had trouble of its own."""
    if any(row.startswith(("rsync: [generator]", "rsync: [receiver]")) for row in text.splitlines()):
        return None
    hits = (hit for hit in _SENDER.finditer(text) if hit[2] is None or int(hit[2]) not in _MOVED)
    return next((hit[1].strip()[:WORDS] for hit in hits), None)


def only_moved(text: str) -> bool:
    """Whether all that failed is that what the source had listed was elsewhere when it was read. Of a file that is gone
    before it is opened rsync says that it has vanished (exit code 24); where its ACL is asked for first, or where a
    folder above it became something else, it takes that for an error, and deletes nothing (flist.c, send_file_name)."""
    rows = [row for row in text.splitlines() if row.startswith(_FAILURES)]
    return bool(rows) and all((hit := _SENDER.match(row)) and hit[2] and int(hit[2]) in _MOVED for row in rows)


def why(text: str) -> str:
    """The most telling line of rsync's complaints: one that names what failed, and how, before one that says what rsync
    does about it ("IO error encountered -- skipping file deletion"), which it prints first."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    told = [row for row in rows if not row.startswith(_NOISE)]
    complaints = [row for start in _COMPLAINTS for row in told if row.startswith(start)]
    return (complaints or told or rows or ["it said nothing"])[0][:WORDS]


def _number(text: str) -> int:
    return int(text.replace(",", ""))
