"""The memory of lag: one sample a second for an hour, a minute for a week, an hour for a year. Bounded by design.

SQLite in WAL mode with ``synchronous=NORMAL``: a commit does not wait for the disk, so sampling costs the
server nothing; a power cut may take the last seconds of samples with it, never the file (sqlite.org/wal.html).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from secondsite.objectives.snapshot import LagSample

BATCH_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sample (
  span INTEGER NOT NULL, replica TEXT NOT NULL, at INTEGER NOT NULL,
  seconds REAL, bytes INTEGER, known INTEGER NOT NULL, taken INTEGER NOT NULL,
  PRIMARY KEY (span, replica, at)
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO sample VALUES (?, ?, ?, ?, ?, ?, ?)"
# The worst of the finer samples stands for the coarser one; unknown (NULL) never hides behind a known one, because
# known and taken tell how many there were.
_ROLL = """
INSERT OR REPLACE INTO sample
SELECT :span, replica, at / :span * :span, max(seconds), max(bytes), sum(known), sum(taken)
  FROM sample WHERE span = :finer AND at >= :since AND at < :until GROUP BY replica, at / :span
"""


@dataclass(frozen=True, slots=True)
class Tier:
    """Samples of one coarseness: ``span`` seconds each, kept for ``keep`` seconds."""

    span: int
    keep: int


TIERS = (Tier(1, 3600), Tier(60, 7 * 86400), Tier(3600, 365 * 86400))


class Samples:
    """Lag samples on disk. Not thread-safe; what is not flushed yet is in ``pending``."""

    def __init__(self, path: Path, tiers: tuple[Tier, ...] = TIERS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._tiers = tiers
        self._database = _open(path)
        self.pending: list[LagSample] = []

    def add(self, samples: Iterable[LagSample]) -> None:
        """Remember; on disk at the next ``flush``."""
        self.pending.extend(samples)

    def flush(self, now: float) -> None:
        """Write what is pending, roll up what has become coarse, and forget what is too old."""
        batch, self.pending = self.pending, []
        rows = [
            (1, s.replica, int(s.at), s.seconds, s.bytes, int(s.seconds is not None), 1)
            for s in batch
        ]  # fmt: skip
        earliest = min((row[2] for row in rows), default=int(now))
        with self._database:
            self._database.executemany(_PUT, rows)
            for finer, tier in zip(self._tiers, self._tiers[1:], strict=False):
                since = earliest // tier.span * tier.span
                until = int(now) // tier.span * tier.span
                if since < until:  # a span is complete: (re)compute it, and those the batch touched
                    places = {"span": tier.span, "finer": finer.span, "since": since, "until": until}
                    self._database.execute(_ROLL, places)
            for tier in self._tiers:
                oldest = int(now) - tier.keep
                self._database.execute("DELETE FROM sample WHERE span = ? AND at < ?", (tier.span, oldest))

    def since(self, at: float, span: int = 1) -> tuple[LagSample, ...]:
        """Samples of one coarseness from ``at`` on, oldest first, those not on disk yet included."""
        found = self._database.execute(
            "SELECT at, replica, seconds, bytes FROM sample WHERE span = ? AND at >= ? ORDER BY at", (span, int(at))
        )
        written = tuple(
            LagSample(float(moment), replica, seconds, behind) for moment, replica, seconds, behind in found
        )
        return written + tuple(s for s in self.pending if span == 1 and s.at >= at)

    def count(self) -> int:
        """Rows on disk."""
        return int(self._database.execute("SELECT count(*) FROM sample").fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def recent(path: Path, now: float, seconds: float = 300.0) -> tuple[LagSample, ...]:
    """What an agent that no longer runs has left; nothing where there is no sound file."""
    return remembered(path, now - seconds)


def remembered(path: Path, since: float, span: int = 1) -> tuple[LagSample, ...]:
    """What is on disk from ``since`` on (unix seconds), read beside an agent that writes it (SQLite's WAL mode)."""
    if not path.exists():
        return ()
    try:
        samples = Samples(path)
    except (OSError, sqlite3.Error):
        return ()
    try:
        return samples.since(since, span)
    finally:
        samples.close()


def _open(path: Path) -> sqlite3.Connection:
    """Samples are worth less than an agent that runs: a file that is broken is set aside and begun anew."""
    try:
        return _prepared(path)
    except sqlite3.DatabaseError:
        path.replace(path.with_suffix(".broken"))
        for more in ("-wal", "-shm"):
            Path(f"{path}{more}").unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA cache_size = -512")
    database.executescript(_SCHEMA)
    return database
