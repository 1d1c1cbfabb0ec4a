"""Each thing that stands against a failover is broken for real, found by the name of its check, mended, and not told
any more. What breaks is taken in groups that do not touch one another; a group that finds more than it broke fails.

The rest of the checks are broken where the whole world is in that state: test_status_of_real_sites, test_failover_*,
test_guard_alone, test_sync_mode, test_pooler, test_postgresql_17 (allow_alter_system). The delayed standby is broken in
its integration tests, on real servers without a lab.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from secondsite_lab.applied import AppliedLab, applied
from tests.scenario.test_switchover import until_ready

AGENT = "secondsite-agent.service"
SQL = "runuser -u postgres -- psql -XqAtd shop -v ON_ERROR_STOP=1"
DATA = "$(runuser -u postgres -- psql -XqAtc 'SHOW data_directory')"
CONF_D = "$(dirname $(runuser -u postgres -- psql -XqAtc 'SHOW config_file'))/conf.d"
# What chattr does, which a small Debian 13 does not have: FS_IMMUTABLE_FL is 16 (man 2 ioctl_iflags).
IMMUTABLE = (
    "python3 -c 'import fcntl, os, struct, sys;"
    ' fcntl.ioctl(os.open(sys.argv[2], os.O_RDONLY), 0x40086602, struct.pack("l", int(sys.argv[1])))\''
)
FOUND_SECONDS = 60.0
AGAIN_SECONDS = 15.0
ALWAYS = {
    ("bergen", "fence-commands"),
    ("", "rehearsed"),
    ("", "location-plausible"),
    ("", "sites-apart"),
}  # of any lab


@dataclass(frozen=True, slots=True)
class Broken:
    """``found``: (site, check) of what readiness says then. at: the host that is broken and mended there."""

    at: str
    breaks: str
    mends: str
    found: tuple[tuple[str, str], ...]


GROUPS: dict[str, tuple[Broken, ...]] = {
    "what the databases hold": (
        Broken(
            "oslo",
            f"{SQL} -c \"CREATE ROLE leaving LOGIN PASSWORD 'x' VALID UNTIL '$(date -d '+5 days' +%F)'\"",
            f"{SQL} -c 'DROP ROLE leaving'",
            (("oslo", "expiry"),),
        ),
        Broken(
            "oslo",
            f"{SQL} -c \"UPDATE pg_database SET datcollversion = '2.1' WHERE datname = 'shop'\"",
            f"{SQL} -c \"UPDATE pg_database SET datcollversion = NULL WHERE datname = 'shop'\"",
            (("oslo", "collations"), ("bergen", "collations")),
        ),
        Broken(
            "oslo",
            "cd $(ls -d /usr/share/postgresql/*/extension);"
            " printf 'default_version = 1\\n' > here_only.control; : > here_only--1.sql;"
            f" {SQL} -c 'CREATE EXTENSION here_only'",
            f"{SQL} -c 'DROP EXTENSION here_only'; rm /usr/share/postgresql/*/extension/here_only*",
            (("bergen", "extensions"),),
        ),
        Broken(
            "bergen",
            f"{SQL} -c \"ALTER SYSTEM SET recovery_min_apply_delay = '2s'\" -c 'SELECT pg_reload_conf()'",
            f"{SQL} -c 'ALTER SYSTEM RESET recovery_min_apply_delay' -c 'SELECT pg_reload_conf()'",
            (("bergen", "replay-delayed"),),
        ),
        Broken(
            "bergen",
            # oslo has it as well: what is created there has to be possible here, and then the folder goes away
            f"mv {DATA}/../space {DATA}/../space.away",
            f"mv {DATA}/../space.away {DATA}/../space",
            (("bergen", "tablespaces"),),
        ),
        Broken(
            "bergen",
            "cd /etc/ssl; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 5"
            " -subj /CN=bergen -keyout private/short.key -out certs/short.pem 2> /dev/null;"
            " chown postgres private/short.key;"
            f" {SQL} -c \"ALTER SYSTEM SET ssl_cert_file = '/etc/ssl/certs/short.pem'\""
            ' -c "ALTER SYSTEM SET ssl_key_file = \'/etc/ssl/private/short.key\'" -c "ALTER SYSTEM SET ssl = on"'
            " -c 'SELECT pg_reload_conf()'",
            f"{SQL} -c 'ALTER SYSTEM RESET ssl_cert_file' -c 'ALTER SYSTEM RESET ssl_key_file'"
            " -c 'ALTER SYSTEM RESET ssl' -c 'SELECT pg_reload_conf()'; rm /etc/ssl/*/short.*",
            (("bergen", "expiry"),),
        ),
        Broken(
            "oslo",
            # 64 MB, less than a fifth of what the file promises the standby
            f"{SQL} -c \"ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'\" -c 'ALTER SYSTEM SET wal_keep_size = 0'"
            " -c 'SELECT pg_reload_conf()'",
            f"{SQL} -c 'ALTER SYSTEM RESET max_slot_wal_keep_size' -c 'ALTER SYSTEM RESET wal_keep_size'"
            " -c 'SELECT pg_reload_conf()'",
            (("oslo", "slot-room"),),
        ),
        Broken(
            "oslo",
            # from here on no setting can be changed, so these two are the last, and mended first
            f"{IMMUTABLE} 16 {DATA}/postgresql.auto.conf",
            f"{IMMUTABLE} 0 {DATA}/postgresql.auto.conf",
            (("oslo", "alter-system"),),
        ),
        Broken(
            "bergen",
            # the server goes on with what it read before: nobody has told it to read again
            "echo 'no_such_setting = 1' > " + CONF_D + "/zz.conf",
            "rm " + CONF_D + "/zz.conf",
            (("bergen", "alter-system"),),
        ),
    ),
    "what stands on the hosts": (
        Broken(
            "bergen",
            "cd /etc/secondsite; cp -p secondsite.toml /root/kept.toml; echo '# another' >> secondsite.toml",
            "mv /root/kept.toml /etc/secondsite/secondsite.toml",
            (("", "config"),),
        ),
        Broken(
            "bergen",
            "cd /opt/secondsite/current/secondsite; mkdir /root/kept;"
            " mv __pycache__/__init__.*.pyc /root/kept/; cp -p __init__.py /root/kept/;"
            " sed -i 's/^__version__ = .*/__version__ = \"9.9.9\"/' __init__.py",
            "cd /opt/secondsite/current/secondsite; mv /root/kept/*.pyc __pycache__/; mv /root/kept/__init__.py .",
            (("", "version"),),
        ),
        Broken(
            "bergen",
            "mv /etc/secondsite/dns.key /etc/secondsite/dns.key.away",
            "mv /etc/secondsite/dns.key.away /etc/secondsite/dns.key",
            (("bergen", "dns-key"),),
        ),
        Broken(
            "oslo",
            "systemctl stop shop.service",
            "systemctl start shop.service",
            (("oslo", "application"), ("oslo", "units")),
        ),
        Broken(
            "oslo",
            "printf 'server 203.0.113.53\\nzone example.test.\\nupdate del shop.example.test. A\\n"
            "update add shop.example.test. 3600 A 198.51.100.99\\nsend\\n'"
            ' | knsupdate -y "hmac-sha256:secondsite:$(cat /etc/secondsite/dns.key)"',
            "printf 'server 203.0.113.53\\nzone example.test.\\nupdate del shop.example.test. A\\n"
            "update add shop.example.test. 5 A 192.0.2.11\\nsend\\n'"
            ' | knsupdate -y "hmac-sha256:secondsite:$(cat /etc/secondsite/dns.key)"',
            (("oslo", "dns-target"), ("", "dns-ttl")),
        ),
        Broken(
            "oslo",
            # nobody has this address
            "printf 'server 203.0.113.53\\nzone example.test.\\nupdate add ns2.example.test. 5 A 203.0.113.99\\n"
            "update add example.test. 5 NS ns2.example.test.\\nsend\\n'"
            ' | knsupdate -y "hmac-sha256:secondsite:$(cat /etc/secondsite/dns.key)"',
            "printf 'server 203.0.113.53\\nzone example.test.\\nupdate del example.test. NS ns2.example.test.\\n"
            "update del ns2.example.test. A\\nsend\\n'"
            ' | knsupdate -y "hmac-sha256:secondsite:$(cat /etc/secondsite/dns.key)"',
            (("oslo", "dns-servers"), ("bergen", "dns-servers")),
        ),
        Broken(
            "bergen",
            # another program has the port on which the agent is asked by the other site
            f"systemctl stop {AGENT}; systemd-run --quiet --unit=squatter python3 -m http.server --bind 10.10.0.2 7433",
            "systemctl stop squatter",
            (("bergen", "agent-duties"),),
        ),
    ),
    "the disk of the primary": (
        Broken(
            "oslo",
            "d=$(dirname $(df --output=target /srv | tail -1)/x);"
            " fallocate -l $(( ($(df --output=avail -B1 $d | tail -1)) - 150000000 )) $d/filler",
            "rm /srv/filler",
            (("oslo", "disk"), ("oslo", "slot-disk")),
        ),
        Broken(
            "oslo",
            "mkdir /srv/many; cd /srv/many; n=$(df --output=iavail /srv | tail -1); seq $((n - 900)) | xargs touch",
            "rm -r /srv/many",
            (("oslo", "inodes"),),
        ),
    ),
    "nothing is received": (
        Broken(
            "bergen",
            f"{SQL} -c \"ALTER SYSTEM SET primary_conninfo = 'host=10.10.0.77'\" -c 'SELECT pg_reload_conf()'",
            f"{SQL} -c 'ALTER SYSTEM RESET primary_conninfo' -c 'SELECT pg_reload_conf()'",
            (("bergen", "streaming"), ("oslo", "slot")),
        ),
    ),
    "the ends of the tunnel have different keys": (
        Broken(
            "bergen",
            "peer=$(wg show wg0 peers); at=$(wg show wg0 endpoints | cut -f2); wg genpsk > /run/psk;"
            " wg set wg0 peer $peer remove; wg set wg0 peer $peer preshared-key /run/psk endpoint $at"
            " allowed-ips 10.10.0.1/32 persistent-keepalive 25",
            "rm /run/psk; systemctl restart wg-quick@wg0",
            (("bergen", "handshake"),),
        ),
    ),
    "no files are offered": (
        Broken(
            "oslo",
            # masked, because its agent would start it again
            "systemctl mask --runtime --now secondsite-files.service secondsite-watch.service",
            "systemctl unmask --runtime secondsite-files.service secondsite-watch.service;"
            " systemctl start secondsite-files.service secondsite-watch.service",
            (("bergen", "files"),),
        ),
    ),
    "most files are gone": (
        Broken(
            "oslo",
            "mkdir -p /root/gone; cd /srv/shop/uploads; mv -- * /root/gone/",
            "mv /root/gone/* /srv/shop/uploads/",
            (("bergen", "files-blocked"),),
        ),
    ),
}


@pytest.fixture(scope="module")
def lab() -> Iterator[AppliedLab]:
    with applied("readiness", "--database-on-disk", kept=False) as one:
        yield one


@pytest.fixture(scope="module")
def furnished(lab: AppliedLab) -> AppliedLab:
    """With a tablespace, and so many uploads that a few which go are many."""
    for host in ("oslo", "bergen"):
        lab.on(host, f"install -d -o postgres -g postgres {DATA}/../space")
    place = lab.on("oslo", f"realpath {DATA}/../space").strip()
    lab.on("oslo", f"{SQL} -c \"CREATE TABLESPACE apart LOCATION '{place}'\"")
    lab.on("oslo", "cd /srv/shop/uploads; for n in $(seq 200); do echo $n > test-$n; done")
    until_ready(lab, "oslo")
    return lab


@pytest.mark.parametrize("group", list(GROUPS))
def test_what_is_broken_is_found_by_its_name_and_nothing_else_is(furnished: AppliedLab, group: str) -> None:
    one = furnished
    until(one, lambda now: now <= ALWAYS)
    broken = GROUPS[group]
    expected = {which for each in broken for which in each.found}
    with breaking(one, broken):
        until(one, lambda now: expected <= now <= ALWAYS | expected | follows(group))
    until(one, lambda now: now <= ALWAYS)


def test_with_a_clock_that_jumps_what_is_open_for_long_is_found(furnished: AppliedLab) -> None:
    """Ten minutes are long: the primary's clock goes ahead by twenty."""
    one = furnished
    until(one, lambda now: now <= ALWAYS)
    one.lab("fault", "clock", "oslo", "0")  # the services start anew under a clock that can be set
    one.on("oslo", f'{SQL} -c "ALTER SYSTEM SET max_prepared_transactions = 5"')
    one.on("bergen", f'{SQL} -c "ALTER SYSTEM SET max_prepared_transactions = 5"')
    for host in ("bergen", "oslo"):
        one.on(host, f"systemctl restart {one.cluster.unit}")
    one.on("oslo", f"{SQL} -c BEGIN -c 'CREATE TABLE undecided ()' -c \"PREPARE TRANSACTION 'forgotten'\"")
    one.on(
        "oslo", f"systemd-run --unit=idler --setenv=PGOPTIONS= {SQL} -c BEGIN -c 'SELECT 1' -c 'SELECT pg_sleep(900)'"
    )
    one.lab("fault", "clock", "oslo", "1200")
    look_again(one)
    wanted = {("oslo", "long-transactions"), ("oslo", "prepared-transactions"), ("", "clocks")}
    try:
        until(one, lambda now: wanted <= now)
    finally:
        one.on("oslo", "systemctl stop idler; true")
        one.on("oslo", f"{SQL} -c \"ROLLBACK PREPARED 'forgotten'\"")
        one.lab("fault", "heal", "oslo")
        look_again(one)
    until(one, lambda now: now <= ALWAYS)


