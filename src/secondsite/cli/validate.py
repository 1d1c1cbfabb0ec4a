"""``secondsite validate``: is the file sound? Touches nothing but the file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from secondsite.cli.options import Config, Json, find_config
from secondsite.cli.render import emit_json
from secondsite.errors import Exit, UsageError
from secondsite.spec.faults import Fault, SpecFaults
from secondsite.spec.load import Loaded, load
from secondsite.spec.quantities import duration_text


def run(file: Path | None = None, /, *, config: Config = None, json: Json = False) -> int:
    """Check the file and tell everything that is wrong with it.

    Each fault is told with its line and what to do. Warnings are allowed and still worth reading.

    Example: ``secondsite validate shop.toml``, or ``secondsite validate --config shop.toml``

    Exit code 0: sound. 2: not.

    See also: schema (``secondsite schema file``), plan.

    Parameters
    ----------
    file
        The file, as --config names it.
    """
    if file is not None and config is not None and file != config:
        raise UsageError(f"{file} and --config {config} name two files", hint=f"secondsite validate {file}")
    path = find_config(file or config)
    try:
        loaded = load(path)
    except SpecFaults as faulty:
        if json:
            emit_json(document(str(path), faulty.faults, (), None))
        else:
            print("\n".join([*faulty.lines(), faulty.count()]))
        return int(Exit.USAGE)
    if json:
        emit_json(document(str(path), (), loaded.warnings, loaded.sha256))
        return int(Exit.OK)
    for warning in loaded.warnings:
        print(f"warning: {warning.text(path)}", file=sys.stderr)
        if warning.hint:
            print(f"    hint: {warning.hint}", file=sys.stderr)
    print(summary(loaded))
    return int(Exit.OK)


def summary(loaded: Loaded) -> str:
    """One line that says what the file describes, so that a person notices the wrong file."""
    spec = loaded.spec
    parts = [f"{loaded.path} is sound: {spec.service.name} at {' and '.join(spec.site_names)}"]
    parts.append(f"PostgreSQL {spec.database.cluster}")
    parts += [f"{len(spec.files)} file set{'s' if len(spec.files) != 1 else ''}"]
    parts += [f"{len(spec.dns)} DNS record{'s' if len(spec.dns) != 1 else ''}"]
    parts.append(f"RPO {duration_text(spec.objectives.rpo)}, RTO {duration_text(spec.objectives.rto)}")
    return ", ".join(parts)


def document(path: str, faults: tuple[Fault, ...], warnings: tuple[Fault, ...], sha256: str | None) -> dict[str, Any]:
    """The JSON document; its schema is ``secondsite schema validate``."""
    return {
        "file": path,
        "sha256": sha256,
        "valid": not faults,
        "faults": [fault.as_json() for fault in faults],
        "warnings": [warning.as_json() for warning in warnings],
    }
