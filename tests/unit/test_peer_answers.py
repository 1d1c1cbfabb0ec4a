"""The next step fits what the other site's agent has answered."""

from __future__ import annotations

import pytest

from secondsite.errors import FinalError
from secondsite.recovery.peer import Peer


def refused(status: str, body: bytes = b"no") -> FinalError:
    with pytest.raises(FinalError) as told:
        Peer("oslo", "10.10.0.1", 7433, "t").read(f"HTTP/1.1 {status}\r\n\r\n".encode() + body)
    return told.value


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("401 Unauthorized", "do not share a token: run secondsite apply"),
        ("403 Forbidden", "do not share a token: run secondsite apply"),
        ("404 Not Found", "of another release and does not know what was asked: run secondsite apply"),
        ("500 Internal Server Error", "at oslo: journalctl -u secondsite-agent -n 50"),
        ("503 Service Unavailable", "at oslo: journalctl -u secondsite-agent -n 50"),
    ],
)
def test_the_hint_is_of_what_was_answered(status: str, hint: str) -> None:
    error = refused(status)
    assert error.slug == "peer-refused" and error.hint is not None and error.hint.endswith(hint)
    assert status[:3] in error.message


def test_where_nothing_is_known_of_an_answer_nothing_is_advised() -> None:
    assert refused("418 Teapot").hint is None


def test_what_the_other_site_explains_keeps_its_own_next_step() -> None:
    body = b'{"error": "verify-busy", "message": "a lock", "hint": "later"}'
    error = refused("500 Internal Server Error", body)
    assert (error.slug, error.hint) == ("verify-busy", "later")
