"""What pydantic found, in plain English and at the place a person would look."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import IPv4Network, ip_network
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from secondsite.spec import countries
from secondsite.spec.faults import KIND, Loc, Problem
from secondsite.spec.fields import COUNTRY_PATTERN, PATTERN_WORDS
from secondsite.spec.model import Spec

_SECRETIVE = ("secret", "password", "passwd", "token", "apikey", "api_key", "private_key", "key")
_SECRET_HINT = (
    'put it into a file that only root reads and write { file = "/etc/secondsite/tsig.key" }, or { env = "NAME" }'
)


def explain(wrong: ValidationError, data: Mapping[str, Any]) -> list[Problem]:
    """One problem a place; a key that was mistyped is told once, not also as missing."""
    problems: dict[Loc, Problem] = {}
    missing: dict[Loc, Problem] = {}
    mistyped: set[Loc] = set()
    for error in wrong.errors(include_url=False):
        loc = _real(error["loc"], data)
        if error["type"] == "missing":
            missing[(*loc, error["loc"][-1])] = _missing(loc, error["loc"][-1])
        elif error["type"] == "extra_forbidden":
            problem, meant = _unknown(loc, data)
            problems[loc] = problem
            mistyped |= {(*loc[:-1], meant)} if meant else set()
        else:
            problems.setdefault(loc, Problem(loc, *_words(error, loc)))
    told = {loc: problem for loc, problem in missing.items() if loc not in mistyped}
    return [*problems.values(), *told.values()]


def in_words(wrong: ValidationError) -> str:
    """The first thing wrong with a single value, with its hint."""
    message, hint = _words(wrong.errors(include_url=False)[0], ())
    return f"{message}; {hint}" if hint else message


def _real(loc: Loc, data: Any) -> Loc:
    """The part of pydantic's location that exists in the data, without the names of its own branches."""
    real: list[str | int] = []
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            break
        real.append(part)
    return tuple(real)


def _missing(around: Loc, key: str | int) -> Problem:
    loc = (*around, key)
    if isinstance(key, int):
        return Problem(around, f"needs a value at position {key + 1}", _described(around))
    named = f"[{key}]" if len(loc) == 1 else f'"{key}"'
    return Problem(loc, f"missing {named}", _described(loc))


def _unknown(loc: Loc, data: Any) -> tuple[Problem, str | None]:
    *around, key = loc
    if str(key).lower() in _SECRETIVE:
        return Problem(loc, "a secret must not stand in this file", _SECRET_HINT), None
    for part in around:
        data = data[part]
    model = _model_at(tuple(around))
    known = list(model.model_fields) if model else []
    free = [name for name in known if name not in data]
    close = get_close_matches(str(key).lower(), free, n=1, cutoff=0.6)
    if close:
        return Problem(loc, f'unknown key "{key}"', f'did you mean "{close[0]}"?'), close[0]
    hint = f"known here: {', '.join(known)}" if known else None
    return Problem(loc, f'unknown key "{key}"', hint), None


