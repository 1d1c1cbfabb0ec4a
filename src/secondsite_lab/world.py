"""The world outside the two sites: the authoritative name server, and the place from which customers come."""

from pathlib import Path

from secondsite_lab.identity import Secrets
from secondsite_lab.provision import enable, put
from secondsite_lab.topology import PRIMARY, SERVICE_NAME, SERVICE_TTL, TSIG_ALGORITHM, TSIG_NAME, WORLD, ZONE

_SERVER = """server:
  listen: [ 0.0.0.0@53 ]
  rundir: /run/knot
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1

log:
  - target: syslog
    any: info

key:
  - id: {key}
    algorithm: {algorithm}
    secret: {secret}

acl:
  - id: updates
    key: {key}
    action: [ update, transfer ]
  - id: look
    action: transfer

template:
  - id: default
    storage: /var/lib/knot
    file: "%s.zone"
    # Every accepted update is in the journal before it is answered, and in the file right after.
    journal-content: changes
    zonefile-sync: 0

zone:
  - domain: {zone}
    acl: [ updates, look ]
"""

_ZONE = """$ORIGIN {zone}.
$TTL 60
@ SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 5
@ NS ns1.{zone}.
ns1 A {server}
{name} {ttl} A {primary}
"""


def prepare(root: Path, secret: Secrets) -> None:
    """Make a host the name server."""
    server = _SERVER.format(key=TSIG_NAME, algorithm=TSIG_ALGORITHM, secret=secret.tsig, zone=ZONE)
    put(root, "etc/knot/knot.conf", server, mode=0o640, owner="knot")
    zone = _ZONE.format(zone=ZONE, server=WORLD.address, name=SERVICE_NAME, ttl=SERVICE_TTL, primary=PRIMARY.address)
    put(root, f"var/lib/knot/{ZONE}.zone", zone, mode=0o640, owner="knot")
    enable(root, "lib/systemd/system/knot.service")
