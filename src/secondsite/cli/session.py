"""``secondsite session``: the other end of ``plan`` and ``apply`` on a host. Not for people."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter


async def run(*, read_only: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Serve an operator's plan or apply over standard input and output; ends when the input ends.

    Parameters
    ----------
    read_only
        Look and plan only, without the lock that keeps two applies apart.
    """
    from secondsite.cli.bootstrap.at_the_host import session

    return await session(read_only=read_only)
