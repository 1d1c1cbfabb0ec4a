"""The entry: what is loaded when, and how every kind of ending looks to a person and to a program."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.reference.commands import leaves
from secondsite import __version__
from secondsite.cli import main as entry
from secondsite.cli.help import explanation, worth_showing
from secondsite.cli.options import Json
from secondsite.cli.schemas import conforms
from secondsite.errors import Exit, FinalError, HalfwayError, RetryableError, SecondsiteError, UsageError

Run = Callable[..., int]


def program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "secondsite.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("line", ["guard", "status", "readiness", "failover --to oslo --dry-run", "journal", "report"])
def test_somebody_who_is_not_root_on_a_host_is_told_so(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def closed(path: Path, *_: object, **__: object) -> Any:
        if str(path).startswith(("/etc/secondsite", "/var/lib/secondsite", "/run/secondsite")):
            raise PermissionError(13, "Permission denied", str(path))
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for act in ("stat", "read_text", "read_bytes", "iterdir"):
        monkeypatch.setattr(Path, act, closed)
    code = entry.main(line.split())
    told = capsys.readouterr().err
    assert (code, "only for root" in told, "Traceback" in told) == (Exit.USAGE, True, False), told
    assert "sudo secondsite" in told and "explain needs-root" in told


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``secondsite sample ...`` whose body is the given function."""

    def run_body(body: Callable[..., Any], *arguments: str, before: tuple[str, ...] = ()) -> int:
        module = types.ModuleType("sample_command")
        module.run = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sample_command", module)
        monkeypatch.setattr(entry, "COMMANDS", (entry.Command("sample", "sample_command:run", "A sample."),))
        return entry.main([*before, "sample", *arguments])

    return run_body


def raising(error: BaseException) -> Callable[..., int]:
    def body(*, json: Json = False) -> int:
        raise error

    return body


