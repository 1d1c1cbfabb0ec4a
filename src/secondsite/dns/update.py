"""Change a record by compare-and-swap: RFC 2136 prerequisites, signed with TSIG (RFC 8945).

The old content is a prerequisite of the update, so a record that somebody else has changed is never overwritten:
the server answers NXRRSET and nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterable

import dns.rcode
import dns.update

from secondsite.dns.ask import Server, exchange, refused
from secondsite.dns.key import signature
from secondsite.dns.verify import Address, full_name, kind_of
from secondsite.errors import FinalError
from secondsite.spec import DnsRecord


async def swap(record: DnsRecord, old: Iterable[str], new: Address) -> None:
    """Replace exactly the addresses ``old`` by ``new``, in one atomic update with the file's TTL.

    Raises FinalError ``dns-changed-by-others`` where the record is no longer ``old``, ``dns-refused`` on any
    other response code, ``dns-secret`` where the key cannot be read, and RetryableError ``dns-silent``.
    """
    name, kind = full_name(record), kind_of(new)
    update = dns.update.UpdateMessage(record.zone, **signature(record.tsig))
    held = tuple(old)
    if held:
        update.present(name, kind, *held)
    else:
        update.absent(name, kind)
    update.replace(name, record.ttl, kind, str(new))
    server = Server.parse(record.server)
    answer = await exchange(server, update)
    code = answer.rcode()
    if code in (dns.rcode.NXRRSET, dns.rcode.YXRRSET, dns.rcode.NXDOMAIN):
        raise FinalError(
            f"{name} is no longer {', '.join(held) or 'absent'}: somebody else has changed it, so it was left alone",
            slug="dns-changed-by-others",
            hint="look at the record, then go on with: secondsite failover --resume --overwrite-dns",
        )
    if code != dns.rcode.NOERROR:
        raise refused(server, name, answer)


async def rehearse(record: DnsRecord) -> None:
    """Would the server take a signed update of this zone? An update that asks for nothing: no record changes.

    Raises as ``swap``, but for what stands in the record.
    """
    name = full_name(record)
    server = Server.parse(record.server)
    answer = await exchange(server, dns.update.UpdateMessage(record.zone, **signature(record.tsig)))
    if answer.rcode() != dns.rcode.NOERROR:
        raise refused(server, name, answer)
