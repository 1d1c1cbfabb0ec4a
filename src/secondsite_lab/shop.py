"""Install the shop at the sites: the program at both, its database at the primary only."""

from pathlib import Path

from secondsite_lab import cgroups, packages
from secondsite_lab.hosts import machine
from secondsite_lab.identity import Secrets
from secondsite_lab.lab import Lab
from secondsite_lab.processes import entering
from secondsite_lab.provision import enable, folder, put
from secondsite_lab.run import run
from secondsite_lab.topology import SERVICE_PORT, UPLOADS, Host

_UNIT = """[Unit]
Description=Shop
After=network.target

[Service]
Type=notify
User=shop
EnvironmentFile=/etc/shop/env
ExecStart=/usr/bin/python3 -I /opt/shop/shop.py
Restart=on-failure
RestartSec=1
TimeoutStopSec=5

[Install]
WantedBy=multi-user.target
"""
_UNIT_PATH = "etc/systemd/system/shop.service"
_ASSETS = Path(__file__).parent / "assets"


def install(root: Path, secret: Secrets) -> None:
    """Put the program, its settings and its unit on a site; not enabled."""
    put(root, "opt/shop/shop.py", (_ASSETS / "shop.py").read_text())
    dsn = f"host=127.0.0.1 port=5432 dbname=shop user=shop password={secret.database_password}"
    settings = f'SHOP_DSN="{dsn}"\nSHOP_UPLOADS={UPLOADS}\nSHOP_PORT={SERVICE_PORT}\n'
    put(root, "etc/shop/env", settings, mode=0o600)
    put(root, _UNIT_PATH, _UNIT)
    folder(root, "srv/shop", owner="shop")
    folder(root, UPLOADS.lstrip("/"), owner="shop")


def open_for_business(lab: Lab, host: Host, root: Path, suite: str, secret: Secrets, groups: list[Path]) -> None:
    """Give a site the cluster and the shop's database, and have the shop start with it."""
    version = packages.POSTGRESQL_OF_SUITE[suite]
    script = _ASSETS / "create_shop_database.py"
    cgroups.create(groups)
    inside = ["systemd-nspawn", "--quiet", f"--directory={root}", f"--machine={machine(lab, host)}"]
    inside += ["--register=no", "--keep-unit", "--pipe", "--as-pid2", "--private-network", "--resolv-conf=off"]
    inside += ["--timezone=off", f"--bind-ro={script}:/run/create.py", "python3", "-I", "/run/create.py", version]
    record = lab.host_state(host) / "database.json"
    run(entering(inside, record=record, log="-", cgroups=groups), stdin=secret.database_password, timeout=120)
    enable(root, _UNIT_PATH)
