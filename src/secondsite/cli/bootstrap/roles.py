"""Which site is primary: what the databases say now, never what a file remembers. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from secondsite.database.facts import HostFacts
from secondsite.database.state import Role
from secondsite.errors import FinalError, UsageError
from secondsite.spec import Spec

STEP = "find the primary"


def primary_of(spec: Spec, seen: Mapping[str, HostFacts], replace: str | None) -> str:
    """The site whose cluster accepts writes.

    replace: the site whose data the operator gave up (``--replace-standby``). Raises FinalError (``no-cluster``,
    ``no-primary``, ``two-primaries``), UsageError (``replace-primary``).
    """
    writable = [site for site in spec.site_names if seen[site].role == Role.PRIMARY]
    if len(writable) == 1:
        if replace == writable[0]:
            raise UsageError(
                f"{replace} is the primary: its data is the only copy that accepts writes and is not replaced",
                slug="replace-primary",
                host=replace,
                hint=f"to make {spec.peer_of(replace)} the standby anew: --replace-standby {spec.peer_of(replace)}",
            )
        return writable[0]
    if len(writable) == 2:
        if replace is not None:
            return spec.peer_of(replace)
        raise _both(spec, seen)
    raise _none(spec, seen)


def _both(spec: Spec, seen: Mapping[str, HostFacts]) -> FinalError:
    first, second = spec.site_names
    return FinalError(
        f"{spec.database.cluster} accepts writes at both sites. {_each(spec, seen)}. Which one is right is not"
        " something a program may guess",
        slug="two-primaries",
        step=STEP,
        hint=f"to give up the data at {second} (what only it has is kept): --replace-standby {second}; at {first}:"
        f" --replace-standby {first}",
    )


def _none(spec: Spec, seen: Mapping[str, HostFacts]) -> FinalError:
    absent = all(seen[site].role == Role.ABSENT for site in spec.site_names)
    version, _, name = spec.database.cluster.partition("/")
    if absent:
        return FinalError(
            f"neither site has a PostgreSQL cluster {spec.database.cluster}. {_each(spec, seen)}",
            slug="no-cluster",
            step=STEP,
            hint=f"name the right one as database.cluster, or create it at the primary: pg_createcluster --start"
            f" {version} {name}",
        )
    stopped = [site for site in spec.site_names if seen[site].role == Role.STOPPED]
    start = f"on {stopped[0]}: systemctl start postgresql@{version}-{name}" if stopped else "secondsite failover"
    return FinalError(
        f"{spec.database.cluster} accepts writes at neither site. {_each(spec, seen)}",
        slug="no-primary",
        step=STEP,
        hint=f"start the cluster that should be the primary, then run this again; {start}",
    )


def _each(spec: Spec, seen: Mapping[str, HostFacts]) -> str:
    return "; ".join(f"{site}: {told(seen[site])}" for site in spec.site_names)


def told(facts: HostFacts) -> str:
    """What a site's database is, for a person."""
    if facts.role == Role.ABSENT:
        others = ", ".join(f"{line.version}/{line.name} ({line.status})" for line in facts.clusters)
        return f"no such cluster (there is {others})" if others else "no cluster at all"
    parts = [facts.role]
    if facts.system_identifier:
        parts.append(f"system identifier {facts.system_identifier}")
    if facts.timeline:
        parts.append(f"timeline {facts.timeline}")
    if facts.data_bytes:
        parts.append(f"{facts.data_bytes / 1e6:.0f} MB")
    return ", ".join(parts)
