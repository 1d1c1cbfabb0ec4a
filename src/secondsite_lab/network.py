"""The network of a lab: a namespace for every host, and a router between them.

Nothing of it is in the machine's own namespace. A link is a pair of hosts; the router decides what passes, and it drops
in silence: no reset and no "unreachable" may tell a failure detector more than a dead line would.
"""

from pathlib import Path

from secondsite_lab.errors import CommandFailed
from secondsite_lab.lab import Lab
from secondsite_lab.run import run
from secondsite_lab.topology import DIRECTIONS, HOSTS, WORLD, Host

TABLE = "inet lab"
RESOLVER = f"nameserver {WORLD.address}\noptions timeout:1 attempts:3\n"
_PREFIX = 24


def rules() -> str:
    """The router's packet rules, with a place for every direction between two hosts.

    Faults are looked up where packets come in, so that a packet which takes the way round through a delay meets them
    once. The priority names the shaping class of its direction, where there is one.
    """
    chains, faults, classes = "", "", ""
    for number, (source, target) in enumerate(DIRECTIONS, start=1):
        chains += f"  chain {loss_chain(source, target)} {{ }}\n"
        faults += f"    iifname {source.name} ip daddr {target.network} jump {loss_chain(source, target)}\n"
        classes += f"    ip saddr {source.network} oifname {target.name} meta priority set 1:{number}\n"
    return f"""
table {TABLE} {{
  set cut {{ type ifname . ipv4_addr; flags interval; }}
  set dark {{ type ifname; }}
{chains}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname @dark drop
    iifname . ip daddr @cut drop
{faults}  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    oifname @dark drop
{classes}  }}
  chain output {{
    type filter hook output priority 0; policy accept;
    oifname @dark drop
  }}
}}
"""


def loss_chain(source: Host, target: Host) -> str:
    """The chain that loses packets of one direction, empty while none are to be lost."""
    return f"loss-{source.name}-{target.name}"


def existing_namespaces() -> list[str]:
    """The named network namespaces of this machine."""
    directory = Path("/run/netns")
    return [path.name for path in directory.iterdir()] if directory.is_dir() else []


def in_namespace(namespace: str, *argv: str) -> list[str]:
    """A command, as run inside a namespace."""
    return ["ip", "netns", "exec", namespace, *argv]


def create_router(lab: Lab) -> None:
    """The router: forwards between the subnets."""
    run(["ip", "netns", "add", lab.router])
    settings = ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"]
    run(in_namespace(lab.router, "sysctl", "-q", "-w", *settings))
    run(["ip", "-n", lab.router, "link", "set", "lo", "up"])
    edit_rules(lab, rules())


def edit_rules(lab: Lab, script: str) -> None:
    """Change the router's packet rules, all at once or not at all."""
    run(in_namespace(lab.router, "nft", "-f", "-"), stdin=script)


def connect(lab: Lab, host: Host) -> None:
    """A fresh namespace for a host, wired to the router. Whatever the last boot left in the old one is gone."""
    disconnect(lab, host)
    namespace = lab.netns(host)
    resolver = lab.namespaces / namespace / "resolv.conf"
    resolver.parent.mkdir(parents=True, exist_ok=True)
    resolver.write_text(RESOLVER)
    run(["ip", "netns", "add", namespace])
    wire = ["ip", "link", "add", host.name, "netns", lab.router, "type", "veth"]
    run([*wire, "peer", "name", "eth0", "netns", namespace])
    _batch(
        namespace,
        "link set lo up",
        f"address add {host.address}/{_PREFIX} dev eth0",
        "link set eth0 up",
        f"route add default via {host.gateway}",
    )
    _batch(lab.router, f"address add {host.gateway}/{_PREFIX} dev {host.name}", f"link set {host.name} up")


def _batch(namespace: str, *commands: str) -> None:
    run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(commands) + "\n")


def disconnect(lab: Lab, host: Host) -> None:
    """Remove a host's namespace and its wire."""
    if lab.router in existing_namespaces() and _has_wire(lab, host):
        run(["ip", "-n", lab.router, "link", "delete", host.name])
    _remove_namespace(lab, lab.netns(host))


def _has_wire(lab: Lab, host: Host) -> bool:
    try:
        run(["ip", "-n", lab.router, "link", "show", host.name])
    except CommandFailed:
        return False
    return True


def _remove_namespace(lab: Lab, namespace: str) -> None:
    if namespace in existing_namespaces():
        run(["ip", "netns", "delete", namespace])
    resolver = lab.namespaces / namespace / "resolv.conf"
    if resolver.parent.is_dir():
        resolver.unlink(missing_ok=True)
        resolver.parent.rmdir()


def destroy(lab: Lab) -> None:
    """Remove the whole network of a lab."""
    for host in HOSTS:
        disconnect(lab, host)
    _remove_namespace(lab, lab.router)
