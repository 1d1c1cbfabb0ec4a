"""Bring a lab up: image, disks, network, hosts, and the shop open for business."""

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from secondsite_lab import (
    disks,
    down,
    identity,
    image,
    limits,
    lock,
    network,
    pack,
    power,
    provision,
    record,
    service_file,
    shared,
    shop,
    world,
)
from secondsite_lab.errors import LabError
from secondsite_lab.hosts import Boot
from secondsite_lab.lab import Lab
from secondsite_lab.network import in_namespace
from secondsite_lab.record import Record
from secondsite_lab.run import succeeds
from secondsite_lab.topology import HOSTS, PRIMARY, SERVICE_PORT, SITES, WORLD, Host

Tell = Callable[[str], None]
_HEALTHY_SECONDS = 30


def lab_lock(lab: Lab) -> Path:
    """Whoever changes a lab holds this."""
    return lab.lock


@contextmanager
def changing(lab: Lab, tell: Tell) -> Iterator[None]:
    """Be the only one who changes a lab."""
    with lock.held(lab_lock(lab), f"the lab {lab.name!r}", timeout=900, waiting=tell):
        yield


def up(lab: Lab, wanted: Record, tell: Tell) -> None:
    """Make the lab; when anything fails on the way, nothing of it stays."""
    with changing(lab, tell):
        if lab.record.exists():
            raise LabError(f"there is a lab {lab.name!r} already", f"secondsite-lab down --name {lab.name}")
        try:
            record.write(lab, wanted)
            _make(lab, wanted, tell)
            record.write(lab, replace(wanted, complete=True))
        except BaseException:
            tell("it failed: taking everything down again")
            down.remove(lab, tell)
            raise


def build_image(suite: str, kind: str | None, tell: Tell) -> str:
    """Build the base image alone, as a lab without hosts, so that an interrupted build is cleaned like any lab."""
    builder = Lab("image-builder")
    with changing(builder, tell):
        wanted = record.new(suite, kind=kind, open_database=False, disk_size="0")
        try:
            record.write(builder, wanted)
            with down.machine_lock(tell):
                shared.open_for(wanted.store())
            return image.ensure(wanted.store(), suite, _workshop(builder, wanted, tell))
        finally:
            down.remove(builder, tell)


def _workshop(lab: Lab, wanted: Record, tell: Tell) -> image.Workshop:
    return image.Workshop(lab.state, wanted.groups(lab, "image"), tell)


def _make(lab: Lab, wanted: Record, tell: Tell) -> None:
    limits.raise_inotify_instances()
    store = wanted.store()
    with down.machine_lock(tell):
        shared.open_for(store)
    store.destroy(lab)
    key = image.ensure(store, wanted.suite, _workshop(lab, wanted, tell))
    pack.for_hosts_of(wanted.suite, tell)
    tell(f"making the disks, the keys and the network of lab {lab.name!r}")
    identity.create(lab)
    lab.dns_key.touch(mode=0o600)
    lab.dns_key.write_text(wanted.secrets.tsig + "\n")
    lab.config.write_text(service_file.text(lab, wanted))
    network.create_router(lab)
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        boots = [pool.submit(_begin, lab, wanted, host, key) for host in HOSTS]
        tell(f"booting {', '.join(host.name for host in HOSTS)}")
        for boot in boots:
            boot.result().wait()
    _wait_for_shop(lab)


def _begin(lab: Lab, wanted: Record, host: Host, key: str) -> Boot:
    """Make a host's disk, furnish it, and switch it on."""
    store = wanted.store()
    store.create(lab, host, key)
    if host in SITES:
        disks.create(lab, host, store, wanted.disk_size)
    disks.attach(lab, host, store)
    if wanted.database_on_disk and host in SITES:
        disks.take_database(lab, host, store)
    root = store.root(lab, host)
    provision.common(lab, host, root, wanted.secrets)
    if host is WORLD:
        world.prepare(root, wanted.secrets)
    else:
        shop.install(root, wanted.secrets)
    if host is PRIMARY:
        shop.open_for_business(lab, host, root, wanted.suite, wanted.secrets, wanted.groups(lab, host))
    return power.start(lab, wanted, host)


def _wait_for_shop(lab: Lab) -> None:
    """A lab is up when a customer could buy."""
    python = shutil.which("python3") or "python3"
    url = f"http://{PRIMARY.address}:{SERVICE_PORT}/health"
    look = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)"
    deadline = time.monotonic() + _HEALTHY_SECONDS
    while not succeeds(in_namespace(lab.netns(WORLD), python, "-I", "-S", "-c", look, url)):
        if time.monotonic() > deadline:
            raise LabError(f"the shop at {PRIMARY.name} did not open in {_HEALTHY_SECONDS} s")
        time.sleep(0.05)