def test_what_only_a_restart_changes_is_found_too(furnished: AppliedLab) -> None:
    """An archive that takes nothing, then one that fails; no hints for a rewind; less room for connections at the
    standby than at the primary."""
    one = furnished
    until(one, lambda now: now <= ALWAYS)
    settings = {"archive_mode": "on", "archive_command": "", "wal_log_hints": "off", "max_connections": "170"}
    switch = f" {SQL} -c \"SELECT pg_logical_emit_message(false, '', 'x')\" -c 'SELECT pg_switch_wal()';"
    change = " ".join(f"-c \"ALTER SYSTEM SET {name} = '{value}'\"" for name, value in settings.items())
    one.on("oslo", f"{SQL} {change}; systemctl restart {one.cluster.unit}; {switch * 12}")
    wanted = {("oslo", "archiver"), ("bergen", "standby-settings"), ("bergen", "replay-paused")}
    look_again(one)
    if one.on("oslo", f"{SQL} -c 'SHOW data_checksums'").strip() == "off":
        wanted.add(("oslo", "rewindable"))
    until(one, lambda now: wanted <= now)
    assert "WAL files wait to be archived" in message(one, "archiver")
    one.on("oslo", f"{SQL} -c \"ALTER SYSTEM SET archive_command = '/bin/false'\" -c 'SELECT pg_reload_conf()'")
    one.on(
        "oslo", "until " + SQL + " -c 'SELECT 1 / failed_count FROM pg_stat_archiver' 2> /dev/null; do sleep 0.1; done"
    )
    look_again(one)
    until(one, lambda _: "WAL archiving fails" in message(one, "archiver"))
    # as the hint says: the standby first gets as much as the primary has
    one.on("bergen", f"{SQL} -c 'ALTER SYSTEM SET max_connections = 170'; systemctl restart {one.cluster.unit}")
    undo = " ".join(f"-c 'ALTER SYSTEM RESET {name}'" for name in settings)
    one.on("oslo", f"{SQL} {undo}; systemctl restart {one.cluster.unit}")
    look_again(one)
    until(one, lambda now: now <= ALWAYS)


