"""Send one message and believe what comes back no more than its signature allows (TSIG, RFC 8945)."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import dns.asyncquery
import dns.exception
import dns.inet
import dns.message
import dns.query
import dns.rcode

LARGEST = 65535  # bytes of a datagram

# What a server says that does nothing. Anything else would be a claim about the zone, and has to be signed.
REFUSALS = (dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED, dns.rcode.NOTAUTH)


class UnsignedRefusal(Exception):  # no failure of ours: the answer
    """The server has refused a signed message, and did not sign that: it does not know the key, or does not use it."""

    def __init__(self, answer: dns.message.Message) -> None:
        super().__init__(dns.rcode.to_text(answer.rcode()))
        self.answer = answer


async def send(message: dns.message.Message, address: str, port: int, *, seconds: float) -> dns.message.Message:
    """The answer: by UDP, and by TCP where it is truncated. To a signed message it is signed as well.

    Raises UnsignedRefusal, DNSException on any other answer that cannot be trusted, TimeoutError, OSError.
    """
    wire = await _datagram(message.to_wire(), address, port, seconds)
    try:
        answer = dns.message.from_wire(wire, keyring=message.keyring, request_mac=message.mac, raise_on_truncation=True)
    except dns.message.Truncated:
        return await dns.asyncquery.tcp(message, address, timeout=seconds, port=port)
    except dns.exception.FormError as unsigned:
        no = unsigned_refusal(message, wire)
        if no is None:
            raise
        raise UnsignedRefusal(no) from unsigned
    if not message.is_response(answer):
        raise dns.query.BadResponse
    return answer


def unsigned_refusal(message: dns.message.Message, wire: bytes) -> dns.message.Message | None:
    """Pure: the answer in ``wire`` to the signed ``message``, where it says no and has no signature; None otherwise.

    Knot 3.4 answers so (NOTAUTH) where no rule of the zone names the key; Knot 3.2 signed its answer. Anybody could
    have sent it: it may stop us, and nothing else. Raises DNSException where it is no message, or is signed.
    """
    answer = dns.message.from_wire(wire)
    return answer if message.is_response(answer) and answer.rcode() in REFUSALS else None


async def _datagram(wire: bytes, address: str, port: int, seconds: float) -> bytes:
    """What the server sends back, and nobody else. The socket is not connected (udp(7)): a server that is just being
    restarted is waited for like a packet that was lost, and not taken at its host's word that nobody listens."""
    loop, server = asyncio.get_running_loop(), (ip_address(address), port)
    with socket.socket(dns.inet.af_for_address(address), socket.SOCK_DGRAM) as link:
        link.setblocking(False)
        async with asyncio.timeout(seconds):
            await loop.sock_sendto(link, wire, (address, port))
            while True:
                answer, sender = await loop.sock_recvfrom(link, LARGEST)
                if (ip_address(sender[0]), sender[1]) == server:
                    return answer
