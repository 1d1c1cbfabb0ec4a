"""One tree of errors. Each says where, what was observed, what it means and what to do next.

Third-party exceptions end at the adapter that talks to the third party; above it only these travel. The
``slug`` is stable and never changes meaning: ``errors.toml`` explains it, for the reference and ``secondsite explain``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar


class Exit(IntEnum):
    """Exit codes of every command; programs rely on them."""

    OK = 0  # done, and objectives met
    OBJECTIVE_MISSED = 1  # done, but an objective missed or not ready
    USAGE = 2  # usage or configuration
    UNCHANGED = 3  # failed, and everything is as it was
    HALFWAY = 4  # stopped half-way, needs a person


class SecondsiteError(Exception):
    """Something that happens in the world, told so that a person can act on it.

    message: what was observed and what it means, one or two sentences.
    host: the site (or address) where it was observed. step: what was being done. hint: the next command or act.
    """

    default_slug: ClassVar[str] = "failed"
    exit_code: ClassVar[Exit] = Exit.UNCHANGED

    def __init__(
        self,
        message: str,
        *,
        slug: str | None = None,
        host: str | None = None,
        step: str | None = None,
        hint: str | None = None,
        exit_code: Exit | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.slug = slug or self.default_slug
        self.host = host
        self.step = step
        self.hint = hint
        self.exit = exit_code if exit_code is not None else type(self).exit_code

    def as_json(self) -> dict[str, Any]:
        """The same facts for programs: {error, message, host, step, hint, exit_code}."""
        return {
            "error": self.slug,
            "message": self.message,
            "host": self.host,
            "step": self.step,
            "hint": self.hint,
            "exit_code": int(self.exit),
        }

    def __str__(self) -> str:
        where = " ".join(part for part in (self.host, f"({self.step})" if self.step else "") if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n  next: {self.hint}" if self.hint else text


class UsageError(SecondsiteError):
    """The command line or the file is wrong; nothing was attempted."""

    default_slug = "usage"
    exit_code = Exit.USAGE


class RetryableError(SecondsiteError):
    """Did not work now, may work later, and surely changed nothing (a refused connection)."""

    default_slug = "unreachable"


class FinalError(SecondsiteError):
    """Will not work however often it is tried; something must change first."""

    default_slug = "refused"


class UnknownOutcomeError(SecondsiteError):
    """It was sent and no answer came: it may or may not have happened. Look before trying again."""

    default_slug = "unknown-outcome"
    exit_code = Exit.HALFWAY


class HalfwayError(SecondsiteError):
    """Stopped beyond the point of no return; the message says each site's state and the command that goes on."""

    default_slug = "half-way"
    exit_code = Exit.HALFWAY


_SINGLE_ACTS = (
    *("allow-deletions", "bandwidth", "preview-failover", "verify"),
    *("versions-list", "versions-diff", "versions-restore", "versions-offer", "versions-withdraw", "versions-fetch"),
)  # no journal, so there is nothing to take up


def way_on(kind: str, site: str | None = None) -> str:
    """The command after a procedure whose end nobody heard: take it up, or look where it was a single act.

    site: the one it runs at, where the command is not given there."""
    if kind in _SINGLE_ACTS:
        return "secondsite status"
    return f"secondsite {kind} --resume" + (f" --to {site}" if site else "")
