"""``wg show IFACE dump`` (man 8 wg) as data. The private key's column is dropped where the line is split."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer of the interface. last_handshake_at: unix seconds, None before the first; keepalive: seconds."""

    public_key: str
    endpoint: str | None
    allowed: tuple[str, ...]
    last_handshake_at: float | None
    received_bytes: int
    sent_bytes: int
    keepalive: int | None


@dataclass(frozen=True, slots=True)
class Dump:
    """An interface and its peers; there is no field for the private key."""

    public_key: str
    port: int
    peers: tuple[Peer, ...]


def parse(text: str) -> Dump:
    """From the program's output. Raises ValueError on anything else."""
    rows = [row.split("\t") for row in text.splitlines() if row.strip()]
    if not rows or len(rows[0]) != 4:
        raise ValueError("not the output of wg show INTERFACE dump")
    _private, public, port, _mark = rows[0]
    return Dump(public, int(port), tuple(_peer(row) for row in rows[1:]))


def _peer(row: list[str]) -> Peer:
    if len(row) != 8:
        raise ValueError("not the output of wg show INTERFACE dump")
    public, _preshared, endpoint, allowed, handshake, received, sent, keepalive = row
    return Peer(
        public_key=public,
        endpoint=None if endpoint == "(none)" else endpoint,
        allowed=() if allowed == "(none)" else tuple(allowed.split(",")),
        last_handshake_at=float(handshake) if int(handshake) else None,
        received_bytes=int(received),
        sent_bytes=int(sent),
        keepalive=None if keepalive == "off" else int(keepalive),
    )
