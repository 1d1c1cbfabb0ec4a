"""Which resources belong to a phase on this host. The parts of the product meet here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from secondsite.agent import converge as agent
from secondsite.cli.bootstrap.applications import Application
from secondsite.cli.bootstrap.program import Program, own_release
from secondsite.cli.bootstrap.request import Phase
from secondsite.converge.files import Directory, TextFile
from secondsite.converge.packages import wanted
from secondsite.converge.resource import Resource
from secondsite.database import converge as database
from secondsite.database.facts import Facts, HostFacts
from secondsite.database.lsn import to_text
from secondsite.database.password import Password
from secondsite.database.pooler import converge as pooler
from secondsite.files import converge as files
from secondsite.files.parting import Left
from secondsite.recovery import guard_converge as guard
from secondsite.spec import Spec, paths
from secondsite.tunnel import converge as tunnel
from secondsite.tunnel.keys import private_key
from secondsite.tunnel.let_in import LetIn
from secondsite.tunnel.secrets import REPLICATION, shared


@dataclass(frozen=True, slots=True)
class Situation:
    """What this host is to be, and what it was told of its peer. primary: the facts of the primary's database.
    files_reached: how far the primary's file sets had come when it took over.
    replace: the standby's data is given up; a person has said so by naming the site."""

    spec: Spec
    site: str
    config: str
    role: str
    peer_key: str | None = None
    primary: HostFacts | None = None
    files_reached: Mapping[str, float | None] = field(default_factory=dict)
    replace: bool = False
    dry_run: bool = False

    @property
    def is_primary(self) -> bool:
        return self.role == "primary"


async def resources(phase: Phase, now: Situation) -> Sequence[Resource]:
    """The resources of ``phase``, in order. Raises SecondsiteError where one cannot even be described."""
    match phase:
        case Phase.PREPARE:
            return await _prepare(now)
        case Phase.TUNNEL:
            return tunnel.resources(now.spec, now.site, now.peer_key)
        case Phase.DATABASE:
            return _database(now)
        case Phase.FILES:
            given_up = now.replace and not now.is_primary
            return files.resources(
                now.spec,
                now.site,
                release=own_release() or agent.release(),
                demoted=given_up,
                reached=now.files_reached,
                left=_left(now.primary),
            )
        case Phase.AGENT:
            return agent.resources(now.spec, now.site, wanted=own_release(), written=_configuration(now))
        case Phase.GUARD:
            return guard.resources(now.spec, rejoined=now.replace and not now.is_primary, planned=now.dry_run)
        case Phase.POOLER:
            primary = now.site if now.is_primary else now.spec.peer_of(now.site)
            return pooler.resources(now.spec, now.site, primary)
        case Phase.UNITS:
            return [Application(unit, now.is_primary) for unit in now.spec.service.units]


async def _prepare(now: Situation) -> Sequence[Resource]:
    version = now.spec.database.cluster.split("/")[0]
    packages = ("postgresql-common", f"postgresql-{version}", f"postgresql-client-{version}")
    release = own_release()
    mirror = ("rsync",) if now.spec.files else ()  # here too, so that apt runs once
    return [
        wanted(await tunnel.packages(), *packages, *mirror),
        Directory(paths.ETC, keep=True),
        Directory(paths.STATE, mode=0o700),
        *([Program(release)] if release is not None else []),
        *_configuration(now),
        *tunnel.key_resources(now.spec),
    ]


def _configuration(now: Situation) -> tuple[Resource, ...]:
    return TextFile(paths.CONFIG, now.config), TextFile(paths.SITE, f"{now.site}\n")


def _left(primary: HostFacts | None) -> Left | None:
    """What the primary left when it became that: the last fork of its history."""
    if primary is None or not primary.forks:
        return None
    generation, position = max(primary.forks)
    return Left(generation, to_text(position))


def _database(now: Situation) -> Sequence[Resource]:
    facts = Facts(
        own_address=str(now.spec.tunnel_address(now.site)),
        peer_address=str(now.spec.tunnel_address(now.spec.peer_of(now.site))),
        password=_password(now),
        primary=now.primary,
    )
    if now.is_primary:
        let_in = [LetIn(now.spec.tunnel_address(now.spec.peer_of(now.site)))] if now.replace else []
        own = database.primary_resources(now.spec, now.site, facts, rewinding=now.replace)
        return [*let_in, *own, *database.delayed_resources(now.spec, now.site)]
    # A site that is given up may have shut the other one out, when it was the one that had taken over.
    let_in = [LetIn(now.spec.tunnel_address(now.spec.peer_of(now.site)))] if now.replace else []
    own = database.standby_resources(now.spec, now.site, facts, replace=now.replace)
    noted = files.before_following(now.spec, now.files_reached, _left(now.primary)) if now.replace else []
    return [*let_in, *noted, *own, *database.delayed_resources(now.spec, now.site)]


def _password(now: Situation) -> Password:
    """Derived from the tunnel keys; before those exist a plan needs some password, and any will do."""
    own = private_key(now.spec.tunnel.interface)
    if own is None or now.peer_key is None:
        return Password.generate()
    return Password(shared(own, now.peer_key, REPLICATION))
