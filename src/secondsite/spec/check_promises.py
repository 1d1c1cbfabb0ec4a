"""What the file promises: two sites, where they may be, and objectives that its own settings can meet."""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.spec.draft import Draft
from secondsite.spec.faults import Problem
from secondsite.spec.geography import great_circle_km
from secondsite.spec.quantities import duration_text

KEEPS_SLOTS_SINCE = 17
SHORTEST_WAIT = 3.0  # a standby reports each second: one that is silent for less than this is not lost


def two_sites(draft: Draft) -> Iterator[Problem]:
    if draft.site_names is None or len(draft.site_names) == 2:
        return
    count = len(draft.site_names)
    found = "1 site is declared" if count == 1 else f"{count or 'no'} sites are declared"
    yield Problem(("sites",), f"{found}; a service lives at exactly two", "write one [sites.NAME] for each")


def allowed_countries(draft: Draft) -> Iterator[Problem]:
    allowed = draft.residency.allowed_countries if draft.residency else ()
    for name, site in draft.sites.items():
        if allowed and site.country not in allowed:
            yield Problem(
                ("sites", name, "country"),
                f"{site.country} is not among residency.allowed_countries ({', '.join(allowed)})",
                "move the site, or allow the country if the data may be there",
            )


def within_distance(draft: Draft) -> Iterator[Problem]:
    limit = draft.residency.max_distance_km if draft.residency else None
    if limit is None or len(draft.sites) != 2:
        return
    first, second = draft.sites.values()
    distance = great_circle_km(first.location, second.location)
    if distance > limit:
        yield Problem(
            ("residency", "max_distance_km"),
            f"the sites are {distance:.0f} km apart, and {limit:g} km is the most allowed",
            "check both locations (latitude comes first), or raise the limit",
        )


def ttl_within_rto(draft: Draft) -> Iterator[Problem]:
    if draft.objectives is None:
        return
    for number, record in draft.dns.items():
        if record.ttl > draft.objectives.rto:
            yield Problem(
                ("dns", number, "ttl"),
                f"users may keep the old address for {record.ttl} s, longer than the RTO of "
                f"{duration_text(draft.objectives.rto)}",
                "lower the TTL; 60 is usual for a record that moves",
            )


def interval_within_rpo(draft: Draft) -> Iterator[Problem]:
    if draft.objectives is None:
        return
    for number, files in draft.files.items():
        if files.interval > draft.objectives.rpo:
            yield Problem(
                ("files", number, "interval"),
                f"pulled each {duration_text(files.interval)}, the files cannot meet the RPO of "
                f"{duration_text(draft.objectives.rpo)}",
                "lower the interval, or raise objectives.rpo",
            )


def window_has_length(draft: Draft) -> Iterator[Problem]:
    window = draft.gameday.window if draft.gameday else None
    if window is None:
        return
    loc = ("gameday", "window")
    aware = [key for key in ("start", "end") if getattr(window, key).tzinfo is not None]
    for key in aware:
        yield Problem((*loc, key), "carries a time zone of its own", "write 09:00; timezone says where")
    if not aware and window.end <= window.start:
        yield Problem(
            (*loc, "end"),
            f"the window ends at {window.end:%H:%M}, before it starts at {window.start:%H:%M}",
            "a window lies within one day",
        )


def waiting_has_a_mode(draft: Draft) -> Iterator[Problem]:
    if draft.database is None or draft.database.mode == "sync":
        return
    for key in ("when_standby_lost", "degrade_after"):
        if key in draft.database.model_fields_set:
            yield Problem(
                ("database", key),
                'has no meaning in mode "async": no commit waits for the standby',
                'write mode = "sync", or take the line out',
            )


def waiting_is_long_enough(draft: Draft) -> Iterator[Problem]:
    if draft.database is not None and draft.database.degrade_after < SHORTEST_WAIT:
        yield Problem(
            ("database", "degrade_after"),
            f"{duration_text(draft.database.degrade_after)} is too short to tell a lost standby from a slow one",
            f"write at least {duration_text(SHORTEST_WAIT)}; a standby reports once a second",
        )


def slots_can_be_kept(draft: Draft) -> Iterator[Problem]:
    """sync_replication_slots came with PostgreSQL 17 (its release notes, E.2.3.4)."""
    if draft.database is None or not draft.database.keep_logical_slots:
        return
    version = draft.database.cluster.partition("/")[0]
    if int(version) < KEEPS_SLOTS_SINCE:
        yield Problem(
            ("database", "keep_logical_slots"),
            f"PostgreSQL {version} loses every logical slot at a promotion",
            f"take the line out, or upgrade to {KEEPS_SLOTS_SINCE} or newer",
        )
