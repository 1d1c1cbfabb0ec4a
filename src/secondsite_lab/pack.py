"""Fetch what a host's Python needs while there is a network: inside a lab there is none."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable

from secondsite.errors import SecondsiteError
from secondsite.remote.bundle import Python, bundle_for

PYTHON_OF_SUITE = {"bookworm": "3.11", "trixie": "3.13"}


def for_hosts_of(suite: str, tell: Callable[[str], None]) -> None:
    """Pack the libraries for the hosts' Python into the operator's cache, where that is another one than ours.

    Without a network this cannot be done; then ``secondsite apply`` says so, if it is ever called.
    """
    python = Python(PYTHON_OF_SUITE[suite], platform.machine(), "/usr/bin/python3")
    if python.like_ours:
        return
    tell(f"fetching libraries for the hosts' Python {python.version}")
    try:
        asyncio.run(bundle_for(python))
    except SecondsiteError as offline:
        tell(f"that did not work: {offline.message}")
