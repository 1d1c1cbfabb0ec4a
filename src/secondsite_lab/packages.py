"""Which Debian packages a lab host has from the start, and which wait in its local repository."""

INSTALLED = (
    "btrfs-progs",
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "knot",
    "knot-dnsutils",
    "libcap2-bin",
    "nftables",
    "openssh-server",
    "postgresql",
    "procps",
    "python3",
    "python3-psycopg2",
    "sudo",
    "systemd-sysv",
)

# Debian dropped zfs-fuse after bookworm.
INSTALLED_IN_SUITE = {"bookworm": ("zfs-fuse",)}

# What `secondsite apply` and the tests install with a real apt-get, although the hosts have no internet.
IN_REPOSITORY = (
    "curl",
    "iperf3",
    "libfaketime",
    "pgbouncer",
    "python3-venv",
    "rsync",
    "strace",
    "tcpdump",
    "wireguard-go",
    "wireguard-tools",
)

# What others keep files with, for benchmarks to be measured beside. sanoid brings syncoid, and wants a ZFS of Debian's.
IN_REPOSITORY_OF_SUITE = {"bookworm": ("lsyncd", "sanoid")}

POSTGRESQL_OF_SUITE = {"bookworm": "15", "trixie": "17"}
SUITES = tuple(POSTGRESQL_OF_SUITE)


def cluster(suite: str) -> str:
    """The PostgreSQL cluster of a suite's hosts, as pg_lsclusters shows it."""
    return f"{POSTGRESQL_OF_SUITE[suite]}/main"


def installed(suite: str) -> tuple[str, ...]:
    """The packages of a suite's base image."""
    return (*INSTALLED, *INSTALLED_IN_SUITE.get(suite, ()))


def in_repository(suite: str) -> tuple[str, ...]:
    """The packages that wait in a suite's base image to be installed."""
    return (*IN_REPOSITORY, *IN_REPOSITORY_OF_SUITE.get(suite, ()))
