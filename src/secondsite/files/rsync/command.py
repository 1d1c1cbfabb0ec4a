"""rsync's command lines. Each option that is not obvious has its reason here (man rsync 3.2.7 to 3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PARTIAL = ".secondsite-partial"
IO_SECONDS = 30
CONNECT_SECONDS = 5

_BASE = (
    "--archive",
    # What a hostile source must not plant here: pulled as root, each of these would give rights to whoever finds it.
    "--no-devices",
    "--no-specials",  # sockets and FIFOs
    "--chmod=Fug-s",  # setuid and setgid of files; a folder keeps its setgid, which only hands down its group
    "--filter=-x security.capability",  # as good as setuid
    "--filter=-x system.*",  # rsync's own rule, which a rule of ours replaces
    "--hard-links",
    "--acls",
    "--xattrs",
    "--numeric-ids",
    "--modify-window=-1",  # compare nanoseconds: else a rewrite within the same second is lost silently
    "--no-inc-recursive",  # with it, --delete hung on a tree under churn
    "--no-human-readable",  # plain digits in --stats
    "--stats",
    "--no-motd",  # a daemon's greeting would stand between the numbers
    f"--timeout={IO_SECONDS}",
    f"--contimeout={CONNECT_SECONDS}",
)


def url(address: str, port: int, module: str) -> str:
    """The module's contents at the source's daemon."""
    host = f"[{address}]" if ":" in address else address
    return f"rsync://{host}:{port}/{module}/"


def pull(
    source: str,
    target: Path,
    *,
    exclude: Sequence[str] = (),
    bandwidth: int | None = None,
    max_delete: int = 0,
    backup: Path | None = None,
) -> list[str]:
    """Copy ``source`` into ``target`` and delete at most ``max_delete`` extra entries, after everything is copied.

    No --delay-updates: each file is replaced by a rename of its own, so what came before a cut stays. No
    --keep-dirlinks and no --copy-links: a link is a link, never a way out of the folder. backup: what would be
    overwritten or deleted goes there. bandwidth: bytes a second. No --fsync: that took 8 ms a file, where one
    ``sync_file_systems`` at the end costs the same for all of them.
    """
    return [
        "rsync",
        *_BASE,
        "--delete-delay",
        f"--max-delete={max_delete}",
        "--force",  # a folder that became a file at the source
        "--sparse",  # a disk here must not fill with zeros that take no room at the source
        f"--partial-dir={PARTIAL}",
        "--out-format=%i %n",  # of each item what becomes of it: output.rewritten
        "--debug=del2",  # a file that makes room for a folder is in no other word of it: output.replaced
        "--info=progress2,nonreg",  # what is skipped is looked for here: irregular.py
        "--outbuf=L",
        *([f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []),
        *(["--backup", f"--backup-dir={backup}"] if backup else []),
        *(f"--exclude={pattern}" for pattern in exclude),
        "--",
        source,
        f"{target}/",
    ]


def fetch(
    source: str, target: Path, *, bandwidth: int | None = None, sparse: bool = False, read: bool = False
) -> list[str]:
    """Copy the files whose names, each with a zero byte behind it, come on standard input (``names``); nothing else is
    touched. sparse: leave out zeros, because the source does. read: compare what they hold, not size and time."""
    return [
        "rsync",
        *_BASE,
        "--from0",
        "--files-from=-",
        f"--partial-dir={PARTIAL}",
        "--info=progress2,nonreg0",
        "--outbuf=L",
        *(["--sparse"] if sparse else []),
        "--out-format=%i %n",  # output.rewritten counts these
        *(["--checksum"] if read else []),
        *([f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []),
        "--",
        source,
        f"{target}/",
    ]


def names(paths: Sequence[bytes]) -> bytes:
    """Standard input for ``fetch``. A name that begins with # or ; would be taken for a comment, and silently left out
    (man rsync, --files-from): the ./ in front keeps it a name."""
    return b"".join(b"./" + path + b"\0" for path in paths)


def compare(
    source: str,
    target: Path,
    *,
    exclude: Sequence[str] = (),
    bandwidth: int | None = None,
    content: bool = True,
    only: Path | None = None,
    silence: int = IO_SECONDS,
) -> list[str]:
    """List what differs; changes nothing. content: read every byte on both sides; without it size and time tell. only:
    a file with paths, as for ``bring_back``: these and no others. silence: seconds that the other side may take to read
    one file, which it says nothing meanwhile."""
    return [
        "rsync",
        *_BASE,
        f"--timeout={max(IO_SECONDS, silence)}",
        "--dry-run",
        *(["--checksum"] if content else []),
        *([f"--files-from={only}", "--from0", "--no-recursive", "--no-implied-dirs"] if only else ["--delete"]),
        "--itemize-changes",
        *([f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []),
        f"--exclude={PARTIAL}",
        *(f"--exclude={pattern}" for pattern in exclude),
        "--",
        source,
        f"{target}/",
    ]


def bring_back(
    source: str, target: Path, *, backup: Path, only: Path | None, implied: bool, bandwidth: int | None, dry_run: bool
) -> list[str]:
    """Bring files of a version back into ``target``: content is compared, and what is replaced goes to ``backup``.

    Nothing is deleted, and no folder makes way for a file. only: a file with the paths that are wanted, each ended by a
    NUL (``--from0``) and begun by "./" (else "#" begins a comment). implied: the folders above them get their
    attributes back, too.
    """
    return [
        "rsync",
        *_BASE,
        "--checksum",
        "--backup",
        f"--backup-dir={backup}",
        f"--partial-dir={PARTIAL}",
        "--info=progress2,nonreg0",
        "--outbuf=L",
        *([f"--bwlimit={max(1, bandwidth // 1024)}"] if bandwidth else []),
        *([f"--files-from={only}", "--from0", "--recursive"] if only else []),
        *(["--no-implied-dirs"] if only and not implied else []),
        *(["--dry-run", "--itemize-changes"] if dry_run else []),
        "--",
        source,
        f"{target}/",
    ]
