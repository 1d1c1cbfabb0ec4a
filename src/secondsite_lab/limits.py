"""Limits of the machine that every host of every lab shares, raised where they are too low for several labs."""

from pathlib import Path

INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INSTANCES = 1024


def raise_inotify_instances() -> None:
    """systemd and wireguard-go take some twelve inotify instances a host, and all hosts' root is one user.

    The kernel's default of 128 is used up by four labs side by side; then ``wg`` says "Protocol not supported". The
    higher limit stays: it costs nothing until it is used.
    """
    if int(INOTIFY_INSTANCES.read_text()) < ENOUGH_INSTANCES:
        INOTIFY_INSTANCES.write_text(f"{ENOUGH_INSTANCES}\n")
