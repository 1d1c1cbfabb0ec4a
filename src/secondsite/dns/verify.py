"""Ask every authoritative server of a zone: what a user's resolver will get once its cache has run out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.message
import dns.name
import dns.rdatatype

from secondsite.dns import key
from secondsite.dns.ask import Server, ask
from secondsite.dns.state import RecordState, ServerAnswer
from secondsite.errors import SecondsiteError
from secondsite.spec import DnsRecord

Address = IPv4Address | IPv6Address


def full_name(record: DnsRecord) -> dns.name.Name:
    """The record's absolute name."""
    zone = dns.name.from_text(record.zone)
    return zone if record.name == "@" else dns.name.from_text(record.name, zone)


def kind_of(address: Address) -> dns.rdatatype.RdataType:
    """A or AAAA."""
    return dns.rdatatype.A if address.version == 4 else dns.rdatatype.AAAA


async def servers(record: DnsRecord) -> tuple[Server, ...]:
    """The configured server and every address of every name server the zone itself lists.

    The zone's own NS set is asked at the configured server; name servers whose address it does not know are left
    to the resolver of the host and skipped where that knows nothing.
    """
    first = Server.parse(record.server)
    zone = dns.name.from_text(record.zone)
    listed = await ask(first, zone, dns.rdatatype.NS)
    names = [item.target for rrset in listed.answer for item in rrset if item.rdtype == dns.rdatatype.NS]
    found = await asyncio.gather(*(_addresses(first, name, listed) for name in names))
    unique = {first.address: first} | {text: Server(text) for texts in found for text in texts if text != first.address}
    return tuple(unique.values())


async def observe(record: DnsRecord, sites: Mapping[str, Address]) -> RecordState:
    """The record at every authoritative server; a server's silence or refusal is part of the answer.

    Never raises for the network. Servers are in the order of ``servers``: first the one that takes updates.
    """
    try:
        everyone = await servers(record)
    except SecondsiteError as problem:
        first = ServerAnswer(record.server, problem=problem.message)
        return RecordState(record.zone, record.name, (first,), key_problem=key.problem(record))
    answers = tuple(await asyncio.gather(*(_one(server, record, sites) for server in everyone)))
    mentions = tuple(site for site, address in sites.items() if any(sends(answer, address) for answer in answers))
    points_to = pointed(answers, sites)
    return RecordState(record.zone, record.name, answers, points_to, mentions, key_problem=key.problem(record))


def pointed(answers: tuple[ServerAnswer, ...], sites: Mapping[str, Address]) -> str | None:
    """Pure: the site that every answering server points to and nothing else. The first one takes the updates and must
    answer; another that is silent (it may stand at the site that burns) does not count against the rest."""
    heard = [answer for answer in answers if answer.problem is None]
    if not heard or answers[0].problem is not None:
        return None
    return next((site for site, address in sites.items() if all(sends(answer, address) for answer in heard)), None)


def sends(answer: ServerAnswer, address: Address) -> bool:
    """Pure: this server sends users to ``address`` and nowhere else."""
    return answer.addresses == (str(address),)


async def _one(server: Server, record: DnsRecord, sites: Mapping[str, Address]) -> ServerAnswer:
    name = full_name(record)
    kinds = sorted({kind_of(address) for address in sites.values()})
    try:
        *replies, soa = await asyncio.gather(
            *(ask(server, name, kind) for kind in kinds),
            ask(server, dns.name.from_text(record.zone), dns.rdatatype.SOA),
        )
    except SecondsiteError as problem:
        return ServerAnswer(str(server), problem=problem.message)
    rrsets = [rrset for reply in replies for rrset in reply.answer if rrset.rdtype in kinds]
    return ServerAnswer(
        server=str(server),
        addresses=tuple(sorted(item.address for rrset in rrsets for item in rrset)),
        ttl=min((rrset.ttl for rrset in rrsets), default=None),
        serial=next((item.serial for rrset in soa.answer for item in rrset if hasattr(item, "serial")), None),
    )


async def _addresses(first: Server, name: dns.name.Name, listed: dns.message.Message) -> tuple[str, ...]:
    glue = [
        item.address
        for rrset in listed.additional
        if rrset.name == name and rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
        for item in rrset
    ]
    if glue:
        return tuple(glue)
    try:
        replies = await asyncio.gather(*(ask(first, name, kind) for kind in (dns.rdatatype.A, dns.rdatatype.AAAA)))
        own = [item.address for reply in replies for rrset in reply.answer for item in rrset]
        return tuple(own)
    except SecondsiteError:
        return await _resolved(name)


async def _resolved(name: dns.name.Name) -> tuple[str, ...]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(2):
            found = await loop.getaddrinfo(name.to_text(omit_final_dot=True), None)
    except (OSError, TimeoutError):
        return ()
    return tuple(sorted({str(ip_address(entry[4][0])) for entry in found}))