def test_another_cluster_at_the_standby_and_a_slot_that_is_lost(furnished: AppliedLab) -> None:
    """The last: what is lost has to be copied anew."""
    one, unit = furnished, furnished.cluster.unit
    data = one.on("bergen", f"realpath {DATA}").strip()
    one.on(
        "bergen",
        f"systemctl stop {unit}; mv {data} {data}.ours;"
        f" runuser -u postgres -- {one.cluster.program('initdb')} -D {data} > /dev/null;"
        f" runuser -u postgres -- touch {data}/standby.signal; systemctl start {unit}",
    )
    until(one, lambda now: ("bergen", "same-cluster") in now)
    one.on("bergen", f"systemctl stop {unit}; rm -r {data}; mv {data}.ours {data}")
    one.on(
        "oslo",
        f"{SQL} -c 'ALTER SYSTEM SET max_slot_wal_keep_size = 1' -c 'ALTER SYSTEM SET wal_keep_size = 0';"
        f" {SQL} -c 'SELECT pg_reload_conf()'; for n in 1 2 3; do"
        f" {SQL} -c \"SELECT pg_logical_emit_message(false, '', 'x')\" -c 'SELECT pg_switch_wal()'; done;"
        f" {SQL} -c CHECKPOINT",
    )
    until(one, lambda now: ("oslo", "slot-lost") in now)


