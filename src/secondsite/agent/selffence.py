"""Stop writing by ourselves, where it is sure that the other site has been promoted over us."""

from __future__ import annotations

from typing import Protocol

from secondsite.objectives.snapshot import SiteState, SiteView


class Fencer(Protocol):
    """Makes this site accept no more writes."""

    async def __call__(self, why: str) -> None:
        """Application down, database down. Raises SecondsiteError where it cannot be confirmed."""


def reason(own: SiteState, peer: SiteView) -> str | None:
    """Why this site must stop accepting writes at once; None where it need not.

    Only certainty counts: the peer was heard (not remembered), accepts writes, is the same cluster, and is on a
    higher timeline. Two writable sites on one timeline are a finding for a person: nothing says which is right.
    """
    if not own.database.writable or not isinstance(peer, SiteState) or not peer.database.writable:
        return None
    mine, theirs = own.database, peer.database
    if mine.timeline is None or theirs.timeline is None or theirs.timeline <= mine.timeline:
        return None
    if mine.system_identifier is None or mine.system_identifier != theirs.system_identifier:
        return None
    return f"{peer.site} accepts writes on timeline {theirs.timeline}, this site only has {mine.timeline}"
