"""A long plan is read in one look, and nothing of it is left uncounted."""

from __future__ import annotations

import pytest

from secondsite.cli.bootstrap.summary import OTHER, group_of, in_one_look, summary
from secondsite.events import ChangePlanned

BREAKS = "PostgreSQL restarts: connections break"
# What a first apply of a lab plans, by the names that the resources have.
FIRST = {
    "packages": "packages",
    "directory /var/lib/secondsite": "program",
    "program secondsite": "program",
    "file /etc/secondsite/secondsite.toml": "program",
    "file /etc/secondsite/site": "program",
    "tunnel key wg0": "tunnel",
    "unit file secondsite-firewall.service": "firewall",
    "firewall table inet secondsite": "firewall",
    "file /etc/secondsite/peer.pub": "tunnel",
    "file /etc/secondsite/peer.token": "tunnel",
    "file /etc/wireguard/wg0.conf": "tunnel",
    "tunnel wg0": "tunnel",
    "file /var/lib/postgresql/.secondsite-pgpass": "database",
    "settings /etc/postgresql/15/main/conf.d/secondsite.conf": "database",
    "cluster configuration /etc/postgresql/15/main": "database",
    "standby database": "database",
    "database role secondsite_replication": "database",
    "block database in /etc/postgresql/15/main/pg_hba.conf": "database",
    "database table secondsite.heartbeat": "database",
    "replication slot secondsite_bergen": "database",
    "mount point of the file set uploads": "file sets",
    "role of the file set uploads": "file sets",
    "file /etc/secondsite/rsyncd.conf": "file sets",
    "unit secondsite-files.service": "file sets",
    "file /etc/secondsite/watch.json": "file sets",
    "unit file secondsite-watch.service": "file sets",
    "unit secondsite-watch.service": "file sets",
    "unit file secondsite-agent.service": "agent",
    "unit secondsite-agent.service": "agent",
    "guard": "guard",
    "unit file postgresql@15-main.service.d/secondsite-guard.conf": "guard",
    "PgBouncer": "PgBouncer",
    "application shop.service": "application",
}


def planned(resource: str, site: str = "oslo", **more: str) -> ChangePlanned:
    return ChangePlanned(resource, site, **{"summary": "create", "diff": "+a\n+b\n", **more})


@pytest.mark.parametrize(("resource", "group"), FIRST.items())
def test_each_change_is_counted_where_a_person_looks_for_it(resource: str, group: str) -> None:
    assert group_of(planned(resource)) == group


def test_a_host_is_a_handful_of_lines_with_every_change_counted_once() -> None:
    changes = [planned(resource) for resource in (*FIRST, "something new")]
    lines = summary(changes, {"oslo": "primary", "bergen": "standby"})
    assert lines[0] == "oslo (primary): 34 changes" and lines[-1] == "bergen (standby): nothing changes"
    groups = [line.split() for line in lines[1:-1]]
    counts = [int(next(word for word in words if word.isdigit())) for words in groups]
    assert sum(counts) == len(changes) and len(groups) == len(set(FIRST.values())) + 1
    assert groups[-1][0] == OTHER, "what nobody has thought of is told as well"
    assert max(map(len, lines)) < 120


def test_the_weighty_comes_first_and_what_users_notice_is_told_beside_it() -> None:
    changes = [
        *(planned(f"database role a_role_with_a_long_name_{number}") for number in range(9)),
        planned("standby database", summary="copy the primary's cluster here (base backup)"),
        planned("settings /etc/x/secondsite.conf", disrupts=BREAKS),
    ]
    _, database, noticed = summary(changes, {"oslo": "primary"})
    assert database.startswith("  database     11  copy the primary's cluster here (base backup), ")
    assert database.endswith(" more") and BREAKS in noticed


def test_a_short_plan_is_shown_whole() -> None:
    assert in_one_look([planned("guard")] * 13)
    assert not in_one_look([planned("guard")] * 14)
    assert not in_one_look([planned("file /x", diff="+row\n" * 40)])