def follows(group: str) -> set[tuple[str, str]]:
    """What cannot but be said besides: a standby that receives nothing is soon too old."""
    too_old = {("", "rpo"), ("bergen", "rpo"), ("oslo", "rpo")}
    return {
        "nothing is received": too_old | {("oslo", "slot-room")},
        "the ends of the tunnel have different keys": too_old
        | {("oslo", "reachable"), ("bergen", "streaming"), ("bergen", "files")},
        "no files are offered": too_old,
        "most files are gone": too_old,
        "the disk of the primary": {("oslo", "tablespaces")},
    }.get(group, set())


@contextmanager
def breaking(one: AppliedLab, broken: tuple[Broken, ...]) -> Iterator[None]:
    """All of them, as long as the block lasts. An agent that starts looks at everything at once."""
    done: list[Broken] = []
    try:
        for each in broken:
            done.append(each)
            one.on(each.at, f"set -e; {each.breaks}")
        look_again(one)
        yield
    finally:
        for each in reversed(done):
            one.on(each.at, f"set -e; {each.mends}")
        look_again(one)


def look_again(one: AppliedLab) -> None:
    """What is asked once a minute is asked when an agent begins."""
    for host in ("oslo", "bergen"):
        one.on(host, f"systemctl restart {AGENT}")


def found(one: AppliedLab) -> set[tuple[str, str]]:
    """(site, check) of what readiness finds now."""
    told = one.json("bergen", "secondsite readiness --json")
    return {(finding["site"] or "", finding["check"]) for finding in told["findings"] if finding["severity"] != "info"}


def message(one: AppliedLab, check: str) -> str:
    """What readiness says of a check; nothing where it found nothing."""
    told = one.json("bergen", "secondsite readiness --json")["findings"]
    return " ".join(each["message"] for each in told if each["check"] == check)


def until(one: AppliedLab, true: Callable[[set[tuple[str, str]]], bool]) -> set[tuple[str, str]]:
    """Ask until it is so. Raises AssertionError with what is found instead."""
    deadline, again = time.monotonic() + FOUND_SECONDS, time.monotonic() + AGAIN_SECONDS
    while not true(now := found(one)):
        if time.monotonic() > again:  # an agent may have looked before it was so, and looks once a minute
            look_again(one)
            again = float("inf")
        if time.monotonic() > deadline:
            told = one.json("bergen", "secondsite readiness --json")["findings"]
            raise AssertionError(
                json.dumps([(each["check"], each["site"], each["message"]) for each in told], indent=1)
            )
        time.sleep(0.5)
    return now
