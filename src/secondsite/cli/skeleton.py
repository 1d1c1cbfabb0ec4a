"""The text of a new file: complete, commented, and showing what else may be said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from secondsite.spec.quantities import duration_text, parse_duration

KEY_FILE = "/etc/secondsite/tsig.key"  # where a DNS key's secret usually stands
USUAL_TTL = 60
USUAL_INTERVAL = 3.0


class Site(NamedTuple):
    """A place, as answered. location: "59.91,10.75"."""

    name: str
    ssh: str
    public: str
    operator: str
    country: str
    location: str


class Folder(NamedTuple):
    """A file set."""

    name: str
    path: str


class Record(NamedTuple):
    """A DNS record."""

    name: str
    zone: str
    server: str


class Key(NamedTuple):
    """The key that signs DNS updates, and the file its secret stands in."""

    name: str
    file: str


class Answers(NamedTuple):
    """Everything a file needs."""

    service: str
    units: Sequence[str]
    health: str | None
    rpo: str
    rto: str
    sites: Sequence[Site]
    cluster: str
    files: Sequence[Folder]
    dns: Sequence[Record]
    key: Key | None
    network: str


def skeleton(answers: Answers) -> str:
    """The file."""
    blocks = [_service(answers), _objectives(answers), *map(_site, answers.sites), _tunnel(answers), _database(answers)]
    blocks += [_files(folder, pull_interval(answers.rpo)) for folder in answers.files] or [_NO_FILES]
    blocks += [_dns(record, answers.key, dns_ttl(answers.rto)) for record in answers.dns] or [_NO_DNS]
    blocks += [_residency(answers), _REST]
    return "\n".join(blocks)


def dns_ttl(rto: str) -> int:
    """Pure: seconds that users may keep the old address: as usual, or less where the RTO asks for it."""
    return max(1, min(USUAL_TTL, int(_seconds(rto, USUAL_TTL))))


def pull_interval(rpo: str) -> str | None:
    """Pure: how often the standby pulls, where the RPO asks for more than usual; None where the usual will do."""
    seconds = _seconds(rpo, USUAL_INTERVAL)
    return duration_text(seconds) if seconds < USUAL_INTERVAL else None


def _seconds(text: str, otherwise: float) -> float:
    """A duration; what is none is told elsewhere."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        return otherwise
    return seconds if isinstance(seconds, float) else otherwise


def quoted(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _service(answers: Answers) -> str:
    units = ", ".join(quoted(unit) for unit in answers.units)
    health = (
        f"health = {quoted(answers.health)}"
        if answers.health
        else '# health = "http://127.0.0.1:8000/health"  # on the host; 200 means that the application works'
    )
    return f"""\
# What is protected, where it stands and what the business can bear. One file, the same at both sites.
# Check it with `secondsite validate`; secrets never stand in it.

[service]
name = {quoted(answers.service)}
units = [{units}]  # systemd units of the application: started where primary, stopped where standby
{health}
"""


def _objectives(answers: Answers) -> str:
    return f"""\
[objectives]
rpo = {quoted(answers.rpo)}  # recovery point objective: how much work may be lost
rto = {quoted(answers.rto)}  # recovery time objective: how long the service may be away
"""


def _site(site: Site) -> str:
    latitude, longitude = (float(part) for part in site.location.split(","))
    return f"""\
[sites.{site.name}]
ssh = {quoted(site.ssh)}  # how the operator reaches the host
public = {quoted(site.public)}  # tunnel endpoint and DNS target
operator = {quoted(site.operator)}  # declared, not verified
country = {quoted(site.country)}  # ISO 3166; declared, not verified
location = [{latitude}, {longitude}]  # latitude, longitude
# fence = [["provider-cli", "stop", "{site.name}"]]  # commands that make sure this site stays away
"""


def _tunnel(answers: Answers) -> str:
    return f"""\
[tunnel]
network = {quoted(answers.network)}  # the sites take .1 and .2; must be free at both
# port = 51820  # UDP, open it between the two public addresses
"""


def _database(answers: Answers) -> str:
    return f"""\
[database]
cluster = {quoted(answers.cluster)}  # as pg_lsclusters shows it
mode = "async"  # "sync": a commit waits for the standby, which loses nothing and costs a round trip
# when_standby_lost = "degrade"  # mode sync; "block": commits hang while the standby is lost
# degrade_after = "10s"  # how long commits wait for a standby that is lost
max_slot_wal = "20GB"  # WAL kept for an absent standby at most; more would fill the primary's disk
# clients = ["192.0.2.0/24"]  # networks outside the hosts that may connect
"""


def _files(folder: Folder, interval: str | None) -> str:
    pulled = f"interval = {quoted(interval)}  # how often the standby pulls\n" if interval else ""
    return f"""\
[[files]]
name = {quoted(folder.name)}
path = {quoted(folder.path)}  # the same at both sites
{pulled}\
max_delete = "20%"  # deletion budget: beyond it mirroring stops and a person is asked
# bandwidth = "5MB/s"
"""


_NO_FILES = """\
# [[files]]
# name = "uploads"
# path = "/var/www/html/uploads"
"""

_NO_DNS = """\
# [[dns]]
# zone = "example.no"
# name = "shop"
# server = "203.0.113.53"  # authoritative, outside both sites
# tsig = { name = "secondsite", secret = { file = "/etc/secondsite/tsig.key" } }
"""


def _dns(record: Record, key: Key | None, ttl: int) -> str:
    name, file = (key.name, key.file) if key else ("secondsite", KEY_FILE)
    tsig = f"tsig = {{ name = {quoted(name)}, secret = {{ file = {quoted(file)} }} }}"
    return f"""\
[[dns]]
zone = {quoted(record.zone)}
name = {quoted(record.name)}  # relative to the zone; "@" is the zone itself
provider = "rfc2136"
server = {quoted(record.server)}  # authoritative; must not die with a site
ttl = {ttl}  # seconds that users may keep the old address
{tsig if key else f"# {tsig}"}
"""


def _residency(answers: Answers) -> str:
    countries = ", ".join(quoted(code) for code in sorted({site.country for site in answers.sites}))
    return f"""\
[residency]
allowed_countries = [{countries}]  # a site elsewhere is a fault
# max_distance_km = 1000
"""


_REST = """\
[guard]
when_nobody_answers = "wait"  # a returning host stays read-only until a person decides; "serve" accepts writes

# [gameday]
# url = "https://shop.example.no/"  # what a customer uses; probed during a game day
# window = { days = ["mon", "tue", "wed", "thu"], start = 09:00:00, end = 15:00:00, timezone = "Europe/Oslo" }
"""
