"""The replication role's password: held in memory, never shown, compared with what the server stores (RFC 5803)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass

HIDDEN = "********"


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """A secret that neither repr, str nor a JSON encoder with ``default=str`` gives away."""

    _text: str

    @classmethod
    def generate(cls) -> Password:
        """A new one with 256 bits of chance."""
        return cls(secrets.token_urlsafe(32))

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return f"Password({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN


def matches(verifier: str | None, password: Password) -> bool:
    """Whether a stored SCRAM-SHA-256 verifier belongs to ``password``; an absent or foreign one does not.

    The format is ``SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`` (RFC 5803, as in
    pg_authid.rolpassword). Our passwords are plain ASCII, so SASLprep leaves them as they are.
    """
    try:
        scheme, parameters, keys = (verifier or "").split("$")
        iterations, _, salt = parameters.partition(":")
        stored = base64.b64decode(keys.partition(":")[0], validate=True)
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.reveal().encode(), base64.b64decode(salt, validate=True), int(iterations)
        )
    except (ValueError, binascii.Error):
        return False
    client_key = hmac.new(salted, b"Client Key", hashlib.sha256).digest()
    return scheme == "SCRAM-SHA-256" and hmac.compare_digest(hashlib.sha256(client_key).digest(), stored)
