"""A promotion that a journal proves: does the world still show it, and may this site be opened again?"""

from __future__ import annotations

from secondsite.clock import Clock
from secondsite.database.cluster import Cluster
from secondsite.database.controldata import read as read_control
from secondsite.database.fence import marked_by_us
from secondsite.database.promote import in_recovery
from secondsite.errors import HalfwayError, SecondsiteError
from secondsite.recovery import admit
from secondsite.recovery.guard import PeerAnswer, peer_answer
from secondsite.recovery.history import Entry
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 3.0


def promised(old: Entry) -> int | None:
    """The timeline that a procedure has promoted this site to, as its journal proves; None where it has not."""
    ended = old.position.completed.get("promote")
    return None if ended is None else int(ended.details.get("timeline") or 0)


def denied(old: Entry, cluster: Cluster) -> bool:
    """Does the journal prove a promotion although this site's database is in recovery now? False where it is silent:
    then nobody can tell."""
    if promised(old) is None:
        return False
    try:
        return in_recovery(cluster)
    except SecondsiteError:
        return False


async def held_by_guard(cluster: Cluster, timeline: int) -> bool:
    """Is it the guard, and nobody else, that keeps the promoted database read-only? Then nothing has followed anybody
    since: the journal is still the decision. Not so where a later procedure has fenced this site."""
    if admit.fenced() is not None:
        return False
    try:
        return marked_by_us(cluster) and (await read_control(cluster)).generation == timeline
    except SecondsiteError:
        return False


async def refuse_held(old: Entry, cluster: Cluster, site: str) -> None:
    """Raises HalfwayError (``promotion-gone``) where the guard alone holds back what ``old`` has promoted: that is no
    reason to begin anew, and nothing has begun."""
    if await held_by_guard(cluster, promised(old) or 0):
        raise HalfwayError(
            f"{old.id} has promoted {site}, and since then the guard holds {site} read-only",
            slug="promotion-gone",
            host=site,
            hint=f"secondsite {old.opened['procedure']} --resume --to {site} opens it again",
        )


async def open_again(spec: Spec, peer: Peer, cluster: Cluster, clock: Clock, *, site: str, timeline: int) -> None:
    """Open what was promoted and is held read-only since. Raises HalfwayError (``promotion-gone``) where it is another
    database by now, or where the other site accepts writes."""
    answer = await _ask(peer)
    ahead = answer is not None and (answer.writable or (answer.generation or 0) > timeline)
    held = await held_by_guard(cluster, timeline)
    if held and not ahead:
        await admit.release_by_person(spec, clock)
        return
    fenced = admit.fenced()
    what = fenced.reason if fenced else "held read-only by the guard" if marked_by_us(cluster) else "a standby"
    raise HalfwayError(
        f"the journal says that {site} was promoted to timeline {timeline}, and its database is in recovery now "
        f"({what}, timeline {await admit.generation(cluster)}); {peer.site} {_words(answer)}",
        slug="promotion-gone",
        host=site,
        hint=f"secondsite status; if {site} is to take over: secondsite failover --to {site}"
        if not ahead
        else f"secondsite apply --replace-standby {site}, where {peer.site} is right",
    )


async def _ask(peer: Peer) -> PeerAnswer | None:
    try:
        return peer_answer(await peer.get("/v1/guard", connect_seconds=CONNECT_SECONDS, answer_seconds=ANSWER_SECONDS))
    except SecondsiteError:
        return None


def _words(answer: PeerAnswer | None) -> str:
    if answer is None:
        return "does not answer"
    which = "its database does not run" if answer.generation is None else f"is in generation {answer.generation}"
    return f"accepts writes and {which}" if answer.writable else f"accepts no writes and {which}"
