"""Which cases of a long matrix run: a fixed sample in every test run, all of them in a campaign of their own."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

ALL = "SECONDSITE_CRASH_MATRIX"  # set: every case
SEED = 2026


def some(
    cases: Sequence[str], count: int, *, always: Sequence[str] = (), among: Sequence[str] | None = None
) -> list[str]:
    """``count`` of the cases, in their order: those in ``always`` and a sample of those in ``among`` (all, where it is
    None) that only changes with the list."""
    if os.environ.get(ALL):
        return list(cases)
    rest = [case for case in (cases if among is None else among) if case not in always]
    chosen = {*always, *random.Random(SEED).sample(rest, min(len(rest), count - len(always)))}
    return [case for case in cases if case in chosen]
