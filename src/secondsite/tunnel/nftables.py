"""The firewall rules of ours, as nftables text (man nft): one table, and no other table is ever touched."""

from __future__ import annotations

from secondsite.spec import Spec, paths

TABLE = "secondsite"
SET = "quarantine"
CONF = paths.ETC / "nftables.conf"


def render(spec: Spec) -> str:
    """The whole table.

    - the database answers on the loopback, to the peer inside the tunnel, and to ``database.clients``
    - the agents' API, the file daemon and the watcher of file sets answer inside the tunnel only
    - from an address in the set, inside the tunnel, only questions to the API pass, and answers to our own
      (a segment from the API port that is no connection attempt)
    """
    tunnel, database = spec.tunnel, spec.database
    clients = ", ".join(str(network) for network in database.clients)
    allow_clients = [f"    ip saddr {{ {clients} }} accept"] if clients else []
    # nft reads files that match a pattern, and does not mind that none does; this one names exactly one file.
    include = f"{str(paths.QUARANTINE)[:-1]}[{str(paths.QUARANTINE)[-1]}]"
    return "\n".join(
        [
            "#!/usr/sbin/nft -f",
            f"# Written by secondsite for service {spec.service.name}. Loaded by secondsite-firewall.service.",
            f"table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            f"  set {SET} {{",
            "    type ipv4_addr",
            "  }",
            "  chain input {",
            "    type filter hook input priority -10; policy accept;",
            '    iifname "lo" accept',
            f'    iifname "{tunnel.interface}" ip saddr @{SET} jump quarantined',
            f'    iifname "{tunnel.interface}" accept',
            f"    tcp dport {{ {', '.join(map(str, tunnel.inner_ports))} }} drop",
            f"    tcp dport {database.port} jump database",
            "  }",
            "  chain database {",
            *allow_clients,
            "    drop",
            "  }",
            "  chain quarantined {",
            f"    tcp dport {tunnel.api_port} accept",
            f"    tcp sport {tunnel.api_port} tcp flags & (syn | ack) != syn accept",
            "    drop",
            "  }",
            "}",
            f'include "{include}"',
            "",
        ]
    )