def test_version_is_answered_without_loading_the_parser_or_the_file_model() -> None:
    code = (
        "import sys; from secondsite.cli.main import main; main(['--version']);"
        "print([name for name in ('cyclopts', 'pydantic', 'rich', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[:2] == [__version__, "[]"]


def test_a_session_on_a_host_loads_neither_the_parser_nor_ssh() -> None:
    """Both hosts start one for every plan, and what they load is most of the time that a plan takes."""
    code = (
        "import sys, secondsite.cli.bootstrap.at_the_host\n"
        "print([name for name in ('cyclopts', 'asyncssh', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "secondsite.cli.main", "session", "--read-only"],
        capture_output=True, text=True, check=True, timeout=30, input="",
    )  # fmt: skip
    assert "secondsite.cli.bootstrap.serve" in told.stderr and "cyclopts" not in told.stderr


def test_validate_loads_nothing_that_only_remote_or_database_work_needs() -> None:
    code = (
        "import sys; from secondsite.cli.main import main; main(['validate']);"
        "print([name for name in ('asyncssh', 'psycopg', 'rich', 'starlette', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", entry.COMMANDS, ids=[command.name for command in entry.COMMANDS])
def test_every_command_of_the_table_exists_and_explains_itself(
    command: entry.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main([command.name, "--help"]) == 0
    assert f"secondsite {command.name}" in capsys.readouterr().out


SHOWN = [name for name, _, shown in leaves(entry.build_app()) if shown]


@pytest.mark.parametrize("command", SHOWN)
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Purpose, an example, exit codes and what to read next, as the reference has it; and no default that says no."""
    assert entry.main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example: `secondsite {command}" in text
    assert "Exit code 0: " in text and "See also: " in text
    assert not any(noise in text for noise in ("[default: False]", '[default: ""]', "[default: ()]", "``"))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["help"], ["--help"]),
        (["help", "failover"], ["failover", "--help"]),
        (["help", "files", "allow-deletions"], ["files", "allow-deletions", "--help"]),
        (["--json", "help", "verify"], ["verify", "--json", "--help"]),
    ],
)
def test_help_without_dashes_is_the_same_help(
    words: list[str], options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(words) == 0
    asked = capsys.readouterr().out
    assert entry.main(options) == 0
    assert asked == capsys.readouterr().out and "Usage: secondsite" in asked


def test_a_default_that_says_something_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main(["gameday", "--help"]) == 0
    assert "[default: 60.0]" in capsys.readouterr().out
    assert worth_showing(0) == "0" and worth_showing(True) == "True" and worth_showing(None) is None


def test_a_paragraph_is_one_line_and_parameters_are_told_elsewhere() -> None:
    assert (
        explanation("Do it.\n\nSay ``x``\nand y.\n\nParameters\n----------\na\n    An a.") == "Do it.\n\nSay `x` and y."
    )


def test_without_a_command_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.main([]) == 0
    listed = capsys.readouterr().out
    assert all(command.name in listed for command in entry.COMMANDS if command.show)


def test_an_async_command_runs_and_its_number_is_the_exit_code(run: Run) -> None:
    async def body() -> int:
        await asyncio.sleep(0)
        return int(Exit.OBJECTIVE_MISSED)

    assert run(body) == 1


def test_a_command_that_returns_nothing_is_done(run: Run) -> None:
    assert run(lambda: None) == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (RetryableError("no"), 3),
        (FinalError("no"), 3),
        (HalfwayError("no"), 4),
        (FinalError("no", exit_code=Exit.OBJECTIVE_MISSED), 1),
    ],
)
def test_each_error_has_its_exit_code(run: Run, error: Exception, code: int) -> None:
    assert run(raising(error)) == code


def test_a_person_reads_where_what_next_and_where_it_is_explained(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    error = RetryableError("no answer", slug="no-answer-yet", host="oslo", step="fence", hint="secondsite status")
    run(raising(error))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "error: oslo (fence): no answer",
        "  next: secondsite status",
        "  see: secondsite explain no-answer-yet",
    ]


def test_a_program_reads_one_document_on_standard_output(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run(raising(HalfwayError("stopped", host="oslo", hint="secondsite failover --resume")), "--json")
    out, err = capsys.readouterr()
    document = json.loads(out)
    conforms("error", document)
    assert (document["error"], document["host"], document["exit_code"]) == ("half-way", "oslo", 4)
    assert err == ""


def test_errors_of_parallel_work_are_all_told_the_worst_first(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    inner = ExceptionGroup("inner", [HalfwayError("worst")])
    assert run(raising(ExceptionGroup("outer", [UsageError("mild"), inner])), "--json") == 4
    document = json.loads(capsys.readouterr().out)
    assert document["message"] == "worst"
    assert [also["message"] for also in document["also"]] == ["mild"]


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), ExceptionGroup("g", [UsageError("u"), KeyError("k")])])
def test_a_mistake_of_ours_is_shown_with_its_traceback_and_called_a_bug(
    run: Run, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(error)) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "this is a bug in secondsite" in err


def test_a_bug_is_a_document_too(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(ZeroDivisionError("x")), "--json") == 70
    document = json.loads(capsys.readouterr().out)
    conforms("error", document)
    assert (document["error"], document["exit_code"]) == ("bug", 70)


def test_a_bug_in_a_hosts_agent_is_no_promise_that_everything_is_as_it_was(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its document comes over the wire, without an exit code that this side could take for a judgement."""
    assert run(raising(SecondsiteError("a bug at oslo", slug="bug")), "--json") == 70
    assert json.loads(capsys.readouterr().out)["exit_code"] == 70


def test_an_interrupt_is_one_line_and_130(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(KeyboardInterrupt())) == 130
    assert "error: interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["validate", "--nonsense"], ["completion"], ["completion", "tcsh"]]
)
def test_a_command_line_that_cannot_be_parsed_is_2_with_the_help_to_read(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--help" in err
    assert "Traceback" not in err


def test_shared_options_may_stand_before_the_command(run: Run) -> None:
    seen: list[bool] = []

    def body(*, json: Json = False) -> int:
        seen.append(json)
        return 0

    assert run(body, before=("--json",)) == 0
    assert seen == [True]


@pytest.mark.parametrize(
    ("tokens", "hoisted"),
    [
        (["--config", "x", "status", "-a"], ["status", "-a", "--config", "x"]),
        (["--config=x", "--json", "status"], ["status", "--config=x", "--json"]),
        (["--yes", "guard", "check", "--", "--json"], ["guard", "check", "--yes", "--", "--json"]),
        (["status", "--json"], ["status", "--json"]),
        (["--config"], ["--config"]),
        ([], []),
    ],
)
def test_only_options_before_the_command_are_moved(tokens: list[str], hoisted: list[str]) -> None:
    assert entry.hoisted(tokens) == hoisted


def test_json_after_two_dashes_is_no_request_for_json() -> None:
    assert not entry.wants_json(["exec", "--", "--json"])
    assert entry.wants_json(["exec", "--json", "--"])


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "secondsite.cli.main", "completion", "bash"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_program_ends_with_the_code_of_the_command(tmp_path: object) -> None:
    done = program("validate", "--json", cwd=str(tmp_path))
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "no-config"


def test_a_program_that_needs_only_a_path_does_not_load_the_file_model() -> None:
    code = "import sys; from secondsite.spec import paths; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
