"""``secondsite session``: the other end of ``plan`` and ``apply`` on a host. Not for people."""

from __future__ import annotations

import contextlib
import os
from typing import Annotated

from cyclopts import Parameter


async def run(*, read_only: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Serve an operator's plan or apply over standard input and output; ends when the input ends.

    Parameters
    ----------
    read_only
        Look and plan only, without the lock that keeps two applies apart.
    """
    from secondsite.cli.bootstrap.lock import hold
    from secondsite.cli.bootstrap.serve import private_stdout, serve, standard_input, who
    from secondsite.clock import SystemClock
    from secondsite.errors import SecondsiteError
    from secondsite.events import Result, to_line
    from secondsite.remote.session import error_document

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
