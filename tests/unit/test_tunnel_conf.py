"""The tunnel's texts: what is written, what is read back, and that no secret is in either."""

from __future__ import annotations

import base64
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from secondsite.errors import FinalError
from secondsite.events import ignore
from secondsite.spec import Spec, paths
from secondsite.tunnel import conf, firewall, keys, nftables, quarantine, rtt
from secondsite.tunnel.dump import Dump, Peer, parse
from secondsite.tunnel.interface import differences
from secondsite.tunnel.secrets import PEER_TOKEN, REPLICATION, shared

OWN, PEER = "oslokey", "bergenkey"
SPEC = Spec.model_validate(
    {
        "service": {"name": "shop"},
        "objectives": {"rpo": "1m", "rto": "5m"},
        "sites": {
            name: {"ssh": name, "public": public, "operator": "X AS", "country": "NO", "location": [60, 10]}
            for name, public in (("oslo", "192.0.2.11"), ("bergen", "2001:db8::12"))
        },
        "tunnel": {"network": "10.10.0.0/24"},
        "database": {"cluster": "15/main"},
    }
)
DUMP = (
    "cHJpdmF0ZQ==\toslokey\t51820\toff\nbergenkey\t(none)\t198.51.100.12:51820\t10.10.0.2/32\t1763779200\t10\t20\t25\n"
)


def test_the_configuration_names_the_key_file_and_holds_no_key() -> None:
    text = conf.render(SPEC, "oslo", "cGVlcg==")
    assert "PrivateKey" not in text
    assert "PostUp = wg set %i private-key /etc/wireguard/wg0.key" in text
    assert "Address = 10.10.0.1/24" in text
    assert "AllowedIPs = 10.10.0.2/32" in text
    assert "Endpoint = [2001:db8::12]:51820" in text


def test_a_plan_shows_a_key_that_is_not_known_yet_as_such() -> None:
    assert conf.UNKNOWN_KEY in conf.render(SPEC, "oslo", None)


@pytest.mark.parametrize(
    ("address", "text"), [(IPv4Address("192.0.2.1"), "192.0.2.1:1"), (IPv6Address("::1"), "[::1]:1")]
)
def test_endpoints(address: IPv4Address | IPv6Address, text: str) -> None:
    assert conf.endpoint(address, 1) == text


def test_the_dump_is_read_without_the_private_key() -> None:
    dump = parse(DUMP)
    assert dump == Dump(OWN, 51820, (Peer(PEER, "198.51.100.12:51820", ("10.10.0.2/32",), 1763779200.0, 10, 20, 25),))
    assert "cHJpdmF0ZQ==" not in repr(dump)


def test_a_peer_that_never_answered() -> None:
    peer = parse("x\toslokey\t1\toff\nk\t(none)\t(none)\t(none)\t0\t0\t0\toff\n").peers[0]
    assert (peer.endpoint, peer.allowed, peer.last_handshake_at, peer.keepalive) == (None, (), None, None)


@given(st.text(max_size=80))
def test_anything_else_is_refused_and_never_crashes(text: str) -> None:
    try:
        parse(text)
    except ValueError:
        pass


def test_a_tunnel_as_the_file_says_needs_nothing() -> None:
    assert differences(parse(DUMP), SPEC, "oslo", own=OWN, peer=PEER) == []


def test_a_peer_that_roams_is_left_alone_and_one_that_is_silent_is_called() -> None:
    assert differences(parse(DUMP), SPEC, "oslo", own=OWN, peer=PEER, at=1763779200.0 + 100) == []
    assert differences(parse(DUMP), SPEC, "oslo", own=OWN, peer=PEER, at=1763779200.0 + 600) == [
        "call the peer at [2001:db8::12]:51820"
    ]


def test_what_differs_is_named() -> None:
    dump = parse(DUMP + "stranger\t(none)\t(none)\t10.10.0.9/32\t0\t0\t0\toff\n")
    assert differences(dump, SPEC, "oslo", own="other", peer="new") == [
        "load this host's key", "add the peer", "remove the unknown peer bergenkey", "remove the unknown peer stranger",
    ]  # fmt: skip


def test_both_sides_derive_the_same_and_each_purpose_another() -> None:
    one, two = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    first = shared(one, keys.encoded(two.public_key()), PEER_TOKEN)
    assert first == shared(two, keys.encoded(one.public_key()), PEER_TOKEN)
    assert first != shared(one, keys.encoded(two.public_key()), REPLICATION)
    assert len(base64.urlsafe_b64decode(first + "=")) == 32


