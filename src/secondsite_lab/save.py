"""Keep the disks of a whole lab under a label, and put them back: the quick way to the same start for every test."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from secondsite_lab import links, power, shape
from secondsite_lab.errors import UsageError
from secondsite_lab.hosts import leader
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.topology import DIRECTIONS, HOSTS, Host

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _check(label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise UsageError(f"{label!r} cannot be a label", "use letters, digits, '.', '_' and '-'")


def _at_once(act: Callable[[Host], None], hosts: Iterable[Host]) -> None:
    with ThreadPoolExecutor(len(HOSTS)) as pool:
        for result in [pool.submit(act, host) for host in hosts]:
            result.result()


def save(lab: Lab, record: Record, label: str) -> None:
    """Shut the hosts down, keep a copy of their disks, and boot again those that were on."""
    _check(label)
    running = [host for host in HOSTS if leader(lab, host) is not None]
    _at_once(lambda host: power.shut_down(lab, record, host), HOSTS)
    record.store().save(lab, label)
    _at_once(lambda host: power.on(lab, record, host), running)


def restore(lab: Lab, record: Record, label: str) -> None:
    """Throw away what the hosts have become: their disks as they were, every link whole, and everything switched on."""
    _check(label)
    record.store().require_saved(lab, label)
    _at_once(lambda host: power.off(lab, record, host), HOSTS)
    shape.remove(lab, list(DIRECTIONS))
    links.heal(lab, list(DIRECTIONS))
    record.store().restore(lab, label)
    _at_once(lambda host: power.on(lab, record, host), HOSTS)
