"""``secondsite init``: write a first file, from answers or from flags."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from secondsite.cli.interview import Flags, interview
from secondsite.cli.options import HERE, Json
from secondsite.cli.render import emit_json
from secondsite.cli.skeleton import skeleton
from secondsite.clock import Clock, SystemClock
from secondsite.errors import FinalError, UsageError
from secondsite.spec.faults import SpecFaults
from secondsite.spec.load import loads

Many = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


def run(
    *,
    service: str | None = None,
    site: Many = (),
    public: Many = (),
    operator: Many = (),
    country: Many = (),
    location: Many = (),
    cluster: str | None = None,
    units: Many = (),
    health: str | None = None,
    files: Many = (),
    dns: Many = (),
    tsig: str | None = None,
    rpo: str | None = None,
    rto: str | None = None,
    network: str | None = None,
    output: Path = HERE,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    json: Json = False,
) -> int:
    """Write a first file: asks at a terminal, and takes everything by flags.

    Each answer is judged when it is given, and asked for again where it does not fit.

    What is told about a site is written NAME=VALUE, or just VALUE where it holds for both.

    Example: ``secondsite init --output shop.toml`` asks for everything, and writes shop.toml.

    Exit code 0: written. 2: an answer does not fit, or the file is there already.

    See also: validate, plan.

    Parameters
    ----------
    service
        Short name of the service.
    site
        NAME=USER@HOST; give it twice, first the site that is primary now.
    public
        Public IP address of a site; taken from its SSH destination where that is an address.
    operator
        Who runs the place.
    country
        Country code of a site, like NO.
    location
        Latitude and longitude of a site, like oslo=59.91,10.75.
    cluster
        PostgreSQL cluster as pg_lsclusters shows it, like 15/main.
    units
        systemd unit of the application; may be given several times.
    health
        URL on the host that answers 200 when the application works.
    files
        Folder to mirror, NAME=PATH; may be given several times.
    dns
        Record that moves, NAME@ZONE=SERVER; may be given several times.
    tsig
        KEYNAME=FILE: key that signs DNS updates, and the file on the hosts that holds its secret.
    rpo
        How much work may be lost, like 1m.
    rto
        How long the service may be away, like 5m.
    network
        Network of the tunnel; must be free at both sites.
    output
        Where the file is written.
    force
        Move a file that is already there aside and write a new one.
    """
    _refuse_existing(output, force)
    flags = Flags(
        service, site, public, operator, country, location, cluster, units, health, files, dns, tsig, rpo, rto, network
    )
    answers = interview(flags, _ask if sys.stdin.isatty() and sys.stderr.isatty() else None)
    text = skeleton(answers)
    try:
        loaded = loads(text.encode(), output)
    except SpecFaults as faulty:
        told = [f"{fault.path}: {fault.message}" for fault in faulty.faults]
        raise UsageError(
            "\n".join(told), slug="init-incomplete", hint="change the answers; nothing was written"
        ) from None
    aside = _write(output, text, SystemClock())
    if json:
        warnings = [warning.as_json() for warning in loaded.warnings]
        emit_json(
            {"file": str(output), "sha256": loaded.sha256, "moved_aside": aside and str(aside), "warnings": warnings}
        )
        return 0
    if aside:
        print(f"moved the old file to {aside}")
    if answers.dns and answers.key:
        print(
            f"put the base64 secret of the DNS key {answers.key.name} into {answers.key.file} on both hosts, "
            "owner root, mode 0600, before secondsite apply: whichever site takes over moves the record"
        )
    print(f"wrote {output}; look through it, then run: secondsite validate --config {output}")
    return 0


def _refuse_existing(output: Path, force: bool) -> None:
    """Before anything is asked, so that no answer is given in vain."""
    if output.exists() and not force:
        raise UsageError(
            f"{output} is already there",
            slug="file-exists",
            hint="--force moves it aside, --output FILE writes elsewhere",
        )
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent} is no folder", slug="no-folder", hint="make it, or choose another --output")


def _write(output: Path, text: str, clock: Clock) -> Path | None:
    """Write the file, never over another; returns where an old one went."""
    try:
        aside = _aside(output, clock.now()) if output.exists() else None
        if aside is not None:
            output.rename(aside)
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as failed:
        raise FinalError(f"{output} cannot be written: {failed.strerror}", slug="cannot-write") from failed
    return aside


def _aside(output: Path, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    names = [f"{output.name}.{stamp}.old", *(f"{output.name}.{stamp}-{n}.old" for n in range(1, 100))]
    return next(path for name in names if not (path := output.with_name(name)).exists())


def _ask(question: str, default: str) -> str:
    print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt  # the person closed the input: nothing more will be answered
    return line.strip() or default