@given(st.binary(min_size=32, max_size=32))
def test_keys_are_clamped_as_wg_does(raw: bytes) -> None:
    scalar = keys.clamped(raw)
    assert scalar[0] & 7 == 0 and scalar[31] & 0b1100_0000 == 0b0100_0000
    assert scalar[1:31] == raw[1:31]


@pytest.mark.needs_root
async def test_a_key_is_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "WIREGUARD", tmp_path)
    pair = keys.KeyPair("wg7")
    change = await pair.plan()
    assert change is not None
    await pair.apply(change, ignore)
    made = keys.public_key("wg7")
    assert await pair.plan() is None
    (tmp_path / "wg7.key").chmod(0o644)
    change = await pair.plan()
    assert change is not None
    await pair.apply(change, ignore)
    assert keys.public_key("wg7") == made and (tmp_path / "wg7.key").stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "WIREGUARD", tmp_path)
    (tmp_path / "wg0.key").write_text("nonsense\n")
    with pytest.raises(FinalError) as damaged:
        keys.public_key("wg0")
    assert damaged.value.slug == "key-damaged" and "nonsense" not in str(damaged.value)


def test_the_firewall_admits_clients_only_where_the_file_names_some() -> None:
    assert "ip saddr" not in nftables.render(SPEC).split("chain database")[1].split("chain")[0]
    some = SPEC.model_copy(update={"database": SPEC.database.model_copy(update={"clients": ("203.0.113.0/24",)})})
    assert "ip saddr { 203.0.113.0/24 } accept" in nftables.render(some)


def test_the_firewall_reads_exactly_the_quarantine_file() -> None:
    include = nftables.render(SPEC).splitlines()[-1]
    assert include == f'include "{str(paths.QUARANTINE)[:-1]}[e]"'


ADDRESSES = st.sets(st.ip_addresses(v=4), max_size=4)


@given(ADDRESSES)
def test_quarantined_addresses_are_read_back(addresses: set[IPv4Address]) -> None:
    listed = ", ".join(str(address) for address in addresses)
    kernel = (
        f"table inet secondsite {{\n\tset quarantine {{\n\t\ttype ipv4_addr\n\t\telements = {{ {listed} }}\n\t}}\n}}"
    )
    assert quarantine.parse(kernel) == addresses
    assert quarantine.parse(f"add element inet secondsite quarantine {{ {listed} }}\n") == addresses


def test_round_trip_time_is_the_minimum() -> None:
    assert rtt.parse("rtt min/avg/max/mdev = 0.480/1.966/8.234/2.396 ms\n") == 0.48
    assert rtt.parse("20 packets transmitted, 0 received, 100% packet loss\n") is None


async def test_a_database_that_is_closed_to_whoever_reached_it_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "\n".join(
        f"LISTEN 0 244 {address}:5432 0.0.0.0:*" for address in ("127.0.0.1", "[::1]", "10.10.0.1", "192.0.2.11")
    )
    assert firewall.listeners(told + "\nLISTEN 0 1 *:5432 *:*")[-2:] == ["192.0.2.11", "0.0.0.0"]

    async def none() -> bool:
        return False

    async def answers(port: int) -> list[str]:
        return firewall.listeners(told)

    async def nobody(port: int) -> list[str]:
        return []

    monkeypatch.setattr(firewall, "loaded", none)
    monkeypatch.setattr(firewall, "_listening", answers)
    monkeypatch.setattr(firewall, "_connections", nobody)
    closed = SPEC.model_copy(update={"database": SPEC.database.model_copy(update={"clients": ()})})
    named = SPEC.database.model_copy(update={"clients": (ip_network("203.0.113.0/24"),)})
    change = await firewall.Firewall(closed, tmp_path / "nft.conf").plan()
    assert change is not None and change.disrupts is not None
    assert "listens on 192.0.2.11 port" in change.disrupts and "database.clients" in change.disrupts
    change = await firewall.Firewall(SPEC.model_copy(update={"database": named}), tmp_path / "nft.conf").plan()
    assert change is not None and change.disrupts is None
    assert "203.0.113.9" in str(firewall.noticed(("203.0.113.9",), (), 5432))


def test_connections_that_the_firewall_would_cut_are_named() -> None:
    peers = ["127.0.0.1", "10.10.0.2", "::ffff:203.0.113.9", "198.51.100.7", "junk"]
    assert firewall.outsiders(peers, SPEC) == ("198.51.100.7", "203.0.113.9")
    clients = SPEC.database.model_copy(update={"clients": (IPv4Network("203.0.113.0/24"),)})
    assert firewall.outsiders(peers, SPEC.model_copy(update={"database": clients})) == ("198.51.100.7",)
