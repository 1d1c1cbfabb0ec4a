"""``secondsite state``: what this host knows of both sites, for ``status`` on another machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secondsite.cli.options import Config, Json, find_config


def run(*, config: Config = None, json: Json = False) -> int:
    """Print the state of this host, and below ``views`` what it knows of its peer; from its agent, else directly.

    It is always JSON.
    """
    from secondsite.agent.client import get
    from secondsite.cli.render import emit_json
    from secondsite.errors import RetryableError

    try:
        seen = get("/v1/views")
    except RetryableError:
        import asyncio

        from secondsite.agent.local import observe_here
        from secondsite.cli.this_host import this_host
        from secondsite.clock import SystemClock
        from secondsite.spec.load import load

        path = find_config(config)
        seen = asyncio.run(observe_here(load(path), this_host(path)[1], SystemClock()))
    emit_json(own_first(seen))
    return 0


def own_first(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same with this site's own state at the top level, and only the peer left under ``views``."""
    views = dict(document["views"])
    own = views.pop(document["site"])
    return {**own["state"], **document, "views": views}
