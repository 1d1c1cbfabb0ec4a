"""The proof that a standby has everything: both control files name the same last checkpoint, exactly.

A primary that stops in good order ends with a checkpoint record. A standby that has replayed it and then makes a
restartpoint names that very record. "At least as far" is no proof: it is true before the record was replayed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from secondsite.database.bounded import asking
from secondsite.database.cluster import Cluster
from secondsite.database.connect import elsewhere, in_thread
from secondsite.database.lsn import to_int, to_text
from secondsite.database.promote import END_READERS, HELD_UP_SECONDS
from secondsite.errors import FinalError, RetryableError

POLL_SECONDS = 0.003
_REPLAYED = "SELECT pg_last_wal_replay_lsn()::text, pg_is_in_recovery()"
_CONTROL = """
SELECT checkpoint_lsn::text, timeline_id, (SELECT system_identifier::text FROM pg_control_system())
  FROM pg_control_checkpoint()
"""


@dataclass(frozen=True, slots=True)
class End:
    """Where a cluster ended: its last checkpoint (bytes of WAL), its timeline, and which cluster it is."""

    checkpoint: int
    timeline: int
    system_identifier: str

    def __str__(self) -> str:
        return f"{to_text(self.checkpoint)} on timeline {self.timeline}"


async def replayed_to(cluster: Cluster, lsn: int, *, seconds: float) -> int:
    """Wait until the standby has replayed up to ``lsn``; the position, in bytes. Raises RetryableError (``behind``).

    Sessions that hold replay up are ended after a moment, as ``promote.drain`` does.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + seconds
    async with elsewhere(cluster, step="wait for replay") as connection:
        while True:
            row = (await asking(connection, connection.execute, _REPLAYED)).fetchone()
            assert row is not None
            here = to_int(row[0]) if row[0] else 0
            if not row[1]:
                raise FinalError("the database here is no standby any more", slug="already-primary")
            if here >= lsn:
                return here
            if loop.time() > deadline:
                raise RetryableError(
                    f"the standby stands at {to_text(here)} after {seconds:g} s, {lsn - here} bytes behind",
                    slug="behind",
                    step="wait for replay",
                    hint="secondsite status; look at the tunnel and at the standby's log",
                )
            if loop.time() - began > HELD_UP_SECONDS:
                await asking(connection, connection.execute, END_READERS)
            await asyncio.sleep(POLL_SECONDS)


async def prove(cluster: Cluster, end: End, *, seconds: float) -> int:
    """Wait until this standby's last checkpoint *is* ``end``; the position replayed then, in bytes.

    Raises FinalError (``not-equal``) where it has come to another end, RetryableError (``behind``) where it does not
    come so far in time.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    await replayed_to(cluster, end.checkpoint + 1, seconds=seconds)
    async with elsewhere(cluster, step="prove equality") as connection:
        await asking(connection, connection.execute, "SET statement_timeout = 0")
        while True:
            await in_thread(connection, "CHECKPOINT")
            row = (await asking(connection, connection.execute, _CONTROL)).fetchone()
            assert row is not None
            here = End(to_int(row[0]), int(row[1]), str(row[2]))
            if here == end:
                replayed = (await asking(connection, connection.execute, _REPLAYED)).fetchone()
                assert replayed is not None
                return to_int(replayed[0])
            other = here.checkpoint > end.checkpoint or here.system_identifier != end.system_identifier
            if other or asyncio.get_running_loop().time() > deadline:
                raise FinalError(
                    f"the old primary ended at {end}, the standby's last checkpoint is {here}: they are not equal",
                    slug="not-equal",
                    step="prove equality",
                    hint="secondsite status; nothing was promoted",
                )
            await asyncio.sleep(POLL_SECONDS)
