"""A long plan in one look: each host, what kinds of things change there, how many, and what users will notice. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from secondsite.events import ChangePlanned

ONE_LOOK = 40  # lines; a plan that is no longer is shown whole
WIDTH = 96  # of what is named behind the count
OTHER = "other"
# By what the name of a resource begins with, or ends with after "*"; the first that fits.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "packages": ("packages",),
    "program": ("program ", "directory /", "file /etc/secondsite/secondsite.toml", "file /etc/secondsite/site"),
    "firewall": ("firewall ", "unit file secondsite-firewall", "unit secondsite-firewall", "quarantine of "),
    "guard": ("guard", "*secondsite-guard.conf"),
    "file sets": (
        "mount point of ", "role of the file set ", "file /etc/secondsite/rsyncd.conf", "unit file secondsite-files",
        "unit secondsite-files", "file /etc/secondsite/watch.json", "unit file secondsite-watch",
        "unit secondsite-watch",
    ),
    "agent": ("unit file secondsite-agent", "unit secondsite-agent"),
    "tunnel": ("tunnel ", "file /etc/wireguard/", "file /etc/secondsite/peer."),
    "PgBouncer": ("PgBouncer", "file /etc/pgbouncer/"),
    "application": ("application ",),
    "database": (
        "settings ", "database ", "block database ", "replication slot ", "cluster configuration ", "standby database",
        "running primary database", "place for the standby database", "synchronous replication",
        "*.secondsite-pgpass",
    ),
}  # fmt: skip
ORDER = (
    "packages", "program", "tunnel", "firewall", "database", "file sets", "agent", "guard", "PgBouncer", "application",
)  # fmt: skip
_TOLD_BY_SUMMARY = ("packages", "standby database", "program ")  # their own words say more than their name


def summary(changes: Sequence[ChangePlanned], roles: Mapping[str, str]) -> list[str]:
    """The lines for a person. roles: of each site, in the order of the file."""
    told: list[str] = []
    for site, role in roles.items():
        own = [change for change in changes if change.site == site]
        if not own:
            told.append(f"{site} ({role}): nothing changes")
            continue
        told.append(f"{site} ({role}): {len(own)} {'change' if len(own) == 1 else 'changes'}")
        for group in (*ORDER, OTHER):
            told += _group(group, [change for change in own if group_of(change) == group])
    return told


def in_one_look(changes: Sequence[ChangePlanned]) -> bool:
    """Whether all of it, diffs included, is short enough to be read."""
    return sum(1 + len(change.diff.splitlines()) for change in changes) <= ONE_LOOK


def group_of(change: ChangePlanned) -> str:
    """What a person would call the part of the host that changes."""
    return next(
        (group for group, marks in GROUPS.items() if any(_fits(change.resource, mark) for mark in marks)), OTHER
    )


def _fits(resource: str, mark: str) -> bool:
    return resource.endswith(mark[1:]) if mark.startswith("*") else resource.startswith(mark)


def _group(group: str, changes: Sequence[ChangePlanned]) -> list[str]:
    if not changes:
        return []
    noticed = dict.fromkeys(change.disrupts for change in changes if change.disrupts)
    lines = [f"  {group:12}{len(changes):>3}  {_names(changes)}"]
    return lines + [f"  {'':12}     ! users will notice: {told}" for told in noticed]


def _names(changes: Sequence[ChangePlanned]) -> str:
    """As many as fit into a line, and how many more there are."""
    weighty_first = sorted(changes, key=lambda change: not change.resource.startswith(_TOLD_BY_SUMMARY))
    names = list(dict.fromkeys(_name(change) for change in weighty_first))
    shown = names[:1]
    for name in names[1:]:
        if len(", ".join([*shown, name])) > WIDTH:
            break
        shown.append(name)
    more = len(names) - len(shown)
    return ", ".join(shown) + (f", {more} more" if more else "")


def _name(change: ChangePlanned) -> str:
    if change.resource.startswith(_TOLD_BY_SUMMARY):
        return change.summary
    kind, _, path = change.resource.partition(" /")
    if path:
        name = path.rpartition("/")[2]
        return name if kind in ("file", "directory") else f"{kind.removeprefix('block database in ')} {name}"
    return change.resource.removeprefix("unit file ").removeprefix("unit ").removeprefix("database ")
