"""One question to one authoritative server: RD=0, AA required, UDP first and TCP where it is truncated (RFC 1035)."""

from __future__ import annotations

from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig

from secondsite.dns.send import UnsignedRefusal, send
from secondsite.errors import FinalError, RetryableError

PORT = 53
TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Server:
    """An authoritative server's address and port."""

    address: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Server:
        """From "203.0.113.53", "203.0.113.53:5353" or "[2001:db8::1]:53"."""
        if text.startswith("["):
            address, _, rest = text[1:].partition("]")
            return cls(address, int(rest.removeprefix(":") or PORT))
        if text.count(":") == 1:
            address, _, port = text.partition(":")
            return cls(address, int(port))
        return cls(text)

    def __str__(self) -> str:
        return self.address if self.port == PORT else f"{self.address}:{self.port}"


async def ask(server: Server, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.message.Message:
    """The server's authoritative answer.

    Raises RetryableError (``dns-silent``) where it does not answer in time, FinalError (``dns-refused``) on any
    response code but NOERROR or NXDOMAIN, and FinalError (``dns-not-authoritative``) without AA.
    """
    query = dns.message.make_query(name, kind)
    query.flags &= ~dns.flags.RD
    answer = await exchange(server, query)
    code = answer.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise refused(server, name, answer)
    if not answer.flags & dns.flags.AA:
        raise FinalError(
            f"DNS server {server} is not authoritative for {name}",
            slug="dns-not-authoritative",
            hint="check zone and server in the [[dns]] section",
        )
    return answer


async def exchange(server: Server, message: dns.message.Message) -> dns.message.Message:
    """Send a message and read the reply; one retry, since UDP may lose a packet.

    Raises RetryableError (``dns-silent``), FinalError (``dns-refused``) where the server does not take our key, and
    FinalError (``dns-bad-answer``) on an answer that cannot be trusted.
    """
    for last in (False, True):
        try:
            return await send(message, server.address, server.port, seconds=TIMEOUT_SECONDS)
        except UnsignedRefusal as no:
            raise refused(server, message.question[0].name, no.answer, signed=False) from no
        except (TimeoutError, dns.exception.Timeout) as silent:
            if last:
                raise RetryableError(
                    f"DNS server {server} does not answer within {2 * TIMEOUT_SECONDS:g} s",
                    slug="dns-silent",
                    hint="check that this host reaches the server on port 53 (UDP and TCP)",
                ) from silent
        except OSError as unreachable:
            raise RetryableError(
                f"DNS server {server} cannot be reached: {unreachable.strerror or unreachable}", slug="dns-silent"
            ) from unreachable
        except dns.tsig.PeerError as no:
            raise FinalError(
                f"DNS server {server} refuses our TSIG key: {no}",
                slug="dns-refused",
                hint="compare key name, algorithm, secret and clock on both ends, and the server's update policy",
            ) from no
        except dns.exception.DNSException as strange:
            raise FinalError(
                f"DNS server {server} sent an answer that cannot be trusted: {strange}",
                slug="dns-bad-answer",
                hint="a wrong TSIG secret or clock looks like this; compare key and time on both ends",
            ) from strange
    raise AssertionError("unreachable")


def refused(server: Server, name: dns.name.Name, answer: dns.message.Message, *, signed: bool = True) -> FinalError:
    """The error for a response code that means no. signed: False where it is not, although what we sent was."""
    code = dns.rcode.to_text(answer.rcode())
    meaning = {
        "REFUSED": "it does not let this host or key do that",
        "NOTAUTH": "it is not authoritative for the zone, does not know the TSIG key, or lets that key change nothing",
        "NOTZONE": "the name is not inside the zone",
        "SERVFAIL": "it failed inside",
    }.get(code, "it said no")
    unsigned = "" if signed else " (its answer is not signed)"
    return FinalError(
        f"DNS server {server} answered {code} for {name}: {meaning}{unsigned}",
        slug="dns-refused",
        hint="check zone, server and tsig in the [[dns]] section and the server's update policy",
    )
