"""The page about the file, from the model that reads it."""

import re
from collections.abc import Iterator
from typing import Any

from scripts.reference.pages import REFERENCE, table
from secondsite.spec import Spec

_INTRODUCTION = """# The file

One file, `secondsite.toml`, describes the service, its two sites and what it takes to move between them.
`secondsite init` writes a first one. `secondsite validate` tells everything that is wrong with it, each fault with its
line. `secondsite schema file` prints the JSON Schema, for an editor.

A key that is not on this page is an error. So is a secret in the file: a secret is named by the file or the
environment variable that holds it.

## An example

```toml
{example}```

## How quantities are written

| Kind | Written |
| --- | --- |
| duration | a number and a unit, also several: `500ms`, `30s`, `5m`, `1h30m`, `14d`, `2w` |
| size | `500MB` (decimal) or `20GiB` (binary) |
| rate | `5MB/s` |
| share | `20%` |
"""
_KINDS = {"30s": "duration", "500MB": "size", "5MB/s": "rate", "20%": "share"}
_FORMATS = {
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "ipv4network": "IPv4 network",
    "path": "path",
    "time": "time",
}
_TYPES = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}


def page() -> str:
    """The whole page."""
    example = (REFERENCE / "example.toml").read_text()
    parts = [_INTRODUCTION.replace("{example}", example)]
    for heading, description, keys in sections():
        rows = [(f"`{key}`", kind, default, meaning) for key, kind, default, meaning in keys]
        parts.append(f"\n## {heading}\n\n{description}\n\n{table(('Key', 'Value', 'Default', 'Meaning'), rows)}")
    return "".join(parts)


Row = tuple[str, str, str, str]


def sections() -> Iterator[tuple[str, str, list[Row]]]:
    """Heading, description and keys of every section, sections within sections after the one they are in."""
    schema = Spec.model_json_schema(mode="validation")
    definitions = schema["$defs"]
    for name, part in schema["properties"].items():
        yield from _section(name, part, definitions, depth=0)


def _section(name: str, part: dict[str, Any], definitions: dict[str, Any], depth: int) -> Iterator[Any]:
    target, many, named = _target(part)
    if target is None:
        return
    section = definitions[target]
    path = f"{name}.NAME" if named else name
    heading = f"[[{path}]]" if many else f"[{path}]"
    note = f" {part['description'][:1].upper()}{part['description'][1:]}." if named and "description" in part else ""
    required = section.get("required", ())
    rows: list[Row] = []
    inner: list[tuple[str, dict[str, Any]]] = []
    for key, value in section["properties"].items():
        below = _target(value)[0]
        kind = f"table, see [{path}.{key}](#{anchor(f'[{path}.{key}]')})" if below else _kind(value)
        rows.append((key, kind, _default(key, value, required), value.get("description", "")))
        if below:
            inner.append((f"{path}.{key}", value))
    yield f"`{heading}`", section.get("description", "") + note, rows
    for below_path, value in inner:
        yield from _section(below_path, value, definitions, depth + 1)


def anchor(heading: str) -> str:
    """How a heading is addressed: as GitHub does it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _target(part: dict[str, Any]) -> tuple[str | None, bool, bool]:
    """The section a property leads to; whether there may be several; whether each has a name of its own."""
    for choice in (part, *part.get("anyOf", ())):
        if "$ref" in choice:
            return choice["$ref"].rpartition("/")[2], False, False
    if "$ref" in (items := part.get("items") or {}):
        return items["$ref"].rpartition("/")[2], True, False
    inside = part.get("additionalProperties")
    named = [inside] if isinstance(inside, dict) else list((part.get("patternProperties") or {}).values())
    if named and "$ref" in named[0]:
        return named[0]["$ref"].rpartition("/")[2], False, True
    return None, False, False


def _kind(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_kind(choice) for choice in value["anyOf"] if choice.get("type") != "null")
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        if "prefixItems" in value:
            return f"list of {len(value['prefixItems'])} numbers"
        return f"list of {_plural(value['items'])}"
    if examples := value.get("examples"):
        return _KINDS[examples[0]]
    if "format" in value:
        return _FORMATS[value["format"]]
    limits = [f"{word} {value[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in value]
    return " ".join([_TYPES[value["type"]], *limits])


def _plural(items: dict[str, Any]) -> str:
    if items.get("type") == "array":
        return "lists of texts"
    if "enum" in items:
        return ", ".join(f"`{choice}`" for choice in items["enum"])
    return {"IPv4 network": "IPv4 networks", "text": "texts"}.get(_kind(items), f"{_kind(items)}s")


def _default(key: str, value: dict[str, Any], required: list[str]) -> str:
    if key in required:
        return "required"
    default = value.get("default")
    if default in (None, []):
        return "none"
    if isinstance(default, list):
        return ", ".join(f"`{item}`" for item in default)
    return f"`{default}`"
