"""The entry of every command: a table of commands loaded only when called, and the boundary where errors end."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TextIO

from secondsite.errors import SecondsiteError

if TYPE_CHECKING:
    from cyclopts import App

    from secondsite.cli.urgent import Asked

# What no error of the world ends with; the codes that one has are errors.Exit. Why: docs/adr/0010-exit-codes.md.
INTERRUPTED = 130
BUG = 70
NOBODY_READS = 141


class Command(NamedTuple):
    """One line of the table. target: "module:function" or "module:app", imported when the command is called."""

    name: str
    target: str
    help: str
    show: bool = True


# The order is the order of `secondsite --help`. A command that does not exist yet has no line.
COMMANDS: tuple[Command, ...] = (
    Command("init", "secondsite.cli.init:run", "Write a first file, from answers or from flags."),
    Command("validate", "secondsite.cli.validate:run", "Check the file and tell everything that is wrong with it."),
    Command("plan", "secondsite.cli.plan:run", "Show what apply would change on both hosts; changes nothing."),
    Command("apply", "secondsite.cli.apply:run", "Bring both hosts to what the file says."),
    Command("status", "secondsite.cli.status:run", "Show what is, and what a disaster would cost right now."),
    Command("readiness", "secondsite.cli.readiness:run", "Say whether a failover now would work, check by check."),
    Command("failover", "secondsite.cli.failover:run", "Let the standby take over because the primary is gone."),
    Command("switchover", "secondsite.cli.switchover:run", "Move the service to the other site and lose nothing."),
    Command("failback", "secondsite.cli.failback:run", "Come home after a failover, as everything was before it."),
    Command("gameday", "secondsite.cli.gameday:run", "Rehearse a disaster with a real fault."),
    Command("files", "secondsite.cli.files:app", "Bring files back from before, and decide about the file sets."),
    Command(
        "verify", "secondsite.cli.verify:run", "Compare the standby's copy with the primary: rows, indexes, files."
    ),
    Command("report", "secondsite.cli.report:run", "List the reports of game days, or show one and check it."),
    Command("journal", "secondsite.cli.journal:run", "Show what procedures did here, and prove the record of it."),
    Command("guard", "secondsite.cli.guard:run", "Ask whether this host may accept writes."),
    Command("residency", "secondsite.cli.residency:run", "Say where data is declared to be, and what is proven."),
    Command("explain", "secondsite.cli.explain:run", "Say what the name of an error or of a check means."),
    Command("schema", "secondsite.cli.schema:run", "Print the JSON Schema of the file or of a command's document."),
    Command("fault", "secondsite.cli.fault:run", "Break this host on purpose, with the end armed first.", show=False),
    Command(
        "carry-out", "secondsite.cli.carry_out:run", "Carry out a procedure for the other end of a pipe.", show=False
    ),
    Command("session", "secondsite.cli.session:run", "The other end of plan and apply on a host.", show=False),
    Command("agent", "secondsite.cli.agent:run", "Watch this host; started by systemd.", show=False),
    Command("state", "secondsite.cli.state:run", "Print what this host knows of both sites.", show=False),
    Command("completion", "secondsite.cli.completion:run", "Print the completion script of a shell."),
)

# Options that may also stand before the command; the value says whether an argument follows.
_GLOBAL_OPTIONS = {"--config": True, "--json": False, "--yes": False, "--dry-run": False}


def main(argv: Sequence[str] | None = None, *, asked: Asked | None = None) -> int:
    """Run one command; returns its exit code and leaves no traceback unless we made a mistake.

    asked: the command was sent to the agent already, and is only to be shown.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    if tokens == ["--version"]:  # answered before anything heavy is imported
        from secondsite import __version__

        print(__version__)
        return 0
    as_json = wants_json(tokens)
    try:
        code = run(tokens) if asked is None else show(asked)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return interrupted(as_json, site=None if asked is None else asked.site)
    except PermissionError as denied:
        return _denied(denied, as_json)
    except BrokenPipeError as broken:
        return _hang_up() if _reader_gone() else _bug(broken, as_json)
    except SecondsiteError as error:
        return _ended(error, as_json)
    except ExceptionGroup as group:
        leaves = list(_leaves(group))
        known = [leaf for leaf in leaves if isinstance(leaf, SecondsiteError)]
        return _explain(known, as_json) if len(known) == len(leaves) else _bug(group, as_json)
    except Exception as mistake:  # noqa: BLE001 - the one place where a mistake of ours is shown as such
        return _bug(mistake, as_json)


def show(asked: Asked) -> int:
    """Show what comes of a failover that is on its way. Raises the error that its result is."""
    import socket

    from secondsite.cli.outcome import follow, tell
    from secondsite.cli.render import Renderer

    with socket.socket(fileno=asked.line.detach()) as line, Renderer() as emit:
        result = follow(line, "failover", emit)
    return tell(result, as_json=asked.as_json)


def run(tokens: Sequence[str]) -> int:
    """Parse and run, async commands included. Raises UsageError on a command line that cannot be parsed."""
    if tokens in (["session"], ["session", "--read-only"]):  # each plan starts it on both hosts: nothing loaded in vain
        import asyncio

        from secondsite.cli.bootstrap.at_the_host import session

        return asyncio.run(session(read_only="--read-only" in tokens))
    if tokens == ["files", "watch"]:  # runs for ever, and must stay small
        from secondsite.files.watch.program import main as watch

        return watch()
    from cyclopts import CycloptsError

    app, tokens = build_app(), asked_for_help(hoisted(tokens))
    if {"--help", "-h"} & set(_before_dashes(tokens)):
        from secondsite.cli.help import teach

        teach(app, tokens)
    try:
        result = app(tokens)
    except CycloptsError as wrong:
        from secondsite.cli.misuse import misuse

        raise misuse(wrong, app, tokens) from wrong
    return int(result) if result is not None else 0