def _words(error: Mapping[str, Any], loc: Loc) -> tuple[str, str | None]:
    """Message and hint for a value that is not what it should be."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    if kind == KIND:
        return context["message"], context["hint"]
    if loc and loc[-1] in ("secret", "tsig") and isinstance(given, str):
        return "a secret must not stand in this file", _SECRET_HINT
    if "secret" in loc and isinstance(given, str):
        given = "..."  # it may be the secret itself, and messages are kept
    if kind == "value_error":
        message, _, hint = str(context["error"]).partition("; ")
        return message, hint or None
    if kind == "string_pattern_mismatch":
        what, hint = PATTERN_WORDS.get(context["pattern"], ("not written as it should be", ""))
        if context["pattern"] == COUNTRY_PATTERN and (likely := countries.meant(str(given))):
            hint = f'did you mean "{likely}"?'
        return f'"{given}" is {what}', hint or None
    if kind == "literal_error":
        return _not_one_of(str(given), loc)
    if kind in _LIMITS:
        return f"{_shown(given)} is {_LIMITS[kind]} {next(iter(context.values())):g}", _described(loc)
    if kind.startswith("ip_"):
        return _address(kind, given)
    if kind.startswith("time_"):
        return f"{_shown(given)} is no time of day", 'write it like "09:00"'
    if kind == "too_short":
        return "must not be empty", _described(loc)
    if kind == "too_long":
        return f"has {context['actual_length']} values, {context['max_length']} at most", _described(loc)
    wanted = next((words for start, words in _TYPES.items() if kind.startswith(start)), None)
    if wanted is None:
        return f"{_shown(given)} does not fit here", _described(loc)
    if wanted is _LIST and isinstance(given, dict) and len(loc) == 1:
        return "must be a list of tables", f"write [[{loc[0]}]] with two brackets, once for each"
    if wanted is _LIST and isinstance(given, str):
        return (
            f"must be {wanted}, not {_shown(given)}",
            f"did you mean {json.dumps(given.split(), ensure_ascii=False)}?",
        )
    return f"must be {wanted}, not {_shown(given)}", _described(loc)


_LIMITS = {
    "greater_than": "too small: it must be more than",
    "greater_than_equal": "too small: the least is",
    "less_than": "too large: it must be less than",
    "less_than_equal": "too large: the most is",
}
_LIST = "a list in square brackets"
_TYPES = {
    "string_": "text in quotes",
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "tuple_": _LIST,
    "dict_": "a table",
    "model_": "a table",
    "path_": "text in quotes",
}


def _not_one_of(given: str, loc: Loc) -> tuple[str, str | None]:
    choices = [str(choice) for choice in _literals(loc)]
    close = get_close_matches(given.lower(), choices, n=1, cutoff=0.5)
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return f'"{given}" is not one of {listed}', f'did you mean "{close[0]}"?' if close else None


def _address(kind: str, given: object) -> tuple[str, str | None]:
    if not kind.endswith("network"):
        hint = 'give the address itself, like "192.0.2.11"; a host name depends on the DNS that may be down'
        return f"{_shown(given)} is no IP address", hint
    try:
        network = ip_network(str(given), strict=False)
    except ValueError:
        return f"{_shown(given)} is no network", 'write it like "10.10.0.0/24"'
    if not isinstance(network, IPv4Network):
        return f"{_shown(given)} is an IPv6 network, and only IPv4 is supported here", None
    return f"{_shown(given)} is an address within a network", f'did you mean "{network}"?'


def _shown(given: object) -> str:
    match given:
        case bool():
            return str(given).lower()
        case str():
            return f'"{given}"'
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
    return str(given)


def _described(loc: Loc) -> str | None:
    """What the field is for, in the words of the model."""
    *around, key = [part for part in loc if not isinstance(part, int)] or [""]
    model = _model_at(tuple(around))
    field = model.model_fields.get(key) if model else None
    return f"{key}: {field.description}" if field and field.description else None


def _model_at(loc: Loc) -> type[BaseModel] | None:
    """The model of the section at a place."""
    return next((kind for kind in _kinds_at(loc) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _literals(loc: Loc) -> Sequence[object]:
    for kind in _kinds_at(loc):
        if choices := [choice for choice in get_args(kind) if isinstance(choice, str)]:
            return choices
    return ()


def _kinds_at(loc: Loc) -> list[Any]:
    kinds: list[Any] = [Spec]
    for part in loc:
        if not isinstance(part, int):
            kinds = [inner for kind in kinds for inner in _within(kind, part)]
    return kinds


def _within(kind: Any, key: str) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(key)
        yield from _unwrapped(field.annotation) if field else ()
    elif get_origin(kind) is dict:
        yield from _unwrapped(get_args(kind)[1])


def _unwrapped(annotation: Any) -> Iterator[Any]:
    """The kinds behind ``X | None``, ``Annotated[X, ...]`` and ``tuple[X, ...]``."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, tuple):
        for inner in get_args(annotation):
            yield from _unwrapped(inner)
    elif hasattr(annotation, "__metadata__"):
        yield from _unwrapped(get_args(annotation)[0])
    else:
        yield annotation
