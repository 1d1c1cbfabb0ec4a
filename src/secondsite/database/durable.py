"""A data folder on disk for good: every file system that it reaches into."""

from __future__ import annotations

# For a shell in which $data is the folder. One sync of a file system instead of one of each file: a third less time for
# a small cluster. WAL and tablespaces may lie elsewhere, and a link is followed (sync(1), syncfs(2)).
SYNC = (
    '{ for place in "$data" "$data/pg_wal" "$data"/pg_tblspc/*;'
    ' do [ ! -e "$place" ] || sync -f "$place" || exit 1; done; }'
)
