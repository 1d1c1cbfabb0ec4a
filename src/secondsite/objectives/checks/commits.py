"""Checks of what a commit waits for: is the promise of the file kept, and at what price?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from secondsite.clock import to_text
from secondsite.database.commit_wait import DURABLE, LESSER, NAMES, follower, names, ours
from secondsite.objectives.finding import Judged, Needs, Problem, Registry, Severity
from secondsite.objectives.snapshot import CommitWait, SiteState
from secondsite.spec import Spec

registry = Registry(sees=lambda state: state.database.writable and _names(state) is not None)


def let_go(spec: Spec, primary: str) -> str:
    """The way out of commits that hang, whatever else is broken: two statements on the primary's own host."""
    sql = f"-c 'ALTER SYSTEM RESET {NAMES}' -c 'SELECT pg_reload_conf()'"
    return f"on {primary}: `runuser -u postgres -- psql -p {spec.database.port} {sql}`"


def _primary(judged: Judged) -> SiteState | None:
    situation = judged.situation
    state = situation.present(situation.primary) if situation.primary else None
    return state if state is not None and state.database.writable and _names(state) is not None else None


def _names(state: SiteState) -> str | None:
    return dict(state.database.settings).get(NAMES)


def _hanging(state: SiteState, peer: str) -> CommitWait | None:
    """What the agent knows of the standby, where commits wait for it and it does not answer."""
    waits = _names(state) == names(peer)
    return state.commits if waits and state.commits is not None and not state.commits.answers else None


@registry.check("commits-hang", Severity.CRITICAL, "Does no commit wait for a standby that is lost?", Needs.PRIMARY)
def commits_hang(judged: Judged) -> Iterator[Problem]:
    """In mode "sync" a lost standby holds every commit up: for `degrade_after`, or with "block" until it is back."""
    state, spec = _primary(judged), judged.situation.spec
    hangs = _hanging(state, spec.peer_of(state.site)) if state is not None else None
    if state is None or hangs is None:
        return
    peer, rules = spec.peer_of(state.site), spec.database
    message = f"commits hang: they wait for {peer}, which has not answered for {hangs.missing_seconds:.0f} s"
    if rules.mode == "async" or rules.when_standby_lost == "degrade":
        seconds = rules.degrade_after if rules.mode == "sync" else 0
        message += f"; the agent has them wait no longer than {seconds:g} s"
        yield Problem(state.site, message, f"wait, or bring {peer} back", Severity.WARNING)
        return
    hint = f"bring {peer} back; or, if users cannot wait for it, {let_go(spec, state.site)} lets commits go on at once"
    hint += f". Then RPO is not 0 until {peer} streams again, and commits wait again by themselves"
    hint += f"; a failover to {peer} before that cannot know it, and would say that nothing was lost: write it down"
    yield Problem(state.site, message + '; when_standby_lost is "block", so nobody can save anything', hint)


@registry.check("commit-mode", Severity.WARNING, "Do commits wait for the standby as the file says?", Needs.PRIMARY)
def commit_mode(judged: Judged) -> Iterator[Problem]:
    """In mode "sync" RPO 0 is only true while they do; in mode "async" nobody shall pay for it."""
    state, spec = _primary(judged), judged.situation.spec
    if state is None:
        return
    found = _unwanted(state, spec) if spec.database.mode == "async" else _missing(state, judged)
    if found is not None:
        yield found


def _unwanted(state: SiteState, spec: Spec) -> Problem | None:
    now = _names(state) or ""
    if not now:
        return None
    message = f"mode is \"async\", but commits wait: {NAMES} is '{now}'"
    if ours(now, spec.site_names):
        return Problem(state.site, message, "the agent takes it back within seconds: journalctl -u secondsite-agent")
    hint = 'somebody has set it: write mode = "sync" and run `secondsite apply`, or ' + let_go(spec, state.site)
    return Problem(state.site, message, hint)


def _missing(state: SiteState, judged: Judged) -> Problem | None:
    peer = judged.situation.spec.peer_of(state.site)
    now, durable = _names(state), dict(state.database.settings).get("synchronous_commit", "on")
    if durable not in DURABLE:
        message = f'mode is "sync", but synchronous_commit is {durable}: commits do not wait for the disk of {peer}'
        return Problem(state.site, message, "set it to on, in the file that SHOW config_file names, and reload")
    lesser = dict(state.database.settings).get(LESSER)
    if now == names(peer) and lesser:
        message = (
            f'mode is "sync", but synchronous_commit is set lower for {lesser}: what is committed there does not wait '
            f"for {peer}, and RPO is not 0"
        )
        hint = (
            "ALTER ROLE … RESET synchronous_commit, or ALTER DATABASE … RESET synchronous_commit, if that is not meant"
        )
        return Problem(state.site, message, hint)
    if now == names(peer):
        return None
    stopped = state.commits.stopped_at if state.commits is not None else None
    if stopped is not None:
        return _degraded(state, judged, peer, stopped)
    if now:
        message = f"mode is \"sync\", but {NAMES} is '{now}', not '{names(peer)}'"
        return Problem(state.site, message, f"the agent sets it once {peer} streams: see the other findings")
    standby = follower(state.database, peer)
    seen = f"is in state {standby.state}" if standby is not None else "does not stream"
    message = f'mode is "sync", but commits do not wait for {peer} yet, which {seen}: RPO is not 0'
    return Problem(state.site, message, f"they do a few seconds after {peer} streams: see the other findings")


def _degraded(state: SiteState, judged: Judged, peer: str, stopped: float) -> Problem:
    since = to_text(datetime.fromtimestamp(stopped, UTC))
    patience = judged.situation.spec.database.degrade_after
    message = (
        f"commits wait for {peer} no longer, since {since}: it did not answer for degrade_after ({patience:g} s)."
        f" RPO is not 0 any more: if {state.site} is lost now, so is what was committed since"
    )
    seconds, agreed = judged.rpo.seconds, judged.situation.spec.objectives.rpo
    kept = seconds is not None and seconds <= agreed
    hint = f"bring {peer} back: commits wait for it again by themselves once it streams"
    return Problem(state.site, message, hint, Severity.WARNING if kept else Severity.CRITICAL)
