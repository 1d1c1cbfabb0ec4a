"""``secondsite explain``: what the name of an error or of a check means, on a host without the documentation."""

from __future__ import annotations

from secondsite.cli.options import Json


def run(name: str | None = None, /, *, json: Json = False) -> int:
    """Say what an error or a finding means and what to do, by its name. The names without one.

    Every error message ends with its name, and ``readiness`` shows each check with its own. The same texts make the
    pages errors and readiness of the reference.

    Example: ``secondsite explain fence-unconfirmed``

    Exit code 0: explained. 2: nothing has that name.

    See also: readiness.

    Parameters
    ----------
    name
        The name of an error or of a check, as in fence-unconfirmed or streaming.
    """
    from secondsite.cli.explanations import everything
    from secondsite.cli.render import emit_json
    from secondsite.cli.views.explanation import listing, told

    known = everything()
    if name is None:
        chosen = known
    else:
        chosen = [one for one in known if one.name == name]
        if not chosen:
            raise _unknown(name, [one.name for one in known])
    if json:
        emit_json({"explanations": [one.as_json() for one in chosen]})
    else:
        print("\n".join(listing(chosen) if name is None else told(chosen)))
    return 0


def _unknown(name: str, known: list[str]) -> Exception:
    from difflib import get_close_matches

    from secondsite.errors import UsageError

    near = list(dict.fromkeys(get_close_matches(name, known, n=3)))
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    hint = "`secondsite explain` lists every name"
    return UsageError(f"no error and no check is named {name}{meant}", slug="no-such-name", hint=hint)
