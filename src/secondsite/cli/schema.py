"""``secondsite schema``: the JSON Schema of the file and of every document that ``--json`` prints."""

from __future__ import annotations

from secondsite.cli.render import emit_json
from secondsite.cli.schemas import names, schema_of


def run(name: str | None = None, /) -> int:
    """Print the JSON Schema of the file, or of the document a command prints with --json.

    Example: ``secondsite schema status``

    Exit code 0: printed. 2: nothing has that name.

    See also: validate.

    Parameters
    ----------
    name
        Which schema; without it their names are listed.
    """
    if name is None:
        print("\n".join(names()))
    else:
        emit_json(schema_of(name))
    return 0
