"""The guard: what a returning host asks before it may accept writes.

A host that was primary and lost its power does not know what was decided meanwhile. Before its database may start
writable it asks the peer, and the service's authoritative DNS, which records where the users were sent. If either
says that the other site is active, it starts read-only and says why. If nobody answers, the file's policy decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from secondsite.dns.state import RecordState
from secondsite.dns.verify import observe
from secondsite.errors import RetryableError, SecondsiteError
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec

RETRY_SECONDS = 0.5


class Ruling(StrEnum):
    """What the guard says."""

    ALLOW = "allow"
    HOLD = "hold"  # the other site is active: read-only
    WAIT = "wait"  # nobody answered: read-only until somebody does, or a person decides


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """What the peer says of itself: does it accept writes, in which generation (timeline), and is it taking over?

    generation: None where its database does not run, as after a fence: it answers, and cannot say how far it has come.
    """

    writable: bool
    generation: int | None
    taking_over: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling and its reason, in words a person finds in the log."""

    ruling: Ruling
    reason: str


def decide(
    *,
    site: str,
    peer_site: str,
    generation: int,
    peer: PeerAnswer | None,
    dns: Sequence[RecordState],
    policy: str,
    cannot_be_replaced: bool,
) -> Verdict:
    """Pure: may ``site``, whose disk says ``generation``, accept writes?

    cannot_be_replaced: this host never went down, or nobody is known who could have taken over meanwhile. Only
    then is a DNS that still names it enough beside a silent peer: a failover that could not move the DNS leaves just
    that behind, and a stop in good order says nothing about what was decided while this host was away.
    """
    pointed = {site for record in dns for site in record.mentions}
    theirs = peer.generation if peer is not None else None
    if peer is not None and theirs is not None and theirs > generation:
        return Verdict(Ruling.HOLD, f"{peer_site} is in generation {theirs}, this site only in {generation}")
    if peer is not None and peer.writable and theirs == generation:
        return Verdict(Ruling.HOLD, f"{peer_site} accepts writes in the same generation {generation}")
    if peer is not None and peer.writable and theirs is None:
        return Verdict(Ruling.HOLD, f"{peer_site} accepts writes")
    if peer is not None and peer.taking_over:
        return Verdict(Ruling.WAIT, f"{peer_site} has shut this site out and may be taking over at this moment")
    if peer_site in pointed:
        name = next(f"{record.name}.{record.zone}" for record in dns if peer_site in record.mentions)
        return Verdict(Ruling.HOLD, f"the authoritative DNS sends users of {name} to {peer_site}")
    if peer is not None and peer.writable:
        # Never beside it. It stops by itself once it sees this site, unless a person has decided for it.
        return Verdict(
            Ruling.WAIT, f"{peer_site} accepts writes, in generation {theirs}, behind this site's {generation}"
        )
    if theirs is not None:
        return Verdict(Ruling.ALLOW, f"{peer_site} answers, is in generation {theirs} and not ahead")
    # An agent whose database does not run is not silent, and saying so would send somebody to look at the network.
    known = f"{peer_site} {'does not answer' if peer is None else 'answers, and its database does not run'}"
    if site in pointed and (peer is not None or cannot_be_replaced):
        return Verdict(Ruling.ALLOW, f"the authoritative DNS sends users to {site}; {known}")
    if site in pointed:
        unsure = f"{known}, and may have taken over without reaching the DNS, which still names {site}"
        if policy == "serve":
            return Verdict(Ruling.ALLOW, f"{unsure}; the file says to serve then")
        return Verdict(Ruling.WAIT, f"{unsure}; the file says to wait for a person")
    nobody = f"neither {peer_site} nor the DNS answers" if peer is None else f"{known}, and the DNS does not answer"
    if policy == "serve":
        return Verdict(Ruling.ALLOW, f"{nobody}, and the file says to serve then")
    return Verdict(Ruling.WAIT, f"{nobody}, and the file says to wait for a person")


async def ask(spec: Spec, site: str, generation: int, *, cannot_be_replaced: bool) -> Verdict:
    """Ask peer and DNS at the same time, again and again until somebody answers or the file's patience ends.

    A peer that answers settles it at once; DNS alone gets a second look while patience lasts, because it was
    perhaps only the tunnel that was not up yet.
    """
    peer = Peer.of(spec, site)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + spec.guard.patience
    while True:
        answer, records = await asyncio.gather(_peer(peer), _dns(spec))
        verdict = decide(
            site=site,
            peer_site=peer.site,
            generation=generation,
            peer=answer,
            dns=records,
            policy=spec.guard.when_nobody_answers,
            cannot_be_replaced=cannot_be_replaced,
        )
        settled = (answer is not None and answer.generation is not None) or verdict.ruling is Ruling.HOLD
        if settled or loop.time() + RETRY_SECONDS > deadline:
            return verdict
        await asyncio.sleep(RETRY_SECONDS)


def peer_answer(document: Mapping[str, Any]) -> PeerAnswer | None:
    """What ``GET /v1/guard`` of a peer says; None where that is no such answer."""
    generation = document.get("generation")
    if not isinstance(document.get("writable"), bool) or not isinstance(generation, int | None):
        return None
    return PeerAnswer(document["writable"], generation, bool(document.get("taking_over")))


async def _peer(peer: Peer) -> PeerAnswer | None:
    try:
        return peer_answer(await peer.get("/v1/guard", connect_seconds=1.5, answer_seconds=2.0))
    except SecondsiteError:
        return None  # silence is one of the answers decide() knows


async def _dns(spec: Spec) -> tuple[RecordState, ...]:
    addresses = {name: site.public for name, site in spec.sites.items()}
    try:
        async with asyncio.timeout(spec.guard.patience):
            return tuple(await asyncio.gather(*(observe(record, addresses) for record in spec.dns)))
    except (TimeoutError, RetryableError):
        return ()
