"""Every way SSH can fail, told as one of ours: what it means for this host and what to do next."""

from __future__ import annotations

import socket

import asyncssh

from secondsite.errors import FinalError, RetryableError, SecondsiteError, UsageError
from secondsite.remote.target import Target

STEP = "connect"


def explain(error: Exception, target: Target, *, known: bool) -> SecondsiteError:
    """The error that ``error`` means. known: whether the known-hosts files have keys of this host."""
    match error:
        case asyncssh.HostKeyNotVerifiable():
            return _changed(target) if known else _unknown(target)
        case asyncssh.KeyExchangeFailed() if known and "host key" in str(error).lower():
            return _changed(target)
        case asyncssh.PermissionDenied():
            return _denied(target, "the host accepts none of the keys that were offered")
        case asyncssh.KeyEncryptionError() | asyncssh.KeyImportError():
            return _denied(target, f"the private key cannot be used: {error}")
        case asyncssh.ConfigParseError():
            return UsageError(f"the SSH configuration cannot be read: {error}", host=target.site, step=STEP)
        case FileNotFoundError() | PermissionError():
            return _denied(target, f"{error.filename}: {error.strerror}")
        case TimeoutError():
            return _unreachable(target, f"no answer within {target.connect_timeout:g} s")
        case socket.gaierror():
            return _unreachable(target, f'the name "{target.host}" cannot be resolved ({error.strerror})')
        case OSError():
            return _unreachable(target, error.strerror or str(error) or type(error).__name__)
        case asyncssh.Error():
            return _unreachable(target, f"the SSH server ended the connection: {error.reason or type(error).__name__}")
    raise error


def _changed(target: Target) -> SecondsiteError:
    port = f"[{target.host}]:{target.port}" if target.port else target.host
    return FinalError(
        f"{target.host} shows another host key than the known-hosts file has: it was installed anew, "
        "or somebody stands in between",
        slug="host-key-changed",
        host=target.site,
        step=STEP,
        hint=f"ask the operator for the fingerprint; if it is right: ssh-keygen -R '{port}' && ssh {target.shown} true",
    )


def _unknown(target: Target) -> SecondsiteError:
    return FinalError(
        f"the host key of {target.host} is not known here, so nothing proves that this is the host",
        slug="host-key-unknown",
        host=target.site,
        step=STEP,
        hint=f"ssh {target.shown} true   (compare the fingerprint it shows; or add ssh-keyscan's line to known_hosts)",
    )


def _denied(target: Target, why: str) -> SecondsiteError:
    return FinalError(
        f"login to {target.host} was refused: {why}",
        slug="ssh-auth-failed",
        host=target.site,
        step=STEP,
        hint=f"this has to work without a password: ssh -o BatchMode=yes {target.shown} true",
    )


def _unreachable(target: Target, why: str) -> SecondsiteError:
    return RetryableError(
        f"{target.host} cannot be reached with SSH: {why}",
        slug="ssh-unreachable",
        host=target.site,
        step=STEP,
        hint=f"is the host up, and the address right? try: ssh {target.shown} true",
    )
