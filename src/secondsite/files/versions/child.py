"""Start the process that works on versions, follow what it says, and leave none behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from secondsite.errors import Exit, FinalError, RetryableError, SecondsiteError
from secondsite.events import Emit, Result, from_line, ignore
from secondsite.files.store import Held

_LINE_BYTES = 64 * 1024 * 1024  # a result that names many files is one line
# The host's program is started with its own search path (``remote/bundle.py``); a child has to be told it.
_BEGIN = (
    "import json,sys; order=json.loads(sys.stdin.readline()); sys.path[:]=order['search'];"
    "from secondsite.files.versions.worker import main; sys.exit(main(order))"
)


async def work(
    act: str, name: str, folder: str, arguments: Mapping[str, Any], *, emit: Emit = ignore, held: Held | None = None
) -> dict[str, Any]:
    """What ``act`` comes to. held: the set's lock, so that whoever must have it can end this.

    Raises the worker's error, RetryableError (``versions-ended``) where it was ended.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-IS", "-c", _BEGIN),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=_LINE_BYTES,
        cwd="/",
    )
    try:
        if held is not None:
            held.running(child.pid)
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        order = {**arguments, "act": act, "set": name, "folder": folder, "search": sys.path}
        child.stdin.write(json.dumps(order).encode() + b"\n")
        said = asyncio.ensure_future(child.stderr.read())
        try:
            result = await _result(child.stdout, emit)
            if result is not None:
                return result
            complaint = (await said).decode("utf-8", "replace").strip()
        finally:
            said.cancel()
    finally:
        await _end(child)
        if held is not None:
            held.running(None)
    raise _ended(name, act, await child.wait(), complaint)


async def _result(lines: asyncio.StreamReader, emit: Emit) -> dict[str, Any] | None:
    """The document of the result; None where the process ends without one. Raises the error that it is."""
    while line := await lines.readline():
        event = from_line(line.decode())
        if not isinstance(event, Result):
            emit(event)
            continue
        document = dict(event.document)
        if "error" not in document:
            return document
        raise SecondsiteError(
            document["message"],
            slug=document["error"],
            host=document["host"],
            step=document["step"],
            hint=document["hint"],
            exit_code=Exit(document["exit_code"]),
        )
    return None


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def _ended(name: str, act: str, code: int, complaint: str) -> SecondsiteError:
    step = f"versions of {name}"
    if code < 0:
        return RetryableError(
            f"it was ended ({act}): something that may not wait needed the file set", slug="versions-ended", step=step
        )
    last = complaint.splitlines()[-1] if complaint else f"exit code {code}"
    return FinalError(
        f"it failed ({act}): {last}", slug="versions-failed", step=step, hint="journalctl -u secondsite-agent"
    )
