"""What a host that one is connected to owes: over SSH, and the one whose shell is this machine's."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncssh
import pytest

from secondsite.errors import FinalError, UnknownOutcomeError
from secondsite.remote.host import Host
from secondsite.remote.target import Target
from tests.fakes.host import HereAsHost

AnyHost = Host | HereAsHost


async def _shell(request: asyncssh.SSHServerProcess[bytes]) -> None:
    """What sshd does with a command: a shell of its own, fed and heard to its end."""
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", request.command or "true",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert child.stdin and child.stdout and child.stderr
    feeding = asyncio.create_task(_feed(request, child.stdin))
    try:
        out, err = await asyncio.gather(child.stdout.read(), child.stderr.read())
        code = await child.wait()
        request.stdout.write(out)
        request.stderr.write(err)
        request.exit(code)
    finally:
        feeding.cancel()
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            await child.wait()


async def _feed(request: asyncssh.SSHServerProcess[bytes], into: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # it ended without reading
        while data := await request.stdin.read(1 << 16):
            into.write(data)
            await into.drain()
    into.close()


class _Everybody(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False  # the loopback of a test: who connects is let in


@asynccontextmanager
async def over_ssh() -> AsyncIterator[Host]:
    """A connection by the real protocol, over the loopback."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=_Everybody, server_host_keys=[key], process_factory=_shell, encoding=None
    )
    port = listener.get_port()
    known = asyncssh.import_known_hosts(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    user = getpass.getuser()
    async with (
        listener,
        asyncssh.connect(
            "127.0.0.1", port, username=user, known_hosts=known, client_keys=None, config=None
        ) as connection,
    ):
        yield Host(Target("oslo", "127.0.0.1", user, port), connection, root=True)


@asynccontextmanager
async def here() -> AsyncIterator[HereAsHost]:
    yield HereAsHost()


@pytest.fixture(params=[over_ssh, here], ids=["real", "fake"])
async def host(request: pytest.FixtureRequest) -> AsyncIterator[AnyHost]:
    async with request.param() as reached:
        yield reached


async def test_a_script_is_run_by_a_posix_shell_and_what_it_says_is_told_apart(host: AnyHost) -> None:
    done = await host.run('printf \'ø"%s\' "$((1 + 1))"; echo no >&2', timeout=20, step="say")
    assert (done.stdout, done.stderr, done.code, done.ok) == ('ø"2', "no\n", 0, True)


async def test_what_is_fed_arrives_whole_and_how_far_it_is_is_told(host: AnyHost) -> None:
    data, sent = bytes(range(256)) * 4096, list[int]()
    done = await host.run("sha256sum; true", timeout=20, step="feed", stdin=data, sent=sent.append)
    assert done.stdout.split()[0] == hashlib.sha256(data).hexdigest()
    assert sent[-1] == len(data) and sent == sorted(sent)


async def test_a_script_that_reads_while_nothing_is_fed_sees_the_end(host: AnyHost) -> None:
    assert (await host.run("cat; echo end", timeout=20, step="read")).stdout == "end\n"


async def test_a_script_that_does_not_read_what_it_is_fed_is_no_trouble(host: AnyHost) -> None:
    done = await host.run("exit 3", timeout=20, step="deaf", stdin=bytes(4 << 20), check=False)
    assert done.code == 3


async def test_a_failure_is_an_error_that_names_host_and_step(host: AnyHost) -> None:
    with pytest.raises(FinalError) as failed:
        await host.run("echo it is broken >&2; exit 7", timeout=20, step="break")
    assert (failed.value.host, failed.value.step) == ("oslo", "break")
    assert "it is broken" in failed.value.message


async def test_unchecked_a_failure_is_an_answer(host: AnyHost) -> None:
    done = await host.run("echo it is broken >&2; exit 7", timeout=20, step="break", check=False)
    assert (done.code, done.stderr, done.ok) == (7, "it is broken\n", False)


async def test_where_time_is_up_the_outcome_is_unknown(host: AnyHost) -> None:
    with pytest.raises(UnknownOutcomeError) as late:
        await host.run("sleep 3", timeout=0.3, step="wait")
    assert (late.value.slug, late.value.host, late.value.step) == ("ssh-timeout", "oslo", "wait")
