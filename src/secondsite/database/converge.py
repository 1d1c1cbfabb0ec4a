"""The database's resources on one host, in the order in which they must hold."""

from __future__ import annotations

from secondsite.converge.resource import Resource
from secondsite.database.amcheck import Amcheck
from secondsite.database.clusterconfig import ClusterConfig
from secondsite.database.configure import Settings
from secondsite.database.delayed import place
from secondsite.database.delayed.standby import DelayedStandby
from secondsite.database.facts import Facts
from secondsite.database.gate import PrimaryGate, StandbyGate
from secondsite.database.hba import HbaBlock, body
from secondsite.database.heartbeat import HeartbeatTable
from secondsite.database.node import Node
from secondsite.database.passfile import PassFile
from secondsite.database.reader import ReaderRole
from secondsite.database.rewind_role import RewindRole
from secondsite.database.role import ReplicationRole
from secondsite.database.seed import Standby
from secondsite.database.slot import Slot
from secondsite.spec import Spec


def primary_resources(
    spec: Spec, site: str, facts: Facts, *, rewinding: bool = False, node: Node | None = None
) -> list[Resource]:
    """What makes ``site``'s running cluster a primary that its peer can copy and follow. Needs no facts of a peer.

    rewinding: the peer is a former primary and may have to be rewound.
    Whether commits wait for the peer is not among them: the agent keeps that, because it changes with the peer.
    """
    node = node or Node.of(spec)
    return [
        PrimaryGate(node, site),
        PassFile(node, facts.peer_address, spec.database.port, facts.password),
        Settings(node, spec, site, facts, standby=False),
        ReplicationRole(node, facts.password),
        ReaderRole(node, facts.password),
        HbaBlock(node, body(spec, facts.peer_address)),
        RewindRole(node, facts.password, wanted=rewinding),
        HeartbeatTable(node),
        *([Amcheck(node)] if spec.database.amcheck else []),
        Slot(node, spec.peer_of(site)),
    ]


def standby_resources(
    spec: Spec, site: str, facts: Facts, *, replace: bool, node: Node | None = None
) -> list[Resource]:
    """What makes ``site`` a streaming standby; the primary must have been converged. ``facts.primary`` is needed.

    replace: data that is not a standby of this primary may be moved aside.
    """
    node = node or Node.of(spec)
    return [
        StandbyGate(node, facts, replace),
        PassFile(node, facts.peer_address, spec.database.port, facts.password),
        ClusterConfig(node, facts),
        Settings(node, spec, site, facts, standby=True),
        HbaBlock(node, body(spec, facts.peer_address), standby=True),
        Standby(node, spec, site, facts, replace),
    ]


def delayed_resources(spec: Spec, site: str) -> list[Resource]:
    """The second standby that replays late, at the site that keeps it; its own cluster must have been converged."""
    delayed = spec.database.delayed
    if delayed is None or delayed.site != site:
        return []
    return [DelayedStandby(place.node(delayed), Node.of(spec), spec, site, delayed)]
