"""Do commits wait as the file says? The agent brings it about within seconds; here it is looked at."""

from __future__ import annotations

from datetime import UTC, datetime

from secondsite.clock import to_text
from secondsite.database.commit_wait import LESSER, NAMES, follower, names, ours, waits
from secondsite.database.state import DatabaseState
from secondsite.spec import Spec


def as_wanted(state: DatabaseState, spec: Spec, site: str) -> tuple[bool, str]:
    """Pure: whether it is so at the primary, ``site``, and what was seen."""
    peer, now = spec.peer_of(site), dict(state.settings).get(NAMES, "")
    if spec.database.mode != "sync":
        left = ours(now, spec.site_names)
        return not left, f'mode is "async", and commits still wait for {peer}' if left else "commits wait for nobody"
    if waits(state, peer):
        return True, f"commits wait for {peer}"
    lesser = dict(state.settings).get(LESSER)
    if now == names(peer) and lesser:
        return True, f"commits wait for {peer}, but not those of {lesser}, where synchronous_commit is set lower"
    standby = follower(state, peer)
    seen = "which does not stream" if standby is None else f"whose stream is in state {standby.state}"
    if now == names(peer):
        return False, f"commits hang: they wait for {peer}, {seen}"
    return False, f'mode is "sync", and commits do not wait for {peer}, {seen}: RPO is not 0'


def trouble(state: DatabaseState, spec: Spec, site: str, stopped_at: float | None) -> str | None:
    """Pure: what to tell before anything is changed, where the standby is lost at this moment; None where all is well.

    stopped_at: since when the agent has commits wait no longer (unix seconds), if it has.
    """
    peer, now = spec.peer_of(site), dict(state.settings).get(NAMES)
    if not state.writable or spec.database.mode != "sync":
        return None
    if now == names(peer) and follower(state, peer) is None:
        return f"commits hang: they wait for {peer}, which does not stream"
    if now != names(peer) and stopped_at is not None:
        since = to_text(datetime.fromtimestamp(stopped_at, UTC))
        return (
            f"commits wait for {peer} no longer, since {since}: it is lost. They do again by themselves once it streams"
        )
    return None
