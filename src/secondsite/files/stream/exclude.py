"""Which paths a set leaves out: rsync's own patterns (man rsync, PATTERN MATCHING RULES), read as rsync reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MODIFIED = re.compile(r"^(?:[-+] |!$)")  # with --exclude an old prefix still turns a rule round
_KEPT = "+ "  # the one of these that is read here: what matches stays in the set
_REMEMBERED = 20_000
_SUFFIX = "/***"


def understood(patterns: Sequence[str]) -> bool:
    """Whether each is a plain pattern. A set with others is pulled by rsync alone, which knows what they mean."""
    bare = [one.removeprefix(_KEPT) for one in patterns]
    return not any("[" in one or "\\" in one or _MODIFIED.match(one) or not _named(one) for one in bare)


def _named(pattern: str) -> bool:
    """Whether it is about more than the set's own folder, in a form whose meaning rsync's manual tells."""
    body = pattern.removesuffix(_SUFFIX)
    return bool(body.strip("/")) and "***" not in body and "//" not in body


@dataclass(frozen=True, slots=True)
class _Rule:
    """kept: what matches is not left out. path: what is matched against the whole path ("/" in front); else against the
    last name. inside: a folder is matched with a slash behind it, and what is in it is matched, too."""

    kept: bool
    path: bool
    inside: bool
    folders_only: bool
    pattern: re.Pattern[bytes]


class Excludes:
    """The patterns of one set."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises ValueError where one is not ``understood``."""
        if not understood(patterns):
            raise ValueError("a pattern is more than a plain one")
        self._rules = [_rule(one) for one in patterns]
        self._folders: dict[bytes, bool] = {}

    def excluded(self, path: bytes, *, folder: bool) -> bool:
        """Whether ``path`` is left out, by itself or because a folder above it is."""
        if not self._rules or not path:
            return False
        above, _, name = path.rpartition(b"/")
        return (bool(above) and self._folder(above)) or self._matches(path, name, folder)

    def _folder(self, path: bytes) -> bool:
        known = self._folders.get(path)
        if known is None:
            if len(self._folders) >= _REMEMBERED:
                self._folders.clear()
            known = self._folders[path] = self.excluded(path, folder=True)
        return known

    def _matches(self, path: bytes, name: bytes, folder: bool) -> bool:
        for rule in self._rules:
            if rule.folders_only and not folder:
                continue
            whole = b"/" + path + (b"/" if rule.inside and folder else b"")
            if rule.pattern.fullmatch(whole if rule.path else name):
                return not rule.kept
        return False


def _rule(text: str) -> _Rule:
    """One pattern as an expression."""
    kept, body = text.startswith(_KEPT), text.removeprefix(_KEPT)
    folders_only, whole = False, False
    if body.endswith(_SUFFIX):
        body, whole = body.removesuffix(_SUFFIX), True  # a folder, and with it what is in it
    elif body.endswith("/"):
        body, folders_only = body.rstrip("/"), True
    anchored = body.startswith("/")
    body = body.removeprefix("/")
    path = anchored or whole or "/" in body or "**" in body
    inside = "".join(_piece(one) for one in re.findall(r"\*+|\?|[^*?]+", body))
    if path:
        inside = ("/" if anchored else "(?:.*/)?" if body.startswith("**") else "(?:.*/)") + inside
    inside += "/.*" if whole else ""
    return _Rule(kept, path, whole, folders_only, re.compile(inside.encode("utf-8", "surrogateescape"), re.DOTALL))


def _piece(one: str) -> str:
    if one.startswith("**"):
        return ".*"
    return {"*": "[^/]*", "?": "[^/]"}.get(one, re.escape(one))
