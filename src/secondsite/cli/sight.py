"""What can be seen of the service from this machine: through this host's agent, directly, or over SSH."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from secondsite.errors import RetryableError
from secondsite.spec import paths

Document = Mapping[str, Any]


def begin(config: Path | None) -> Callable[[], Document]:
    """Start looking; call what is returned for the status document. What you do in between costs no waiting."""
    if paths.SITE.exists():
        from secondsite.agent.client import ask

        try:
            return ask("/v1/status").read
        except RetryableError:
            return lambda: _without_agent(config)
    return lambda: _over_ssh(config)


def _without_agent(config: Path | None) -> Document:
    """On a host whose agent does not answer: look ourselves, ask the peer, and say so."""
    import asyncio

    from secondsite.agent.judge import status_from
    from secondsite.agent.local import observe_here
    from secondsite.cli.options import find_config
    from secondsite.cli.this_host import this_host
    from secondsite.clock import SystemClock
    from secondsite.spec.load import load

    path = find_config(config)
    loaded, site, clock = load(path), this_host(path)[1], SystemClock()
    seen = asyncio.run(observe_here(loaded, site, clock))
    return status_from(loaded.spec, [seen], {}, clock.now())


def _over_ssh(config: Path | None) -> Document:
    import asyncio

    from secondsite.cli.options import find_config
    from secondsite.cli.sight_ssh import look
    from secondsite.spec.load import load

    return asyncio.run(look(load(find_config(config)).spec))
