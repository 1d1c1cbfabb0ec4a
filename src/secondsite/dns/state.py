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
    """A record as all its authoritative servers see it. points_to: a site's name where all agree on its address."""

    zone: str
    name: str
    answers: tuple[ServerAnswer, ...]
    points_to: str | None = None
