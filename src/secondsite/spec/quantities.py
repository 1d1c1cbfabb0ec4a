"""Quantities as people write them: durations ("1m", "24h"), sizes ("20GB"), rates ("5MB/s"), shares ("20%")."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def parse_duration(value: object) -> object:
    """Seconds from "90s", "1m", "1m30s", "24h", "500ms". Raises ValueError on anything else."""
    if not isinstance(value, str):
        raise ValueError('write a duration as text with a unit, like "30s", "5m" or "1h30m"')
    text = value.strip()
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f'"{value}" is no duration; write it like "30s", "5m" or "1h30m"')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_size(value: object) -> object:
    """Bytes from "20GB" (decimal) or "20GiB" (binary). Raises ValueError on anything else."""
    if not isinstance(value, str):
        raise ValueError('write a size as text with a unit, like "500MB" or "20GiB"')
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f'"{value}" is no size; write it like "500MB" or "20GiB"')
    return int(Decimal(match[1]) * _BYTES[match[2]])  # exact where a float is not


def parse_rate(value: object) -> object:
    """Bytes a second from "5MB/s". Raises ValueError on anything else."""
    if not isinstance(value, str) or not value.strip().endswith("/s"):
        raise ValueError('write a rate as text, like "5MB/s"')
    return parse_size(value.strip().removesuffix("/s"))


def parse_share(value: object) -> object:
    """A fraction from "20%". Raises ValueError outside 0 % to 100 %."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", value):
        raise ValueError('write a share as text with a percent sign, like "20%"')
    share = float(value.strip().rstrip("%")) / 100
    if share > 1:
        raise ValueError(f'"{value}" is more than all; 100% is the most')
    return share


def _written(pattern: str, *examples: str) -> WithJsonSchema:
    """How the file writes a quantity, for editors that know JSON Schema."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)}, mode="validation")


_NUMBER = r"\d+(\.\d+)?\s*"
_SIZED = _NUMBER + "([kKMGT]?B|[KMGT]iB)?"

Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(gt=0),
    _written(rf"^({_NUMBER}(ms|s|m|h|d|w)\s*)+$", "30s", "5m", "1h30m"),
]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0), _written(f"^{_SIZED}$", "500MB", "20GiB")]
BytesPerSecond = Annotated[int, BeforeValidator(parse_rate), Field(gt=0), _written(f"^{_SIZED}/s$", "5MB/s")]
Share = Annotated[float, BeforeValidator(parse_share), Field(ge=0, le=1), _written(rf"^{_NUMBER}%$", "20%")]


def duration_text(seconds: float) -> str:
    """A duration as the file writes it, exact to the millisecond: 90 is "1m30s"."""
    rest = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def size_text(count: int) -> str:
    """A size as the file writes it, exact: 20000000000 is "20GB", 1024 is "1KiB", 1500 is "1500B"."""
    for unit in ("TB", "TiB", "GB", "GiB", "MB", "MiB", "kB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return f"{count}B"
