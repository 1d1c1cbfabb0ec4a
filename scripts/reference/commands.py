"""The page of commands, from what cyclopts knows of them."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from cyclopts import App

from scripts.reference.pages import table

_INTRODUCTION = """# Commands

`secondsite` protects a service. `secondsite-lab` makes two sites on one machine to try it on.
Every command explains itself with `--help`. This page says the same.

## What all commands of secondsite share

- `--config`, `--json`, `--yes` and `--dry-run` may stand before the command or after it. Its table below says which of
  them a command takes.
- With `--json` there is one document on standard output. Progress goes to standard error.
  `secondsite schema NAME` prints the document's JSON Schema. Later versions only add keys.
- Long work shows its progress. Without a terminal it prints plain lines.
- A dangerous command shows what it will do and asks. `--yes` answers. Without a terminal and without `--yes` it stops.
- Every error has a name that never changes its meaning. [The errors](errors.md) explains each.

"""

EXIT_CODES = [
    ("0", "Done, and the objectives are met."),
    ("1", "Done, but an objective was missed, or the service is not ready."),
    ("2", "The command line or the file is wrong. Nothing was attempted."),
    ("3", "Failed, and everything is as it was."),
    ("4", "Stopped half-way. A person is needed: the message says each site's state and the command that goes on."),
    ("70", "A bug in secondsite. The lines above the message belong into the report."),
    ("130", "Interrupted by Ctrl-C. What a host's agent carries out goes on; anything else was stopped."),
    ("141", "Nobody read the output any more, as in `secondsite status | head -1`."),
]


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "Exit codes:\n\n", table(("Code", "Meaning"), EXIT_CODES)]
    for title, app in programs().items():
        for name, command, shown in leaves(app):
            if shown:
                parts.append(f"\n## {title} {name}\n\n{_section(f'{title} {name}', command)}")
    parts.append(_internal())
    return "".join(parts)


def programs() -> dict[str, App]:
    """Both programs."""
    from secondsite.cli.main import build_app
    from secondsite_lab.cli import app

    return {"secondsite": build_app(), "secondsite-lab": app}


def leaves(app: App, before: str = "", shown: bool = True) -> Iterator[tuple[str, App, bool]]:
    """Every command that can be run, with its name as one types it, and whether `--help` lists it."""
    for name in app:
        if name.startswith("-"):
            continue
        command = app[name]
        full = f"{before}{name}"
        visible = shown and bool(command.show)
        if command.default_command is not None:
            yield full, command, visible
        yield from leaves(command, f"{full} ", visible)


def arguments(command: App) -> Iterator[Any]:
    """What a command takes: positional arguments first, then options as they are declared."""
    every = list(command.assemble_argument_collection(parse_docstring=True))
    yield from sorted(every, key=lambda argument: _is_option(argument))


def explanation(command: App) -> str:
    """The command's docstring, without its list of parameters."""
    text = inspect.getdoc(command.default_command) or command.help
    return text.split("\nParameters\n---", 1)[0].strip().replace("``", "`")


def _is_option(argument: Any) -> bool:
    return argument.index is None


def _place(argument: Any) -> str:
    return str(argument.name.lstrip("-").upper())


def _section(title: str, command: App) -> str:
    shown = [argument for argument in arguments(command) if argument.show]
    usage = [title, *(_usage(argument) for argument in shown if not _is_option(argument))]
    if any(_is_option(argument) for argument in shown):
        usage.append("[OPTIONS]")
    text = f"{explanation(command)}\n\n```text\n{' '.join(usage)}\n```\n"
    if shown:
        rows = [(_written(argument), _meaning(argument)) for argument in shown]
        text += f"\n{table(('Argument or option', 'Meaning'), rows)}"
    return text


def _usage(argument: Any) -> str:
    return _place(argument) if argument.required else f"[{_place(argument)}]"


def _written(argument: Any) -> str:
    if not _is_option(argument):
        return f"`{_place(argument)}`"
    value = "" if argument.hint is bool else f" {_value(argument)}"
    return ", ".join(f"`{name}{value}`" for name in argument.names)


def _value(argument: Any) -> str:
    choices = _choices(argument.hint)
    if choices:
        return "|".join(choices)
    return _place(argument)


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if inspect.isclass(hint) and issubclass(hint, Enum):
        return [str(choice.value) for choice in hint]
    return [choice for part in get_args(hint) for choice in _choices(part)]


def _meaning(argument: Any) -> str:
    text = argument.parameter.help or ""
    choices = _choices(argument.hint)
    if choices and not _is_option(argument):
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    if argument.required:
        text += " Required."
    default = argument.field_info.default
    if _is_option(argument) and default not in (None, False, (), "", argument.field_info.empty):
        text += f" Default: `{default}`."
    return text.strip()


def _internal() -> str:
    """What `--help` does not list: programs call it, not people."""
    rows = []
    for title, app in programs().items():
        for name, command, shown in leaves(app):
            if not shown:
                taken = ", ".join(f"`{argument.name}`" for argument in arguments(command))
                rows.append(
                    (f"`{title} {name}`", f"{explanation(command).splitlines()[0]} Takes {taken or 'nothing'}.")
                )
                continue
            hidden = [argument.name for argument in arguments(command) if not argument.show]
            rows += [(f"`{title} {name} {option}`", "Called by secondsite itself.") for option in hidden]
    if not rows:
        return ""
    return (
        "\n## Not for people\n\nsecondsite calls these itself, on its hosts. They may change at any time.\n\n"
        + table(("Command", "What it is"), rows)
    )
