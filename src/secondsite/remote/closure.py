"""Which installed distributions secondsite needs to run, and their files, read from the installation itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from secondsite.errors import FinalError

SELF = "secondsite"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?", re.DOTALL)
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def normalised(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_requirement(text: str) -> tuple[str, frozenset[str], str | None]:
    """Name, extras asked for, and the extra that this requirement belongs to (None: always needed).

    Raises ValueError on text that is no requirement.
    """
    found = _REQUIREMENT.match(text)
    if found is None:
        raise ValueError(f"not a requirement: {text!r}")
    extras = frozenset(part.strip() for part in (found[2] or "").split(",") if part.strip())
    marker = _EXTRA.search(found[3] or "")
    return normalised(found[1]), extras, marker[1] if marker else None


def closure() -> dict[str, Distribution]:
    """Every distribution secondsite needs, without itself, by normalised name.

    What a marker excludes here is not installed here; so what is installed is taken. Raises FinalError
    (``installation-damaged``) where secondsite's own metadata is missing.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str | None]] = set()
    queue: list[tuple[str, frozenset[str]]] = [(SELF, frozenset())]
    while queue:
        name, extras = queue.pop()
        try:
            installed = distribution(name)
        except PackageNotFoundError as absent:
            if name == SELF:
                raise FinalError(
                    "the installed secondsite has no package metadata, so what it needs is unknown",
                    slug="installation-damaged",
                    hint="install secondsite again (pip install secondsite, or uv sync)",
                ) from absent
            continue
        if name != SELF:
            found[name] = installed
        for text in installed.requires or ():
            wanted, more, extra = parse_requirement(text)
            if (extra is None or extra in extras) and (wanted, extra) not in seen:
                seen.add((wanted, extra))
                queue.append((wanted, more))
    return dict(sorted(found.items()))


def files_of(installed: Distribution) -> Iterator[tuple[str, Path]]:
    """Path inside site-packages and real path of each file; scripts and byte code are left out."""
    for file in installed.files or ():
        name = str(file)
        if name.startswith("..") or "__pycache__" in name or name.endswith((".pyc", ".pth")):
            continue
        path = Path(str(file.locate()))
        if path.is_file():
            yield name, path


def tree(root: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Every file below ``root`` but byte code, in a stable order."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            yield f"{prefix}{path.relative_to(root)}", path
