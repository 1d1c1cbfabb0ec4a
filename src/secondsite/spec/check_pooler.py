"""What the pooler's section must not say beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.spec.draft import Draft
from secondsite.spec.faults import Problem

_LOC = ("database", "pooler")


def pooler_stays(draft: Draft) -> Iterator[Problem]:
    """A unit of the application is stopped where the service is not active, and with it every waiting client."""
    pooler = draft.database.pooler if draft.database else None
    if pooler and draft.service and pooler.unit in draft.service.units:
        yield Problem(
            ("service", "units"),
            f"{pooler.unit} is the pooler, and would be stopped at the site that steps down",
            "take it out: the pooler runs at both sites at all times",
        )


def pooled_once(draft: Draft) -> Iterator[Problem]:
    pooler = draft.database.pooler if draft.database else None
    names = pooler.databases if pooler else ()
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Problem((*_LOC, "databases", number), f'"{name}" stands twice', "name each database once")


def pooled_in_transactions(draft: Draft) -> Iterator[Problem]:
    """A session keeps its connection until the client leaves, so a pause would wait for every client to leave."""
    pooler = draft.database.pooler if draft.database else None
    if pooler and "pool_mode=session" in pooler.options.split():
        yield Problem(
            (*_LOC, "options"),
            "pool_mode=session holds a connection until its client leaves, so no pause would come to its end",
            "write pool_mode=transaction, if the clients bear it; or take [database.pooler] out",
        )
