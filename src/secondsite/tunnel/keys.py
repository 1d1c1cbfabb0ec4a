"""The WireGuard key pair of this host: made here, kept here, and never shown to anyone.

A private key is 32 random bytes, clamped as Curve25519 asks (RFC 7748, section 5), in base64 as ``wg`` writes it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from secondsite.converge.files import wrong_access
from secondsite.converge.resource import Change
from secondsite.converge.write import aside, atomically
from secondsite.errors import FinalError
from secondsite.events import Emit, Note

WIREGUARD = Path("/etc/wireguard")


def key_file(interface: str) -> Path:
    """Where the private key of an interface stands, readable by root only."""
    return WIREGUARD / f"{interface}.key"


def clamped(raw: bytes) -> bytes:
    """32 bytes as a Curve25519 scalar (RFC 7748, decodeScalar25519), as ``wg genkey`` does."""
    scalar = bytearray(raw)
    scalar[0] &= 248
    scalar[31] = (scalar[31] & 127) | 64
    return bytes(scalar)


def decoded(text: str) -> bytes:
    """The 32 bytes of a key in base64. Raises ValueError on anything else."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as wrong:
        raise ValueError("not a WireGuard key") from wrong
    if len(raw) != 32:
        raise ValueError("not a WireGuard key")
    return raw


def private_key(interface: str) -> X25519PrivateKey | None:
    """This host's key; None where there is none yet. Raises FinalError (``key-damaged``)."""
    path = key_file(interface)
    try:
        return X25519PrivateKey.from_private_bytes(decoded(path.read_text()))
    except FileNotFoundError:
        return None
    except ValueError as wrong:
        raise FinalError(
            f"{path} does not hold a WireGuard private key",
            slug="key-damaged",
            step="read the tunnel's key",
            hint=f"move {path} away and run apply again: a new key is made and the peer learns it",
        ) from wrong


def public_key(interface: str) -> str | None:
    """The public half in base64; None where there is no key yet. Raises FinalError (``key-damaged``)."""
    own = private_key(interface)
    return None if own is None else encoded(own.public_key())


def encoded(key: X25519PublicKey) -> str:
    """A public key as ``wg pubkey`` prints it."""
    return base64.b64encode(key.public_bytes_raw()).decode()


@dataclass(frozen=True, slots=True)
class KeyPair:
    """This host has a private key for the interface, readable by root only. An existing key is kept."""

    interface: str

    @property
    def name(self) -> str:
        return f"tunnel key {self.interface}"

    async def plan(self) -> Change | None:
        """Whether a key is there, intact and private."""
        path = key_file(self.interface)
        try:
            if private_key(self.interface) is None:
                return Change("generate a private key (it never leaves this host)")
        except FinalError:
            return Change("replace a damaged private key (the old file is moved aside)")
        wrong = wrong_access(path, 0o600, "root", None)
        return Change(wrong) if wrong else None

    async def apply(self, change: Change, emit: Emit) -> None:
        """Generate the key where there is none; close its file to others."""
        path = key_file(self.interface)
        try:
            own = private_key(self.interface)
        except FinalError:
            emit(Note(f"the damaged key is now {aside(path)}", level="warning"))
            own = None
        if own is None:
            raw = clamped(X25519PrivateKey.generate().private_bytes_raw())
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomically(path, base64.b64encode(raw) + b"\n", mode=0o600)
        else:
            atomically(path, path.read_bytes(), mode=0o600)
