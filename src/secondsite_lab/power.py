"""Power: a host loses it between two instructions, and gets it back with the disk as it was."""

import signal

from secondsite_lab import cgroups, disks, network, shape
from secondsite_lab.errors import LabError
from secondsite_lab.hosts import Boot, forget, leader, supervisor
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.run import run
from secondsite_lab.topology import Host

# systemd's own signal for "shut down and power off"
_POWER_OFF = signal.SIGRTMIN + 4
_SHUTDOWN_SECONDS = 20


def off(lab: Lab, record: Record, host: Host) -> None:
    """Cut the host from the network, then kill its init.

    In this order: without the cut the kernel would answer for the dead processes with resets, which no machine without
    power does, and every failure detector would look better than it is.
    """
    network.edit_rules(lab, f"add element {network.TABLE} dark {{ {host.name} }}\n")
    processes = [process for process in (leader(lab, host), supervisor(lab, host)) if process is not None]
    for process in processes:
        process.kill()
    for process in processes:
        if not process.wait_gone(10):
            raise LabError(f"{host.name}: process {process.pid} survived SIGKILL")
    cgroups.kill_and_remove(record.groups(lab, host))
    forget(lab, host, record.store().root(lab, host))
    disks.detach(lab, host, record.store())


def start(lab: Lab, record: Record, host: Host) -> Boot:
    """Begin to boot a host from its disk; the caller waits for it."""
    if supervisor(lab, host) is not None:
        raise LabError(f"{host.name} is on already")
    store = record.store()
    disks.attach(lab, host, store)
    network.connect(lab, host)
    shape.reapply(lab, record, host)
    network.edit_rules(
        lab,
        f"add element {network.TABLE} dark {{ {host.name} }}\ndelete element {network.TABLE} dark {{ {host.name} }}\n",
    )
    return Boot(lab, host, store.root(lab, host), record.groups(lab, host))


def on(lab: Lab, record: Record, host: Host) -> None:
    """Boot a host from its disk. Links that were cut before stay cut."""
    start(lab, record, host).wait()


def shut_down(lab: Lab, record: Record, host: Host) -> None:
    """Let a host end its work in good order, as its power button would; without patience beyond reason."""
    init = leader(lab, host)
    if init is not None:
        init.kill(_POWER_OFF)
        init.wait_gone(_SHUTDOWN_SECONDS)
    if host.site is not None:
        # What is copied next is the image file: a copy of the mount elsewhere must not keep it from being complete.
        run(["sync", "--file-system", record.store().root(lab, host) / disks.MOUNTED_AT])
    off(lab, record, host)
