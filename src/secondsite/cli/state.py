"""``secondsite state``: what this host knows of both sites, for ``status`` on another machine."""

from __future__ import annotations

from secondsite.cli.options import Config, Json, find_config


def run(*, config: Config = None, json: Json = False) -> int:
    """Print what this host knows of itself and of its peer, as JSON; from its agent, else looked at directly."""
    from secondsite.agent.client import get
    from secondsite.cli.render import emit_json
    from secondsite.errors import RetryableError

    try:
        emit_json(get("/v1/views"))
    except RetryableError:
        import asyncio

        from secondsite.agent.local import observe_here
        from secondsite.cli.this_host import this_host
        from secondsite.clock import SystemClock
        from secondsite.spec.load import load

        path = find_config(config)
        emit_json(asyncio.run(observe_here(load(path), this_host(path)[1], SystemClock())))
    return 0
