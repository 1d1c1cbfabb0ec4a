"""Let the clock of one host jump, as its services see it.

The real clock belongs to the whole machine and is in no namespace of Linux, so it is never set. Instead the host's
services run under libfaketime and read their offset from a file. What is covered: PostgreSQL, secondsite's agent with
all that it starts, and the shop. What is not: programs started by SSH, systemd's own timers, wireguard-go (a Go program
asks the kernel without the C library), file times that the kernel writes, and the monotonic clock.
"""

from secondsite_lab import inside, packages
from secondsite_lab.lab import Lab
from secondsite_lab.record import Record
from secondsite_lab.topology import Host, site_of

OFFSET_FILE = "/etc/lab-clock"
_INSTALL_SECONDS = 90
# Argument: PostgreSQL's version. A service that runs without the library is started again; one that is off gets it when
# it starts. pg_ctlcluster passes no environment of a unit on, only what stands in the cluster's own file.
_PREPARE = f"""
set -e
cluster=/etc/postgresql/$1/main/environment
if test -e {OFFSET_FILE} && grep -qs {OFFSET_FILE} $cluster; then exit; fi
library=$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null || true)
if test -z "$library"; then
    apt-get install -y libfaketime >/dev/null
    library=$(ls /usr/lib/*/faketime/libfaketime.so.1)
fi
echo +0 >{OFFSET_FILE}
cat >>$cluster <<END
LD_PRELOAD = '$library'
FAKETIME_TIMESTAMP_FILE = '{OFFSET_FILE}'
FAKETIME_CACHE_DURATION = '1'
FAKETIME_DONT_FAKE_MONOTONIC = '1'
END
for unit in secondsite-agent.service shop.service; do
    mkdir -p /etc/systemd/system/$unit.d
    cat >/etc/systemd/system/$unit.d/lab-clock.conf <<END
[Service]
Environment=LD_PRELOAD=$library FAKETIME_TIMESTAMP_FILE={OFFSET_FILE}
Environment=FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1
END
done
systemctl daemon-reload
for unit in postgresql@$1-main.service secondsite-agent.service shop.service; do
    case $(systemctl is-active $unit) in
        active|activating|reloading) systemctl restart $unit;;  # one that is just starting has not got it either
    esac
done
"""


def skew(lab: Lab, record: Record, host: Host, seconds: float) -> None:
    """Put the clock of a host's services ahead by ``seconds``, behind where that is negative, within a second.

    The first time, services that run already are restarted under libfaketime.
    """
    site_of(host)
    version = packages.POSTGRESQL_OF_SUITE[record.suite]
    inside.call(lab, host, ["bash", "-c", _PREPARE, "prepare", version], timeout=_INSTALL_SECONDS)
    set_offset(lab, host, seconds)


def set_offset(lab: Lab, host: Host, seconds: float) -> None:
    """Write the offset, in one piece: a service may be reading it."""
    script = f"echo '{seconds:+g}' >{OFFSET_FILE}.new && mv {OFFSET_FILE}.new {OFFSET_FILE}"
    inside.call(lab, host, ["sh", "-c", script])


def right(lab: Lab, host: Host) -> None:
    """Let the clock be right again; nothing happens where it never was wrong."""
    script = f"test ! -e {OFFSET_FILE} || {{ echo +0 >{OFFSET_FILE}.new && mv {OFFSET_FILE}.new {OFFSET_FILE}; }}"
    inside.call(lab, host, ["sh", "-c", script])
