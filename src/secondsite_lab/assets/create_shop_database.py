"""Run inside the primary's file system before it boots: make the cluster and, in it, the shop's empty database.

Arguments: the PostgreSQL version. The role's password comes on standard input.
"""

import os
import pwd
import subprocess
import sys

CLUSTER = """CREATE ROLE shop LOGIN PASSWORD '{password}';

CREATE DATABASE shop OWNER shop;

"""
TABLES = """SET ROLE shop;

CREATE TABLE orders (id bigserial PRIMARY KEY, key text UNIQUE NOT NULL, item text NOT NULL,
 quantity integer NOT NULL, placed_at timestamptz NOT NULL DEFAULT now());

"""


def execute(version: str, database: str, statements: str) -> None:
    """Run statements in single-user mode, which needs no server; an empty line ends a statement (-j)."""
    account = pwd.getpwnam("postgres")
    settings = f"/etc/postgresql/{version}/main/postgresql.conf"
    command = [f"/usr/lib/postgresql/{version}/bin/postgres", "--single", "-j"]
    command += ["-D", f"/var/lib/postgresql/{version}/main"]
    done = subprocess.run(
        [*command, "-c", f"config_file={settings}", "-c", "exit_on_error=true", "-c", "fsync=off", database],
        input=statements,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[],
        check=False,
        timeout=60,
    )
    if done.returncode != 0 or "ERROR:" in done.stdout:
        sys.exit(done.stdout)


def main() -> None:
    """Create the cluster, the role, the database and its table."""
    version, password = sys.argv[1], sys.stdin.read().strip()
    if not password.isalnum():
        sys.exit("the password may only have letters and digits")
    os.umask(0o022)
    subprocess.run(
        ["pg_createcluster", version, "main", "--start-conf=auto", "--", "--no-sync"], check=True, timeout=60
    )
    execute(version, "postgres", CLUSTER.format(password=password))
    execute(version, "shop", TABLES)


if __name__ == "__main__":
    main()
