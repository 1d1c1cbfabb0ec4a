"""What the delayed standby's section must not say beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.spec.draft import Draft
from secondsite.spec.faults import Problem

_LOC = ("database", "delayed")


def delayed_at_a_site(draft: Draft) -> Iterator[Problem]:
    delayed = draft.database.delayed if draft.database else None
    if delayed and draft.site_names and delayed.site not in draft.site_names:
        yield Problem((*_LOC, "site"), f"there is no site {delayed.site}", f"one of {', '.join(draft.site_names)}")


def delayed_is_another_cluster(draft: Draft) -> Iterator[Problem]:
    delayed = draft.database.delayed if draft.database else None
    if delayed is None or draft.database is None:
        return
    cluster = draft.database.cluster
    if delayed.cluster == cluster:
        hint = f'write cluster = "{cluster.split("/")[0]}/delayed"'
        yield Problem((*_LOC, "cluster"), f"{cluster} is the cluster that it would follow", hint)
    elif delayed.cluster.split("/")[0] != cluster.split("/")[0]:
        yield Problem(
            (*_LOC, "cluster"),
            f"{delayed.cluster} is another major version than {cluster}, and could not follow it",
            f'write cluster = "{cluster.split("/")[0]}/{delayed.cluster.split("/")[1]}"',
        )
