"""The key that signs DNS updates (TSIG, RFC 8945): read where the file says it is, and looked at before it is due."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import dns.exception
import dns.name
import dns.tsigkeyring

from secondsite.errors import FinalError
from secondsite.spec import DnsRecord, Secret, Tsig


def signature(tsig: Tsig | None) -> dict[str, Any]:
    """What dnspython signs with; empty without a key. Raises FinalError (``dns-secret``) where it is not sound."""
    if tsig is None:
        return {}
    secret = read_secret(tsig.secret)
    try:
        if not base64.b64decode("".join(secret.split()), validate=True):  # dnspython passes over what is no base64
            raise ValueError
        ring = dns.tsigkeyring.from_text({tsig.name: (tsig.algorithm, secret)})
    except (dns.exception.DNSException, ValueError) as bad:
        raise FinalError(
            f"the TSIG secret of key {tsig.name} in {_place(tsig.secret)} is empty or not base64",
            slug="dns-secret",
            hint=hint(tsig.secret),
        ) from bad
    return {"keyring": ring, "keyname": dns.name.from_text(tsig.name), "keyalgorithm": tsig.algorithm}


def read_secret(secret: Secret) -> str:
    """The secret from where the file says it is. Raises FinalError (``dns-secret``) where it cannot be read."""
    if secret.env is not None:
        value = os.environ.get(secret.env, "")
        if not value:
            raise FinalError(f"{_place(secret)} is not set", slug="dns-secret", hint=hint(secret))
        return value.strip()
    try:
        return Path(str(secret.file)).read_text().strip()
    except (OSError, UnicodeDecodeError) as missing:
        why = missing.strerror if isinstance(missing, OSError) else "it is no text"
        raise FinalError(
            f"the TSIG secret {_place(secret)} cannot be read: {why}", slug="dns-secret", hint=hint(secret)
        ) from missing


def problem(record: DnsRecord) -> str | None:
    """Why this host could not sign a change of the record; None where it could, or where nothing is signed."""
    try:
        signature(record.tsig)
    except FinalError as fault:
        return fault.message
    return None


def hint(secret: Secret) -> str:
    """What to do about a secret that is not sound."""
    if secret.env is not None:
        return f"set {secret.env} to the base64 secret for secondsite's agent, on both hosts"
    return f"put the base64 secret into {secret.file}, owner root, mode 0600, on both hosts"


def _place(secret: Secret) -> str:
    return f"environment variable {secret.env}" if secret.env is not None else str(secret.file)
