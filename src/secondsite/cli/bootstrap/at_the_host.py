"""A whole session on a host. Apart from its command, so that no parser is loaded for a line that no person types."""

from __future__ import annotations

import contextlib
import os

from secondsite.cli.bootstrap.lock import hold
from secondsite.cli.bootstrap.serve import private_stdout, serve, standard_input, who
from secondsite.clock import SystemClock
from secondsite.errors import SecondsiteError
from secondsite.events import Result, to_line
from secondsite.remote.wire import error_document


async def session(*, read_only: bool) -> int:
    """Serve until the input ends; the exit code. read_only: without the lock that keeps two applies apart."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"  # nft, wg-quick
    clock = SystemClock()
    out = private_stdout()
    try:
        with contextlib.nullcontext() if read_only else hold(who(), clock):
            await serve(await standard_input(), out, clock)
    except SecondsiteError as error:
        out.write(to_line(Result(error_document(error), int(error.exit))) + "\n")
        out.flush()
        return int(error.exit)
    return 0
