"""Ask both sites at once: most of a round's time is waiting for answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from campaign.plan import SITES

Answer = TypeVar("Answer")


def at_both(ask: Callable[[str], Answer]) -> dict[str, Answer]:
    """What ``ask(site)`` returns, by site; what it raises at either is raised."""
    with ThreadPoolExecutor(len(SITES)) as pool:
        return dict(zip(SITES, pool.map(ask, SITES), strict=True))
