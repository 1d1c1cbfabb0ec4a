"""One thing a customer tries once: an order, or an upload."""

import asyncio
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from urllib.parse import SplitResult

import dns.asyncquery
import dns.exception
import dns.message
import dns.rdatatype

DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the shop is said to be, and who says where it is now."""

    url: SplitResult
    name_server: str
    timeout: float

    @property
    def port(self) -> int:
        return self.url.port or 80


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried, and what came of it: one line of the log."""

    kind: str
    id: str
    sent_at: float
    acknowledged_at: float | None
    error: str | None
    site_address: str | None

    def line(self) -> str:
        """As JSON, on one line."""
        return json.dumps(asdict(self))


class Refused(Exception):
    """The shop answered, but did not take it."""


def content_of(key: str, size: int) -> bytes:
    """An upload's content: derived from its key, so that its loss or damage is noticed without keeping it."""
    block = hashlib.sha256(key.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


async def resolve(shop: Shop) -> str:
    """The shop's address, asked of the authoritative server anew each time."""
    host = shop.url.hostname or ""
    query = dns.message.make_query(host, dns.rdatatype.A)
    answer = await dns.asyncquery.udp(query, shop.name_server, port=DNS_PORT, timeout=shop.timeout)
    for record_set in answer.answer:
        if record_set.rdtype == dns.rdatatype.A:
            return str(record_set[0].address)
    raise Refused(f"no address for {host}")


async def request(shop: Shop, address: str, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One HTTP request on a connection of its own."""
    reader, writer = await asyncio.open_connection(address, shop.port)
    try:
        headers = (f"Host: {shop.url.netloc}", "Connection: close", f"Content-Length: {len(body)}")
        writer.write("\r\n".join((f"{method} {path} HTTP/1.1", *headers, "", "")).encode() + body)
        await writer.drain()
        answer = await reader.read(-1)
    finally:
        writer.transport.abort()
    start, _, rest = answer.partition(b"\r\n\r\n")
    words = start.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise Refused("the connection ended without an answer")
    return int(words[1]), rest


async def attempt(shop: Shop, kind: str, key: str, size: int) -> Attempt:
    """Try once, within the customer's patience; whatever happens becomes part of the record."""
    sent_at = time.time()
    address: str | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(shop.timeout):
            address = await resolve(shop)
            if kind == "order":
                body = json.dumps({"key": key, "item": "coffee", "quantity": 1}).encode()
                status, answer = await request(shop, address, "POST", "/orders", body)
            else:
                status, answer = await request(shop, address, "PUT", f"/uploads/{key}", content_of(key, size))
        if status != 201:
            error = f"{status} {answer[:200].decode(errors='replace').strip()}"
    except TimeoutError:
        error = f"timeout after {shop.timeout:g} s"
    except (OSError, Refused, dns.exception.DNSException) as failure:
        error = f"{type(failure).__name__}: {failure}".strip()
    return Attempt(kind, key, sent_at, None if error else time.time(), error, address)
