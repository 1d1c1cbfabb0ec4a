"""Links between hosts: cut them, in both directions or in one, and heal them."""

from secondsite_lab import network
from secondsite_lab.errors import UsageError
from secondsite_lab.lab import Lab
from secondsite_lab.topology import DIRECTIONS, Host, host_named

Direction = tuple[Host, Host]


def directions(a: str | None, b: str | None, *, one_way: bool = False) -> list[Direction]:
    """The (from, to) pairs meant by a link's ends: two hosts, all links of one, or every link."""
    if one_way and (a is None or b is None):
        raise UsageError("a one-way fault needs two hosts: from the first to the second")
    first = host_named(a) if a is not None else None
    second = host_named(b) if b is not None else None
    if first is not None and first is second:
        raise UsageError(f"{first.name} has no link to itself")
    if first is not None and second is not None:
        return [(first, second)] if one_way else [(first, second), (second, first)]
    return [pair for pair in DIRECTIONS if first is None or first in pair]


def _elements(pairs: list[Direction]) -> str:
    return ", ".join(f"{source.name} . {target.network}" for source, target in pairs)


def cut(lab: Lab, pairs: list[Direction]) -> None:
    """Drop everything in these directions, silently."""
    network.edit_rules(lab, f"add element {network.TABLE} cut {{ {_elements(pairs)} }}\n")


def heal(lab: Lab, pairs: list[Direction]) -> None:
    """Let everything pass again in these directions."""
    elements = _elements(pairs)
    # Added first, because taking out what is not in is an error.
    network.edit_rules(
        lab, f"add element {network.TABLE} cut {{ {elements} }}\ndelete element {network.TABLE} cut {{ {elements} }}\n"
    )
