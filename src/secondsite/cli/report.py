"""``secondsite report``: the reports of game days and failovers, and whether they are as they were written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from secondsite.cli.options import Config, Json
from secondsite.spec import paths

HERE = Path("secondsite-report")  # where a game day writes if nothing else is said


def run(
    which: str | None = None,
    /,
    *,
    html: Path | None = None,
    output: Path | None = None,
    lost_rows: Annotated[bool, Parameter(negative="")] = False,
    lost_files: Annotated[bool, Parameter(negative="")] = False,
    config: Config = None,
    json: Json = False,
) -> int:
    """List the reports here, or show one and check that nothing of it was changed.

    With ``--lost-rows`` it tells what a failover has lost, once the old primary was taken back: the transactions, and
    the rows they left, so that a person can enter them again. They hold users' data. With ``--lost-files`` it lists the
    files that never reached the other site, and where they were set aside.

    ``secondsite report failover`` writes the report of the last failover, as a game day writes its own. It is made from
    the journal: run it at the site that took over, or where both hosts are reached by SSH. There it also tells what was
    found at the old primary, once that was taken back; write it again then.

    A report is kept where the game day was held, so run it there. With ``--config`` only reports of that file's
    service are meant.

    Example: ``secondsite report latest --html report.html``

    Exit code 0: as it was written. 1: something of the report or its evidence is missing or was changed since.

    See also: gameday, journal.

    Parameters
    ----------
    which
        The id of a report, the beginning of one, latest, or a report's folder; failover writes that of the last
        failover first. Without it the reports are listed.
    html
        Write the page to this file, made anew from report.json.
    output
        Copy report, page and evidence to this folder, which must not exist or be empty. With lost rows or
        lost files: the file to write them to.
    lost_rows
        Show the rows that were lost instead of reports.
    lost_files
        Show the files that were lost instead of reports.
    """
    if lost_rows:
        return _lost_rows(config, output, as_json=json)
    if lost_files:
        return _lost_files(config, output, as_json=json)
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.gameday import show
    from secondsite.cli.views.reports import listing
    from secondsite.errors import Exit, UsageError
    from secondsite.evidence.write import altered, read

    if which is None:
        if html is not None or output is not None:
            raise UsageError("which report is meant?", hint="secondsite report latest")
        found = [summary(folder) for folder in _of_service(folders(), config)]
        if json:
            emit_json({"folder": str(paths.REPORTS), "reports": found})
        else:
            print("\n".join(listing(found)))
        return Exit.OK
    folder = _failover(config) if which == "failover" else find(which, config)
    document, problems = read(folder), altered(folder)
    _hand_out(document, folder, html, output)
    if json:
        emit_json(document)
    else:
        show(document)
        print(f"  report  {folder / 'report.html'}")
    _tell(problems)
    return Exit.OBJECTIVE_MISSED if problems else Exit.OK


def _failover(config: Path | None) -> Path:
    from secondsite.cli.failover_report import write_last

    return write_last(config, HERE)


def _lost_rows(config: Path | None, output: Path | None, *, as_json: bool) -> int:
    from secondsite.cli import lost, lost_files
    from secondsite.cli.render import emit_json

    records = lost.found(config)
    if output is not None:
        print(f"{lost.write(records, output)} rows written to {output}", file=sys.stderr)
    if as_json:
        emit_json({"lost": records})
    elif output is None:
        print("\n".join(lost.lines(records, lost_files.summary(lost_files.found(config)))))
    return 0


def _lost_files(config: Path | None, output: Path | None, *, as_json: bool) -> int:
    from secondsite.cli import lost_files
    from secondsite.cli.render import emit_json

    records = lost_files.found(config)
    if output is not None:
        print(f"{lost_files.write(records, output)} files written to {output}", file=sys.stderr)
    if as_json:
        emit_json({lost_files.KEY: records})
    elif output is None:
        print("\n".join(lost_files.lines(records)))
    return 0


def folders() -> list[Path]:
    """Every folder that holds a report, on this host and in the working directory; the newest first."""
    kept = [path.parent for path in paths.REPORTS.glob("*/report.json")]
    here = [path.parent for path in (HERE / "report.json", *sorted(HERE.glob("*/report.json"))) if path.is_file()]
    return sorted([*kept, *here], key=lambda folder: summary(folder)["created_at"] or "", reverse=True)


def summary(folder: Path) -> dict[str, Any]:
    """{id, report, service, created_at, passed, folder}; null where the report cannot be read."""
    from secondsite.errors import FinalError
    from secondsite.evidence.write import read

    try:
        document = read(folder)
    except FinalError:
        document = {}
    told = {key: document.get(key) for key in ("id", "report", "service", "created_at")}
    return {**told, "passed": (document.get("verdict") or {}).get("passed"), "folder": str(folder)}


def _of_service(folders: Sequence[Path], config: Path | None) -> list[Path]:
    """Those of the service that ``config`` describes; all where no file is named."""
    if config is None:
        return list(folders)
    from secondsite.cli.options import find_config
    from secondsite.spec.load import load

    service = load(find_config(config)).spec.service.name
    return [folder for folder in folders if summary(folder)["service"] == service]


def find(which: str, config: Path | None = None) -> Path:
    """The folder of a report. Raises UsageError (``no-report``) where none or more than one is meant."""
    from secondsite.errors import UsageError

    path = Path(which)
    for candidate in (path, path.parent):
        if (candidate / "report.json").is_file() and (candidate == path or path.name.startswith("report.")):
            return candidate
    known = [(str(summary(folder)["id"]), folder) for folder in _of_service(folders(), config)]
    if which == "latest" and known:
        return known[0][1]
    exact = [folder for name, folder in known if which in (name, folder.name)]
    begins = exact or [folder for name, folder in known if name.startswith(which)]
    if len(begins) != 1:
        told = f"{len(begins)} reports begin with {which}" if begins else f"there is no report {which} here"
        hint = (
            "`secondsite report` lists those of this machine; on the machine that held the game day there may be more"
        )
        raise UsageError(told, slug="no-report", hint=hint)
    return begins[0]


def _hand_out(document: dict[str, Any], folder: Path, html: Path | None, output: Path | None) -> None:
    import shutil

    from secondsite.errors import UsageError
    from secondsite.evidence.html import render

    if html is not None:
        html.write_text(render(document), encoding="utf-8")
    if output is not None:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"{output} is there already", hint="name a folder that does not exist yet")
        shutil.copytree(folder, output, dirs_exist_ok=True)


def _tell(problems: list[str]) -> None:
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
