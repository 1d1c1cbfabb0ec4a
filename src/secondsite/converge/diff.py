"""Unified diffs for the plan, with secrets masked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MASK = "********"
_SECRET = re.compile(
    r"(?im)^(?P<key>[\s#]*(?:private_?key|preshared_?key|password|passwd|secret|token|psk)\s*[=:]\s*)(?P<value>\S.*)$"
)
_IN_CONNINFO = re.compile(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.|'')*'|[^\s']+)")


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """``text`` without values that look like, or are named as, secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = _IN_CONNINFO.sub(rf"\g<1>{MASK}", text)
    return _SECRET.sub(rf"\g<key>{MASK}", text)


def unified(old: str, new: str, path: str, *, secrets: Iterable[str] = ()) -> str:
    """What changes from ``old`` to ``new``; empty where nothing (visible) does."""
    secrets = tuple(secrets)
    rows = difflib.unified_diff(
        masked(old, secrets).splitlines(),
        masked(new, secrets).splitlines(),
        fromfile=f"{path} (now)",
        tofile=f"{path} (wanted)",
        lineterm="",
        n=2,
    )
    return "\n".join(rows)
