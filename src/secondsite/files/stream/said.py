"""At the standby: what the source's words may be. It may be in an enemy's hands: each has a range, and a length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.errors import FinalError, SecondsiteError
from secondsite.files.stream import wire


def refusal(told: Mapping[str, Any]) -> SecondsiteError:
    """The source's own words, cut and printable: it may be in an enemy's hands."""
    message = _printable(str(told.get("message")))
    slug = str(told.get("error"))
    known = slug in ("source-not-mounted", "no-such-set", "files-not-watched", "files-stream-broken")
    return FinalError(f"the source refuses: {message}", slug=slug if known else "files-stream-broken")


def hello(told: dict[str, Any]) -> dict[str, Any]:
    """Raises wire.Broken."""
    epoch = told.get("epoch")
    if not isinstance(epoch, str) or not 0 < len(epoch) <= 100 or not epoch.isalnum():
        raise wire.Broken("an epoch that cannot be")
    # What does not say that it goes on from there does not.
    return told | {
        "seq": _count(told, "seq"), "now": _moment(told, "now"), "reconcile": told.get("reconcile") is not False
    }  # fmt: skip


def said(told: dict[str, Any], *, least: int) -> dict[str, Any]:
    """What a commit or a word says, each of it what it may be. Raises wire.Broken."""
    waiting = told.get("waiting")
    if not isinstance(waiting, list) or not all(isinstance(one, str) for one in waiting):
        raise wire.Broken("what waits has no names")
    found: dict[str, Any] = {key: _count(told, key) for key in ("seq", "pending")}
    found |= {key: _count(told, key) if key in told else None for key in ("batch", "entries")}
    found |= {key: _moment(told, key) for key in ("as_of", "now")}
    found["as_of"] = min(found["as_of"], found["now"])  # nobody knows what will be complete
    if found["seq"] < least:
        raise wire.Broken("it takes back what it has told")
    unread = told.get("unread")  # an older version does not say it
    return found | {"waiting": tuple(waiting), "unread": _printable(unread) if isinstance(unread, str) else None}


def _printable(words: str) -> str:
    return "".join(each for each in words[:500] if each.isprintable())


def _count(told: Mapping[str, Any], key: str) -> int:
    value = told.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise wire.Broken(f"{key} is no number that can be")
    return value


def _moment(told: Mapping[str, Any], key: str) -> float:
    value = told.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:  # NaN is not either
        raise wire.Broken(f"{key} is no moment")
    return float(value)
