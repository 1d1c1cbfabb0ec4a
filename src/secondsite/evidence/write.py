"""Keep a report and its evidence in a folder, and prove later that nothing of it has changed.

``report.json`` is written before the page: whatever becomes of the page, what was measured is kept. ``SHA256SUMS``
covers every file, so that ``sha256sum -c`` proves the folder without secondsite.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondsite.converge.write import atomically
from secondsite.errors import FinalError
from secondsite.evidence.html import render
from secondsite.evidence.proof import told

JSON_NAME, HTML_NAME, SUMS_NAME = "report.json", "report.html", "SHA256SUMS"


def write(report: Mapping[str, Any], folder: Path, evidence_files: Mapping[str, bytes]) -> tuple[Path, Path]:
    """Write evidence, report.json, report.html and SHA256SUMS; the paths of JSON and page.

    Names of evidence files are plain names. Raises ValueError for another, OSError where the folder cannot be
    written.
    """
    for name in evidence_files:
        if not name or Path(name).name != name or name.startswith(".") or name in (JSON_NAME, HTML_NAME, SUMS_NAME):
            raise ValueError(f"{name!r} is no name for an evidence file")
    for name, content in evidence_files.items():
        atomically(folder / name, content)
    document = {**report, "manifest": [_entry(folder / name) for name in sorted(evidence_files)]}
    body = (json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n").encode()
    atomically(folder / JSON_NAME, body)
    page = render(json.loads(body), json_sha256=_sha256(body)).encode()
    atomically(folder / HTML_NAME, page)
    everything = {**evidence_files, JSON_NAME: body, HTML_NAME: page}
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in sorted(everything.items()))
    atomically(folder / SUMS_NAME, sums.encode())
    return folder / JSON_NAME, folder / HTML_NAME


def read(folder: Path) -> dict[str, Any]:
    """The report in ``folder``. Raises FinalError (``no-report``) where there is none that can be read."""
    try:
        document = json.loads((folder / JSON_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as unreadable:
        raise FinalError(
            f"{folder} holds no report that can be read: {unreadable}",
            slug="no-report",
            hint="`secondsite report` lists the reports of this host",
        ) from unreadable
    if not isinstance(document, dict) or "report" not in document:
        raise FinalError(f"{folder / JSON_NAME} is no report", slug="no-report")
    return document


def altered(folder: Path) -> list[str]:
    """What is no longer as it was written, in words; empty where every hash still fits."""
    expected = {str(entry["file"]): str(entry["sha256"]) for entry in read(folder).get("manifest", [])}
    problems = []
    try:
        lines = (folder / SUMS_NAME).read_text().splitlines()
        expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)} | expected
    except (OSError, ValueError):
        problems.append(f"{SUMS_NAME} is missing")
    for name, digest in sorted(expected.items()):
        try:
            found = _sha256((folder / Path(name).name).read_bytes())
        except OSError:
            problems.append(f"{name} is missing")
        else:
            if found != digest:
                problems.append(f"{name} was changed after the report was written")
    return problems


def _entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"file": path.name, "sha256": _sha256(content), "bytes": len(content), "told": told(path)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
