"""Ask the shop which of the things it promised it still has."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from secondsite_lab.customer.attempt import Refused, Shop, content_of, request, resolve


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was acknowledged, and what of that is gone."""

    orders_acknowledged: int
    orders_lost: list[str]
    files_acknowledged: int
    files_lost: list[str]

    def document(self) -> str:
        """As one JSON document."""
        return json.dumps(asdict(self), indent=2)


def acknowledged(lines: Iterable[str], kind: str) -> list[str]:
    """The keys that the shop took, in the order of the log."""
    attempts = [json.loads(line) for line in lines if line.strip()]
    return [entry["id"] for entry in attempts if entry["kind"] == kind and entry["acknowledged_at"] is not None]


async def _get(shop: Shop, address: str, path: str) -> object:
    status, body = await request(shop, address, "GET", path)
    if status != 200:
        raise Refused(f"GET {path}: {status} {body[:200].decode(errors='replace')}")
    return json.loads(body)


async def verify(shop: Shop, lines: list[str], address: str | None) -> Verdict:
    """Compare the log with what the shop shows now; a damaged upload counts as lost."""
    where = address or await resolve(shop)
    orders = await _get(shop, where, "/orders?after=0")
    uploads = await _get(shop, where, "/uploads")
    if not isinstance(orders, list) or not isinstance(uploads, list):
        raise Refused("the shop answered with something else than lists")
    known_orders = set(orders)
    known_files = {upload["name"]: (upload["size"], upload["sha256"]) for upload in uploads}
    took, kept = acknowledged(lines, "order"), acknowledged(lines, "file")
    return Verdict(
        len(took),
        [key for key in took if key not in known_orders],
        len(kept),
        [key for key in kept if not _intact(key, known_files.get(key))],
    )


def _intact(key: str, found: tuple[int, str] | None) -> bool:
    return found is not None and hashlib.sha256(content_of(key, found[0])).hexdigest() == found[1] and found[0] > 0
