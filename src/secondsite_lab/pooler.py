"""PgBouncer at both sites of an applied lab, installed and configured as its administrator would, then applied."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from secondsite_lab.applied import AppliedLab

PORT = 6432
SAVED = "pooled"
SECTION = '\n[database.pooler]\ndatabases = ["shop"]\noptions = "pool_size=10"\n'
_INI = f"""\
[databases]
; secondsite describes "shop"
[pgbouncer]
listen_addr = 0.0.0.0
listen_port = {PORT}
unix_socket_dir = /var/run/postgresql
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/userlist.txt
pool_mode = transaction
max_client_conn = 200
logfile = /var/log/postgresql/pgbouncer.log
pidfile = /var/run/postgresql/pgbouncer.pid
"""


def install(lab: AppliedLab) -> None:
    """Both sites run PgBouncer in front of the shop's database, and secondsite knows of it."""
    dsn = urlsplit(lab.info["app"]["dsn"])
    users = f'"{dsn.username}" "{dsn.password}"\n'
    for host in ("oslo", "bergen"):
        lab.on(host, "apt-get install -y -q pgbouncer", timeout=120)
        for name, text in (("userlist.txt", users), ("pgbouncer.ini", _INI)):
            path = f"/etc/pgbouncer/{name}"
            lab.on(host, f"printf %s {shlex.quote(text)} > {path}; chown postgres {path}; chmod 640 {path}")
        lab.on(host, "systemctl enable pgbouncer.service; systemctl restart pgbouncer.service")
    describe(Path(lab.info["config"]))
    subprocess.run(lab.operator("apply", "--yes"), check=True, timeout=300, stderr=subprocess.DEVNULL)
    lab.until_ready()


def describe(config: Path) -> None:
    """Add the section to the lab's service file, once."""
    text = config.read_text()
    if SECTION not in text:
        config.write_text(text + SECTION)


def dsn_of(lab: AppliedLab, host: str) -> str:
    """How a client in the world reaches the shop's database through PgBouncer of a host."""
    dsn = urlsplit(lab.info["app"]["dsn"])
    address = lab.info["hosts"][host]["address"]
    return f"postgresql://{dsn.username}:{dsn.password}@{address}:{PORT}/shop"
