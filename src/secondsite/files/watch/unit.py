"""The watcher's systemd unit: as root, with nothing that root can do but to see changes and to read every file."""

from __future__ import annotations

from secondsite.spec import paths

UNIT = "secondsite-watch.service"
WATCHDOG_SECONDS = 60


def unit(interface: str, release: str) -> str:
    """Pure. release: the installed program; it stands in the unit, so that another one makes a restart.

    CAP_SYS_ADMIN: a fanotify mark on a file system (man 2 fanotify_mark), and ZFS. CAP_DAC_READ_SEARCH: a handle into
    a path (man 2 open_by_handle_at), and reading what belongs to anybody. Without devices other than ZFS's. Without
    RestrictSUIDSGID: systemd then refuses openat2 (ENOSYS), by which every file is opened.
    """
    return f"""\
# Written by secondsite.
[Unit]
Description=secondsite: watches file sets, and tells the peer what changed
Documentation=man:fanotify(7)
After=local-fs.target network.target wg-quick@{interface}.service
Wants=wg-quick@{interface}.service
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={paths.COMMAND} files watch
Restart=always
RestartSec=1
WatchdogSec={WATCHDOG_SECONDS}
RuntimeDirectory={paths.DIRTY.name}
RuntimeDirectoryMode=0700
Environment=SECONDSITE_RELEASE={release} PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=2
UMask=0077
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
DevicePolicy=closed
DeviceAllow=/dev/zfs rw
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""
