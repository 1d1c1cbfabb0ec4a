"""A site's data disk: ext4 in a file, mounted at /srv, so that file watching works as on a real disk."""

from secondsite_lab import mounts
from secondsite_lab.lab import Lab
from secondsite_lab.run import run
from secondsite_lab.storage import Store
from secondsite_lab.topology import Host

MOUNTED_AT = "srv"
_DATABASE = ".postgresql"  # on the disk, of those sites that keep the database there
_DATABASE_AT = "var/lib/postgresql"


def create(lab: Lab, host: Host, store: Store, size: str) -> None:
    """Make an empty disk."""
    image = store.disk(lab, host)
    run(["truncate", "--size", size, image])
    options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", options, "-L", f"{host.name}-srv", image])


def attach(lab: Lab, host: Host, store: Store) -> None:
    """Mount a host's root, and its data disk in it."""
    store.attach(lab, host)
    point = store.root(lab, host) / MOUNTED_AT
    if host.site is not None and not mounts.is_mounted(point):
        mounts.mount_loop(store.disk(lab, host), point, "noatime,discard")
    if (point / _DATABASE).is_dir() and not mounts.is_mounted(store.root(lab, host) / _DATABASE_AT):
        run(["mount", "--bind", point / _DATABASE, store.root(lab, host) / _DATABASE_AT])


def take_database(lab: Lab, host: Host, store: Store) -> None:
    """Keep the database of an attached site on its data disk from now on."""
    root = store.root(lab, host)
    run(["cp", "--archive", root / _DATABASE_AT, root / MOUNTED_AT / _DATABASE])
    attach(lab, host, store)


def detach(lab: Lab, host: Host, store: Store) -> None:
    """Unmount both; what is on them stays."""
    mounts.unmount_below(store.root(lab, host) / _DATABASE_AT)
    mounts.unmount_below(store.root(lab, host) / MOUNTED_AT)
    mounts.detach_loops(store.disk(lab, host))
    store.detach(lab, host)
