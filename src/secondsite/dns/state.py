"""What the authoritative servers say about a record, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One authoritative server's answer: addresses and TTL, or why there is none."""

    server: str
    addresses: tuple[str, ...] = ()
    ttl: int | None = None
    serial: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record as its authoritative servers see it.

    points_to: the site whose address every server that answers gives, where the update server is one of them.
    mentions: every site to which at least one server sends users. looked_at: when the servers were asked, unix seconds.
    key_problem: why the host that asked could not sign a change; None where it could.
    """

    zone: str
    name: str
    answers: tuple[ServerAnswer, ...]
    points_to: str | None = None
    mentions: tuple[str, ...] = ()
    looked_at: float | None = None
    key_problem: str | None = None