def build_app() -> App:
    """The command line as cyclopts knows it; no command's module is imported here."""
    from cyclopts import App, Parameter

    from secondsite import __version__
    from secondsite.cli.help import worth_showing

    app = App(
        name="secondsite",
        help="Disaster recovery that you have already rehearsed: PostgreSQL, files and DNS at two sites.",
        version=__version__,
        help_format="plaintext",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        default_parameter=Parameter(show_default=worth_showing),
    )
    for place, command in enumerate(COMMANDS):
        app.command(command.target, name=command.name, help=command.help, show=command.show, sort_key=place)
    return app


def wants_json(tokens: Sequence[str]) -> bool:
    """Whether the caller asked for JSON, known even where the rest of the line cannot be parsed."""
    return "--json" in _before_dashes(tokens)


def hoisted(tokens: Sequence[str]) -> list[str]:
    """Options which stand before the command, moved behind it, where each command declares them."""
    rest = list(tokens)
    moved: list[str] = []
    while rest and rest[0].partition("=")[0] in _GLOBAL_OPTIONS:
        takes_value = _GLOBAL_OPTIONS[rest[0].partition("=")[0]] and "=" not in rest[0]
        count = 2 if takes_value else 1
        moved += rest[:count]
        del rest[:count]
    end = len(_before_dashes(rest))
    return [*rest[:end], *moved, *rest[end:]]


def asked_for_help(tokens: Sequence[str]) -> list[str]:
    """``help COMMAND`` as ``COMMAND --help``, and ``help`` alone as ``--help``: many type it."""
    return [*tokens[1:], "--help"] if tokens[:1] == ["help"] else list(tokens)


def _before_dashes(tokens: Sequence[str]) -> list[str]:
    tokens = list(tokens)
    return tokens[: tokens.index("--")] if "--" in tokens else tokens


def _explain(errors: Sequence[SecondsiteError], as_json: bool) -> int:
    """Tell what happened, the worst first, to a person or to a program."""
    from secondsite.cli.render import emit_json, error_text

    errors = sorted(errors, key=lambda error: -int(error.exit))
    worst = errors[0]
    with contextlib.suppress(BrokenPipeError):
        if as_json:
            emit_json({**worst.as_json(), "also": [error.as_json() for error in errors[1:]]})
            sys.stdout.flush()
        else:
            print("\n".join(error_text(error) for error in errors), file=sys.stderr)
    return int(worst.exit)


def _denied(denied: PermissionError, as_json: bool) -> int:
    """What root keeps on a host was asked for by somebody else; any other refusal of the kernel's is our mistake."""
    from secondsite.cli.options import needs_root
    from secondsite.spec import paths

    kept = (paths.ETC, paths.STATE, paths.RUN)
    if os.geteuid() == 0 or not any(str(denied.filename).startswith(str(folder)) for folder in kept):
        return _bug(denied, as_json)
    return _explain([needs_root(denied)], as_json)


def _ended(error: SecondsiteError, as_json: bool) -> int:
    """Ctrl-C, or a bug in a host's agent, is no judgement of the world: it has a code of its own (docs/adr/0010)."""
    code = {"interrupted": INTERRUPTED, "bug": BUG}.get(error.slug)
    if code is None:
        return _explain([error], as_json)
    _tell(error, code, as_json)
    return code


def interrupted(as_json: bool, *, site: str | None = None) -> int:
    """Tell of Ctrl-C. site: its agent may have been asked for a failover, and does not hear of it."""
    if site is not None:
        from secondsite.cli.interrupt import procedure_left

        return _ended(procedure_left("failover", site, agent=True), as_json)
    return _ended(SecondsiteError("interrupted; what was not finished was stopped", slug="interrupted"), as_json)


def _bug(mistake: BaseException, as_json: bool) -> int:
    import traceback

    traceback.print_exception(mistake)
    error = SecondsiteError(
        f"this is a bug in secondsite: {type(mistake).__name__}: {mistake}",
        slug="bug",
        hint="report the lines above; `secondsite status` says what state the sites are in",
    )
    _tell(error, BUG, as_json)
    return BUG


def _tell(error: SecondsiteError, code: int, as_json: bool) -> None:
    """An ending that has no place in the tree of errors, because its exit code has none in ``Exit``."""
    from secondsite.cli.render import emit_json, error_text

    with contextlib.suppress(BrokenPipeError):
        if as_json:
            emit_json({**error.as_json(), "exit_code": code, "also": []})
            sys.stdout.flush()
        else:
            print(error_text(error), file=sys.stderr)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner


def _reader_gone() -> bool:
    """Whether nobody reads our output any more (``| head``); else a broken pipe is somebody else's."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            poll.register(stream.fileno(), select.POLLERR)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _hang_up() -> int:
    """End quietly, and keep the interpreter from complaining when it flushes what nobody reads."""
    for stream in (sys.stdout, sys.stderr):
        _silence(stream)
    return NOBODY_READS


def _silence(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)


if __name__ == "__main__":
    sys.exit(main())
