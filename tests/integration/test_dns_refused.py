"""What a name server says no with, over real sockets: the bytes are those that Knot 3.4.6 was seen to send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from secondsite.dns.ask import Server, ask
from secondsite.dns.update import rehearse, swap
from secondsite.errors import SecondsiteError
from secondsite.spec import DnsRecord

ZONE = bytes.fromhex("076578616d706c6504746573740000060001")  # example.test. IN SOA, the zone of an update
# Knot 3.4.6 where no rule of the zone names the key, and where it does not know the key: NOTAUTH without a TSIG record
UNSIGNED = bytes.fromhex("a809000100000000") + bytes(2) + ZONE
# the same server where the key's secret is another: NOTAUTH with a TSIG record that says BADSIG
BADSIG = bytes.fromhex("a809000100000000") + b"\x00\x01" + ZONE
BADSIG_TSIG = bytes.fromhex(
    "0a7365636f6e64736974650000fa00ff00000000001d0b686d61632d7368613235360000006b032dec012c0000564d00100000"
)


class Answers(asyncio.DatagramProtocol):
    """Answers each datagram with what ``reply`` makes of it."""

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        self.reply = reply
        self.asked = 0
        self.heard: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.link = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        self.heard.append(addr)
        self.link.sendto(self.reply(data), addr)


@asynccontextmanager
async def server(reply: Callable[[bytes], bytes]) -> AsyncIterator[tuple[Answers, int]]:
    loop = asyncio.get_running_loop()
    transport, answers = await loop.create_datagram_endpoint(lambda: Answers(reply), local_addr=("127.0.0.1", 0))
    try:
        yield answers, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def record(folder: Path, port: int) -> DnsRecord:
    """A record whose updates are signed."""
    key = folder / "key"
    key.write_text("c2Vjb25kc2l0ZQ==")
    return DnsRecord.model_validate(
        {
            "zone": "example.test", "name": "shop", "provider": "rfc2136", "server": f"127.0.0.1:{port}", "ttl": 5,
            "tsig": {"name": "secondsite", "algorithm": "hmac-sha256", "secret": {"file": str(key)}},
        }
    )  # fmt: skip


async def refusal(folder: Path, reply: Callable[[bytes], bytes]) -> tuple[SecondsiteError, int]:
    """What an update ends with, and how often it was sent."""
    async with server(reply) as (answers, port):
        with pytest.raises(SecondsiteError) as refused:
            await swap(record(folder, port), ["192.0.2.11"], ip_address("198.51.100.12"))
        return refused.value, answers.asked


async def test_a_refusal_that_is_not_signed_is_told_as_a_refusal_with_the_words_of_the_server(tmp_path: Path) -> None:
    refused, asked = await refusal(tmp_path, lambda asked: asked[:2] + UNSIGNED)
    assert refused.slug == "dns-refused"
    assert "answered NOTAUTH for example.test." in refused.message and "not signed" in refused.message
    assert asked == 1, "it is no silence: nothing is sent again"
    async with server(lambda asked: asked[:2] + UNSIGNED) as (_, port):
        with pytest.raises(SecondsiteError) as no:
            await rehearse(record(tmp_path, port))
    assert no.value.slug == "dns-refused"


async def test_a_wrong_secret_is_told_as_a_refusal_too(tmp_path: Path) -> None:
    def badsig(asked: bytes) -> bytes:
        return asked[:2] + BADSIG + BADSIG_TSIG

    refused, _ = await refusal(tmp_path, badsig)
    assert refused.slug == "dns-refused" and "TSIG" in refused.message


@pytest.mark.parametrize("code", [dns.rcode.NOERROR, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN])
async def test_what_would_be_a_claim_about_the_zone_is_not_believed_without_a_signature(
    tmp_path: Path, code: dns.rcode.Rcode
) -> None:
    claim = bytes([UNSIGNED[0], int(code)]) + UNSIGNED[2:]
    refused, _ = await refusal(tmp_path, lambda asked: asked[:2] + claim)
    assert refused.slug == "dns-bad-answer"


async def test_a_refusal_of_another_question_says_nothing(tmp_path: Path) -> None:
    refused, _ = await refusal(tmp_path, lambda asked: bytes([asked[0] ^ 1, asked[1]]) + UNSIGNED)
    assert refused.slug == "dns-bad-answer"


async def test_a_truncated_answer_is_asked_for_again_by_tcp() -> None:
    name = dns.name.from_text("shop.example.test.")

    def truncated(asked: bytes) -> bytes:
        answer = dns.message.make_response(dns.message.from_wire(asked))
        answer.flags |= dns.flags.TC | dns.flags.AA
        return answer.to_wire()

    async def whole(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        answer = dns.message.make_response(dns.message.from_wire(await reader.readexactly(size)))
        answer.flags |= dns.flags.AA
        answer.answer.append(dns.rrset.from_text(name, 5, "IN", "A", "192.0.2.11"))
        writer.write(answer.to_wire(prepend_length=True))
        await writer.drain()
        writer.close()

    async with server(truncated) as (_, port):
        stream = await asyncio.start_server(whole, "127.0.0.1", port, family=socket.AF_INET)
        async with stream:
            answer = await ask(Server("127.0.0.1", port), name, dns.rdatatype.A)
    assert [str(item) for rrset in answer.answer for item in rrset] == ["192.0.2.11"]


async def test_a_server_that_is_just_being_restarted_is_asked_again() -> None:
    name = dns.name.from_text("shop.example.test.")

    def empty(asked: bytes) -> bytes:
        answer = dns.message.make_response(dns.message.from_wire(asked))
        answer.flags |= dns.flags.AA
        return answer.to_wire()

    async with server(empty) as (_, port):
        pass
    asking = asyncio.create_task(ask(Server("127.0.0.1", port), name, dns.rdatatype.A))
    await asyncio.sleep(0.5)
    assert not asking.done(), "that nobody listens now is not yet an answer"
    loop = asyncio.get_running_loop()
    transport, answers = await loop.create_datagram_endpoint(lambda: Answers(empty), local_addr=("127.0.0.1", port))
    try:
        assert (await asking).rcode() == dns.rcode.NOERROR
    finally:
        transport.close()
    assert answers.asked == 1


async def test_what_somebody_else_sends_is_passed_over() -> None:
    name = dns.name.from_text("shop.example.test.")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def forged_first(asked: bytes) -> bytes:
            stranger.sendto(b"\0" * 20, sender[0])
            answer = dns.message.make_response(dns.message.from_wire(asked))
            answer.flags |= dns.flags.AA
            return answer.to_wire()

        sender: list[tuple[str, int]] = []
        async with server(forged_first) as (answers, port):
            answers.heard = sender
            assert (await ask(Server("127.0.0.1", port), name, dns.rdatatype.A)).rcode() == dns.rcode.NOERROR


async def test_a_server_that_stays_silent_is_told_so() -> None:
    async with server(lambda asked: asked) as (_, port):
        pass
    with pytest.raises(SecondsiteError) as silent:
        await ask(Server("127.0.0.1", port), dns.name.from_text("shop.example.test."), dns.rdatatype.A)
    assert silent.value.slug == "dns-silent"
