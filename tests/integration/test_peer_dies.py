"""A host that loses its power sends no word: a long question to it ends all the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# In a network of its own: an agent that takes the request and works; then no packet passes any more.
ASKING = """
import asyncio, json, subprocess, sys, time
from secondsite.errors import SecondsiteError
from secondsite.events import ignore
from secondsite.recovery import peer
from secondsite.recovery.relay import relay

def link(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    if sys.argv[1] == "relay":
        writer.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        await writer.drain()
    await asyncio.sleep(0.5)
    link("down")
    await asyncio.sleep(3600)

async def main():
    link("up")
    peer.IDLE_SECONDS, peer.PROBE_SECONDS, peer.PROBES = 1, 1, 2
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    there = peer.Peer("oslo", "127.0.0.1", server.sockets[0].getsockname()[1], "t")
    if sys.argv[1] == "relay":
        await relay(there, "switchover", {}, ignore)
    else:
        await there.post("/v1/handover/checkpoint", {}, connect_seconds=3, answer_seconds=1800)

try:
    asyncio.run(main())
except SecondsiteError as error:
    print(json.dumps(error.as_json()))
"""


@pytest.mark.needs_root
@pytest.mark.parametrize(("way", "slug"), [("ask", "peer-unanswered"), ("relay", "relay-lost")])
def test_a_question_without_end_ends_some_seconds_after_the_other_host_is_gone(way: str, slug: str) -> None:
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", ASKING, way], capture_output=True, text=True, timeout=30, check=True
    )
    told = json.loads(done.stdout)
    assert told["error"] == slug, told
    assert "broke" in told["message"]
