"""The read-only daemon from which the peer pulls: its configuration and its unit (man rsyncd.conf)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from secondsite.files.rsync.output import NOT_MOUNTED
from secondsite.files.versions import offered as offer
from secondsite.files.watch.place import NOT_INSIDE
from secondsite.spec import FileSet
from secondsite.spec.paths import RSYNCD_CONF, RSYNCD_PID

UNIT = "secondsite-files.service"
# The standby says how long it waits itself (command.py); this is for one that said nothing. No less: rsync says nothing
# either while it reads one large file for a verification, and the shorter of both counts (man rsyncd.conf).
IDLE_SECONDS = 3600
CONNECTIONS = 8  # per file set: a pull, a final pull, a verification, and some that have not noticed their end


def configuration(
    sets: Sequence[FileSet],
    mounts: Mapping[str, str],
    inner: Mapping[str, Sequence[str]] | None = None,
    *,
    own_address: str,
    peer_address: str,
    port: int,
) -> str:
    """The daemon's file: one module a set, open to the peer's tunnel address alone, never writable.

    mounts: set name to the mount point its folder belongs to. inner: to those inside its folder. Before a transfer the
    daemon compares; a source that is not mounted refuses, where it would look empty otherwise.
    """
    head = [
        "# Written by secondsite from secondsite.toml; changes made here are overwritten by the next apply.",
        f"address = {own_address}",
        f"port = {port}",
        f"pid file = {RSYNCD_PID}",  # by it stuck.py finds the transfers
        "uid = 0",
        "gid = 0",
        "use chroot = yes",
        "read only = yes",
        "list = no",
        "numeric ids = yes",
        "munge symlinks = no",
        "reverse lookup = no",
        "forward lookup = no",
        f"hosts allow = {peer_address}",
        "hosts deny = *",
        f"max connections = {CONNECTIONS}",
        f"timeout = {IDLE_SECONDS}",
        "dont compress = *",
    ]
    for fileset in sets:
        head += _module(fileset.name, str(fileset.path), mounts[fileset.name], (inner or {}).get(fileset.name, ()))
        if fileset.versions is not None or fileset.engine != "rsync":  # ZFS has versions of every set
            # Empty but for the moments in which a person brings files of a version back to the other site. It need not
            # be there, and nothing is deleted by what it lacks.
            head += _module(offer.module(fileset.name), str(offer.folder(fileset)))
    return "\n".join(head) + "\n"


def _module(name: str, path: str, mount: str | None = None, inner: Sequence[str] = ()) -> list[str]:
    lines = ["", f"[{name}]", f"path = {path}", f"lock file = /run/{UNIT.removesuffix('.service')}-{name}.lock"]
    if mount is not None:
        lines.append(f"pre-xfer exec = {'; '.join([mounted(mount), *map(_mounted_inside, inner)])}")
    return lines


def mounted(mount: str) -> str:
    """A shell command that fails where the module's folder is not on ``mount``; its words reach the peer."""
    test = f'[ "$(stat -L -c %m -- "$RSYNC_MODULE_PATH")" = {shlex.quote(mount)} ]'
    told = shlex.quote(f"{NOT_MOUNTED} {mount}: not mounted?")
    return f"{test} || {{ echo {told}; exit 1; }}"


def _mounted_inside(mount: str) -> str:
    point = shlex.quote(mount)
    told = shlex.quote(f"{NOT_MOUNTED}: {mount} {NOT_INSIDE}")
    return f'[ "$(stat -L -c %m -- {point})" = {point} ] || {{ echo {told}; exit 1; }}'


def unit(interface: str) -> str:
    """The daemon's unit. It needs root to read every file; everything else is taken from it."""
    return f"""\
# Written by secondsite.
[Unit]
Description=secondsite: file sets for the peer, read-only
After=network.target wg-quick@{interface}.service
Wants=wg-quick@{interface}.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/usr/bin/rsync --daemon --no-detach --config={RSYNCD_CONF}
Restart=always
RestartSec=1
LogLevelMax=notice
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_CHROOT CAP_SETUID CAP_SETGID
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
"""
