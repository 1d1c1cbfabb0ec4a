"""Checks of the DNS records: do users go to the primary, and would they follow it soon enough?"""

from __future__ import annotations

from collections.abc import Iterator

from secondsite.dns.state import RecordState
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import SiteState

registry = Registry(sees=lambda state: bool(state.dns), named=lambda spec: bool(spec.dns))


def _answered(state: SiteState) -> bool:
    return any(answer.problem is None for record in state.dns for answer in record.answers)


def _nobody_to_point_to(judged: Judged) -> str | None:
    return "no site is known to be primary" if judged.situation.primary is None else None


def _records(judged: Judged) -> Iterator[tuple[str, RecordState]]:
    """Each record as it was seen last: the servers are a third party, either site may ask them."""
    seen: set[str] = set()
    looks = [(_age(state, record), record) for state in judged.situation.here for record in state.dns]
    for _, record in sorted(looks, key=lambda look: look[0]):
        name = f"{record.name}.{record.zone}" if record.name != "@" else record.zone
        if name not in seen and any(answer.problem is None for answer in record.answers):
            seen.add(name)
            yield name, record


def _age(state: SiteState, record: RecordState) -> float:
    """Seconds since a site asked, by its own clock: sites look at different moments, and an older look may be from
    before a failover."""
    return float("inf") if record.looked_at is None else state.taken_at - record.looked_at


@registry.check("dns-target", Severity.CRITICAL, "Do the records point to the primary?", Needs.ANY,
    sees=_answered, blind=_nobody_to_point_to)  # fmt: skip
def dns_target(judged: Judged) -> Iterator[Problem]:
    """Users who are sent elsewhere cannot work."""
    primary = judged.situation.primary
    for name, record in _records(judged):
        if primary is None or record.points_to == primary:
            continue
        addresses = {address for answer in record.answers for address in answer.addresses}
        shown = record.points_to or ", ".join(sorted(addresses)) or "nowhere"
        yield Problem(
            primary, f"{name} points to {shown}, not to {primary}", f"point {name} to {primary}: `secondsite apply`"
        )


@registry.check(
    "dns-key", Severity.CRITICAL, "Does each host have the key that signs a change of the record?", Needs.BOTH
)
def dns_key(judged: Judged) -> Iterator[Problem]:
    """The site that takes over moves the record. Without the key it stops half-way: promoted, and no user finds it."""
    for state in judged.situation.here:
        alone = state.site == judged.situation.primary  # missed when the service comes back, not by a failover now
        for record in state.dns:
            if record.key_problem is not None:
                message = f"{record.name}.{record.zone} cannot be changed from here: {record.key_problem}"
                hint = "put the secret there, as on the other host: base64, owner root, mode 0600"
                yield Problem(state.site, message, hint, Severity.WARNING if alone else None)


@registry.check("dns-ttl", Severity.WARNING, "Is the TTL the one that was agreed?", Needs.ANY, sees=_answered)
def dns_ttl(judged: Judged) -> Iterator[Problem]:
    """Resolvers may send users to the old site for as long as the TTL says."""
    agreed = {(record.zone, record.name): record.ttl for record in judged.situation.spec.dns}
    for name, record in _records(judged):
        ttl = agreed.get((record.zone, record.name))
        seen = {answer.ttl for answer in record.answers if answer.ttl is not None}
        if ttl is not None and seen and max(seen) > ttl:
            yield Problem(None, f"the TTL of {name} is {max(seen)} s; agreed are {ttl} s", "`secondsite apply`")


@registry.check("dns-servers", Severity.WARNING, "Do all authoritative servers answer?", Needs.ANY)
def dns_servers(judged: Judged) -> Iterator[Problem]:
    """A server that does not answer, or another than the rest, will mislead some users after a move."""
    for state in judged.situation.here:
        for record in state.dns:
            silent = [answer for answer in record.answers if answer.problem is not None]
            if silent and len(silent) == len(record.answers):
                message = f"no authoritative server of {record.zone} answers: {silent[0].problem}"
                yield Problem(state.site, message, "a failover cannot move users until one does", Severity.CRITICAL)
            elif silent:
                names = ", ".join(answer.server for answer in silent)
                yield Problem(state.site, f"{names} of {record.zone} does not answer: {silent[0].problem}", "repair it")
