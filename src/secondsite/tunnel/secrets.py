"""Secrets that both hosts know and nobody else ever sees.

Both sides of the tunnel compute X25519(own private key, peer's public key), which is the same number on both
(RFC 7748, section 6.1), and derive one secret a purpose with HKDF-SHA256 (RFC 5869). So no secret crosses the
network or the operator's machine, and new tunnel keys mean new secrets.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secondsite.errors import FinalError
from secondsite.spec import paths
from secondsite.tunnel.keys import decoded, encoded, private_key

PEER_TOKEN = "peer-token"
REPLICATION = "replication"


def derive(purpose: str, *, interface: str = "wg0", peer_key: str | None = None) -> str:
    """The secret for ``purpose`` (256 bits, URL-safe base64 without padding), from this host's key files.

    peer_key: the peer's public key; else the one that apply wrote to ``paths.PEER_KEY``. Raises FinalError
    (``no-tunnel-key``) where one of the keys is missing.
    """
    own = private_key(interface)
    peer = peer_key or stored_peer_key()
    if own is None or peer is None:
        whose = "its own" if own is None else "the peer's"
        raise FinalError(
            f"this host does not have {whose} tunnel key yet",
            slug="no-tunnel-key",
            step=f"derive the secret for {purpose}",
            hint="secondsite apply",
        )
    return shared(own, peer, purpose)


def stored_peer_key() -> str | None:
    """The peer's public key as apply wrote it; None before that."""
    try:
        return paths.PEER_KEY.read_text().strip() or None
    except FileNotFoundError:
        return None


def shared(own: X25519PrivateKey, peer_key: str, purpose: str) -> str:
    """The pure part. Raises ValueError where ``peer_key`` is no public key."""
    peer = X25519PublicKey.from_public_bytes(decoded(peer_key))
    both = sorted([encoded(own.public_key()), encoded(peer)])
    kdf = HKDF(algorithm=SHA256(), length=32, salt="|".join(both).encode(), info=f"secondsite {purpose}".encode())
    return base64.urlsafe_b64encode(kdf.derive(own.exchange(peer))).decode().rstrip("=")
