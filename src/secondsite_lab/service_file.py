"""Write the `secondsite.toml` that describes the lab's shop."""

import json
import shutil
import sys
from pathlib import Path

from secondsite_lab import packages
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.topology import (
    SERVICE_NAME,
    SERVICE_PORT,
    SERVICE_TTL,
    SITES,
    TSIG_ALGORITHM,
    TSIG_NAME,
    TUNNEL_NETWORK,
    UPLOADS,
    WORLD,
    ZONE,
    Host,
    site_of,
)


def program() -> list[str]:
    """How this very lab program is called, wherever the caller stands."""
    beside = Path(sys.executable).parent / "secondsite-lab"
    found = str(beside) if beside.exists() else shutil.which("secondsite-lab")
    return [found] if found else [sys.executable, "-m", "secondsite_lab"]


def _quoted(value: object) -> str:
    # A JSON string, number or list of them is written the same way in TOML.
    return json.dumps(value, ensure_ascii=False)


def _site(lab: Lab, host: Host) -> str:
    site = site_of(host)
    power = {state: _quoted([*program(), f"power-{state}", host.name, "--name", lab.name]) for state in ("off", "on")}
    return f"""[sites.{host.name}]
ssh = "root@{host.address}"
public = "{host.address}"
operator = {_quoted(site.operator)}
country = "{site.country}"
location = {_quoted(site.location)}
power = {{ off = {power["off"]}, on = {power["on"]} }}
"""


def text(lab: Lab, record: Record) -> str:
    """The whole file."""
    clients = f'clients = ["{WORLD.network}"]\n' if record.open_database else ""
    return f"""# Written by secondsite-lab up --name {lab.name}

[service]
name = "{SERVICE_NAME}"
units = ["shop.service"]
health = "http://127.0.0.1:{SERVICE_PORT}/health"

[objectives]
rpo = "10s"
rto = "1m"

{chr(10).join(_site(lab, host) for host in SITES)}
[ssh]
config = {_quoted(str(lab.ssh_config))}

[tunnel]
network = "{TUNNEL_NETWORK}"

[database]
cluster = "{packages.cluster(record.suite)}"
mode = "async"
max_slot_wal = "1GB"
{clients}
[[files]]
name = "uploads"
path = "{UPLOADS}"
engine = "rsync"

[[dns]]
zone = "{ZONE}"
name = "{SERVICE_NAME}"
provider = "rfc2136"
server = "{WORLD.address}"
ttl = {SERVICE_TTL}
tsig = {{ name = "{TSIG_NAME}", algorithm = "{TSIG_ALGORITHM}", secret = {{ file = "/etc/secondsite/dns.key" }} }}

[gameday]
probe = {_quoted([sys.executable, "-m", "secondsite_lab.customer"])}
url = "http://{SERVICE_NAME}.{ZONE}:{SERVICE_PORT}/"

[residency]
allowed_countries = ["NO"]
"""
