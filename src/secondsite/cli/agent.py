"""``secondsite agent``: the program that systemd keeps running on each host."""

from __future__ import annotations

from secondsite.cli.options import Config, find_config


async def run(*, config: Config = None) -> int:
    """Watch this host and its peer, and answer for it, until stopped. Started by systemd; rarely by hand."""
    from secondsite.agent.compose import serve
    from secondsite.cli.this_host import this_host
    from secondsite.clock import SystemClock
    from secondsite.spec.load import load

    path = find_config(config)
    loaded = load(path)
    await serve(loaded, this_host(path)[1], SystemClock())
    return 0
