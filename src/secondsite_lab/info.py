"""What an outside program needs to know to use a lab."""

from typing import Any

from secondsite_lab import packages
from secondsite_lab.hosts import leader
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.topology import HOSTS, SERVICE_NAME, SERVICE_PORT, SITES, UPLOADS, WORLD, ZONE, Host, site_of


def describe(lab: Lab, record: Record) -> dict[str, Any]:
    """The document that `info --json` prints."""
    name = f"{SERVICE_NAME}.{ZONE}"
    password = record.secrets.database_password
    return {
        "name": lab.name,
        "suite": record.suite,
        "cluster": packages.cluster(record.suite),
        "config": str(lab.config),
        "ssh_key": str(lab.ssh_key),
        "ssh_config": str(lab.ssh_config),
        "hosts": {host.name: _host(lab, record, host) for host in SITES},
        "world": {
            "netns": lab.netns(WORLD),
            "address": WORLD.address,
            "root": str(record.store().root(lab, WORLD)),
            "powered": leader(lab, WORLD) is not None,
        },
        "dns": {"server": WORLD.address, "port": 53, "zone": ZONE, "name": SERVICE_NAME, "key": str(lab.dns_key)},
        "app": {
            "url": f"http://{name}:{SERVICE_PORT}",
            "dsn": f"postgresql://shop:{password}@{name}:5432/shop",
            "upload_path": UPLOADS,
        },
    }


def brief(lab: Lab, record: Record) -> dict[str, Any]:
    """A line of ``list``: name, suite, and which hosts have power."""
    return {
        "name": lab.name,
        "suite": record.suite,
        "powered": {host.name: leader(lab, host) is not None for host in HOSTS},
    }


def _host(lab: Lab, record: Record, host: Host) -> dict[str, Any]:
    return {
        "site": host.name,
        "address": host.address,
        "tunnel_address": site_of(host).tunnel_address,
        "netns": lab.netns(host),
        "root": str(record.store().root(lab, host)),
        "powered": leader(lab, host) is not None,
    }
