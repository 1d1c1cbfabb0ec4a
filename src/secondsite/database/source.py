"""Whom a copy follows."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.database.facts import Facts
from secondsite.database.settings import conninfo
from secondsite.database.slot import slot_name
from secondsite.spec import Spec


@dataclass(frozen=True, slots=True)
class Source:
    """conninfo: how the copy reaches it, without a secret. slot: keeps WAL there. name: for messages. remote: it is at
    the other site, which may be shut out."""

    conninfo: str
    slot: str
    name: str
    remote: bool = True


def peer(spec: Spec, site: str, facts: Facts, passfile: str) -> Source:
    """The other site's cluster, through the tunnel."""
    reached = conninfo(spec, site, peer_address=facts.peer_address, passfile=passfile)
    return Source(reached, slot_name(site), facts.peer_address)
