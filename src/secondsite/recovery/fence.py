"""Fence: make sure that a site accepts no more writes. Here for this site, and from here for the other one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from secondsite.clock import Clock, to_text
from secondsite.converge.write import atomically
from secondsite.database import fence as database
from secondsite.database.cluster import Cluster
from secondsite.database.control import SystemdControl
from secondsite.database.controldata import read as read_control
from secondsite.errors import FinalError, RetryableError, SecondsiteError, UnknownOutcomeError
from secondsite.process import Completed, run
from secondsite.recovery import application
from secondsite.recovery.peer import Peer
from secondsite.spec import Spec, paths

ANSWER_SECONDS = 150.0  # the peer stops its application and its database within this
COMMAND_SECONDS = 60.0
SSH_SECONDS = 120.0
OFF_SECONDS = 30.0  # how long a host may take to go off after the command
CHECK_SECONDS = 0.5
GENTLE_SECONDS = 5.0  # so long agent and SSH are alone; then the commands are sent beside them
ALIVE_SECONDS = 30.0  # the same where the agent still answers other questions: it is stopping what runs there
QUESTION_SECONDS = 1.0
ROUND_SECONDS = 200.0  # all ways together: ALIVE + COMMAND + OFF + COMMAND (the last check), or ANSWER
# The same for a peer that is known to be silent, where the operator has accepted a fence that nobody confirms.
SILENT_GENTLE_SECONDS = 1.0
SILENT_ROUND_SECONDS = 5.0
BOOT_SECONDS = 60.0
AGENT, SSH, COMMAND = "agent over the tunnel", "ssh", "command "  # how the attempts are named


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way of fencing that was tried. confirmed: it was observed that no write is accepted any more. unknown: it
    was sent, and may have had an effect."""

    method: str
    confirmed: bool
    told: str
    unknown: bool = False


_Way = asyncio.Task[Attempt | None]  # named like its attempt; None where it had nothing to try


async def fence_here(
    spec: Spec, site: str, why: str, clock: Clock, *, generation: int | None = None
) -> Mapping[str, Any]:
    """Accept no more writes at this site: application down, database down, and neither comes back by itself.

    generation: the one the other site is about to begin; None where this site fences itself. Whatever fails on the
    way, the database is stopped. Raises FinalError: ``fence-refused`` for a generation that is not later than this
    site's, ``database-still-runs`` where the database cannot be stopped, ``fence-incomplete`` for anything else.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    if generation is not None:
        _refuse_late(generation, (await read_control(cluster)).generation)
        _refuse_standby(site, cluster)
    troubles: list[str] = []
    acts: tuple[Callable[[], None], ...] = (
        lambda: atomically(paths.FENCED, f"{why}\n".encode(), mode=0o600),
        lambda: paths.ACTIVE.unlink(missing_ok=True),
        lambda: paths.ADMITTED.unlink(missing_ok=True),
        lambda: database.mark_standby(cluster, why),
        lambda: note_verdict("hold", why, clock),
    )
    for act in acts:
        try:
            act()
        except OSError as failed:
            troubles.append(str(failed))
    try:
        await application.stop(spec.service.units)
    except SecondsiteError as failed:
        troubles.append(failed.message)
    await database.stop(cluster)
    if troubles:
        raise FinalError(
            f"the database is stopped, but: {'; '.join(troubles)}", slug="fence-incomplete", host=site, step="fence"
        )
    return {"site": site, "fenced": True, "database": "stopped", "units": "stopped", "at": to_text(clock.now())}


def _refuse_late(theirs: int, own: int) -> None:
    """A former primary that still holds the token must not stop the site that has taken over from it."""
    if paths.QUARANTINE.exists() or theirs <= own:
        raise FinalError(
            f"this site is in generation {own} and is not fenced for generation {theirs}",
            slug="fence-refused",
            hint="secondsite status",
        )


def _refuse_standby(site: str, cluster: Cluster) -> None:
    """Only a primary is fenced. A standby that follows is what saves the service; the other site may not stop it."""
    if (cluster.data / "standby.signal").exists() and not database.marked_by_us(cluster):
        raise FinalError(
            f"{site} is a standby, which accepts no writes anyway and is not stopped from the other site",
            slug="fence-refused",
            host=site,
            hint="secondsite status",
        )


async def unfence_here(spec: Spec, site: str, clock: Clock, procedure_id: str) -> Mapping[str, Any]:
    """Take the fence of one procedure back, where that was rolled back: start what it has stopped.

    Nothing is done where nothing is fenced. Raises FinalError (``fence-refused``) for a fence that is another's.
    """
    cluster = Cluster.parse(spec.database.cluster, spec.database.port)
    try:
        why = paths.FENCED.read_text()
    except FileNotFoundError:
        return {"site": site, "fenced": False, "at": to_text(clock.now())}
    if not procedure_id or procedure_id not in why:
        raise FinalError(
            f"{site} is not fenced by {procedure_id or 'whoever asks'}: {why.strip()}",
            slug="fence-refused",
            host=site,
            hint="on this host: secondsite guard; a person opens it with --allow",
        )
    await database.stop(cluster)  # a host that was booted meanwhile runs read-only, and no start would change that
    paths.FENCED.unlink()
    database.unmark(cluster)
    note_verdict("allow", "the failover that fenced this site was rolled back", clock)
    paths.RUN.mkdir(exist_ok=True)
    paths.ACTIVE.touch()
    paths.ADMITTED.write_text("the failover that fenced this site was rolled back\n")
    await SystemdControl(cluster).start()
    await application.start(spec.service.units)
    return {"site": site, "fenced": False, "at": to_text(clock.now())}


def note_verdict(verdict: str, reason: str, clock: Clock) -> None:
    """Keep the guard's last word where status and the next boot find it."""
    paths.STATE.mkdir(parents=True, exist_ok=True)
    draft = paths.GUARD_VERDICT.with_suffix(".new")
    draft.write_text(json.dumps({"verdict": verdict, "reason": reason, "at": to_text(clock.now())}))
    draft.replace(paths.GUARD_VERDICT)


async def fence_peer(
    spec: Spec, peer: Peer, *, procedure_id: str, generation: int, connect_seconds: float, known_silent: bool = False
) -> tuple[Attempt, ...]:
    """Try what can fence the peer, gentle ways first; every attempt with what it was told.

    Its agent and SSH are asked side by side: they stop it in good order, and everything it had gets through. Commands
    (the provider, the power) come where neither could confirm, and beside them after GENTLE_SECONDS: a host with a hung
    disk takes a connection and never answers. An agent that still answers other questions gets ALIVE_SECONDS. Agent and
    SSH are only waited for where something answers within ``connect_seconds``: a burning site does not, and each second
    of waiting is a second without service. Once a way has confirmed, the others are not waited for.

    Ends within ROUND_SECONDS; known_silent, where the operator has accepted an unconfirmed fence: within
    SILENT_ROUND_SECONDS. What is under way then is given up, and told as unknown.
    """
    why = f"fenced by procedure {procedure_id} at {spec.peer_of(peer.site)}"
    document = {"why": why, "generation": generation}
    began = asyncio.get_running_loop().time()
    gentle, whole = (SILENT_GENTLE_SECONDS, SILENT_ROUND_SECONDS) if known_silent else (GENTLE_SECONDS, ROUND_SECONDS)
    ways: list[_Way] = [
        asyncio.create_task(_by_agent(peer, document, connect_seconds), name=AGENT),
        asyncio.create_task(_by_ssh(spec, peer.site, document, connect_seconds), name=SSH),
    ]
    try:
        await _until(ways, began + gentle)
        site = spec.sites[peer.site]
        commands = [command for command in (*site.fence, site.power.off) if command]
        if commands and not known_silent and not ways[0].done() and await _still_answers(peer):
            await _until(ways, began + ALIVE_SECONDS)
        if commands and not confirmed(_ended(ways)):
            ways += _send(commands, site.power.check)
        await _until(ways, began + whole)
    finally:
        given_up = [way for way in ways if not way.done()]
        for way in given_up:
            way.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
    return (*_ended(ways), *(_unknown(way) for way in given_up))


def _send(commands: Sequence[Sequence[str]], check: Sequence[str]) -> list[_Way]:
    sent: list[_Way] = [asyncio.create_task(_by_command(argv), name=COMMAND + argv[0]) for argv in commands]
    looks = [asyncio.create_task(_behind(sent, check), name=COMMAND + check[0])] if check else []
    return [*sent, *looks]


async def _behind(sent: Sequence[_Way], check: Sequence[str]) -> Attempt | None:
    """Look whether the host is off as soon as a command may have cut it off."""
    for ended in asyncio.as_completed(sent):
        attempt = await ended
        if attempt is not None and attempt.unknown:
            return await _by_check(check)
    return None


async def _until(ways: Sequence[_Way], deadline: float) -> None:
    """Return once one way has confirmed, all have ended, or the time has come."""
    loop = asyncio.get_running_loop()
    while not confirmed(_ended(ways)) and (pending := [way for way in ways if not way.done()]):
        timeout = max(0.0, deadline - loop.time())
        done, _ = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            return


def _ended(ways: Sequence[_Way]) -> list[Attempt]:
    return [attempt for way in ways if way.done() and not way.cancelled() and (attempt := way.result()) is not None]


def _unknown(way: _Way) -> Attempt:
    if way.done() and not way.cancelled() and (ended := way.result()) is not None:
        return ended  # at the last moment
    return Attempt(way.get_name(), False, "it was under way, and nobody waits for its answer any longer", unknown=True)


async def _still_answers(peer: Peer) -> bool:
    try:
        await peer.get("/v1/health", connect_seconds=QUESTION_SECONDS, answer_seconds=QUESTION_SECONDS)
    except SecondsiteError:
        return False
    return True


async def unfence_peer(spec: Spec, peer: Peer, attempts: Sequence[Attempt] | None, *, procedure_id: str) -> None:
    """Take back what ``fence_peer`` did, by the first way that answers: its agent, else SSH.

    attempts: what fencing was told; None where the process that fenced has died, so anything may have been done. Where
    a command has cut the power, the site's own command restores it, and its guard asks before it opens. Where agent or
    SSH may have fenced it besides, that is taken back once it answers again, within BOOT_SECONDS.
    Raises SecondsiteError where no way worked.
    """
    done = [one for one in attempts or () if one.confirmed or one.unknown]
    by_command = [one for one in done if one.method.startswith(COMMAND)]
    if not by_command:
        await _open_gently(spec, peer, procedure_id)
        return
    await _power_on(spec, peer.site)
    if len(by_command) == len(done):
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BOOT_SECONDS
    while True:
        try:
            await _open_gently(spec, peer, procedure_id)
            return
        except SecondsiteError as failed:
            if failed.slug == "fence-refused" or loop.time() > deadline:
                raise
        await asyncio.sleep(CHECK_SECONDS)


async def _open_gently(spec: Spec, peer: Peer, procedure_id: str) -> None:
    try:
        await peer.post("/v1/unfence", {"procedure": procedure_id}, connect_seconds=5, answer_seconds=ANSWER_SECONDS)
    except RetryableError as silent:
        done = await _guard_over_ssh(spec, peer.site, "--unfence", {"procedure": procedure_id}, connect_seconds=5)
        if not done.ok:
            raise FinalError(
                f"{silent.message}, and over SSH: {done.why()}",
                slug="unfence-failed",
                host=peer.site,
                hint=f"on {peer.site}: secondsite guard --allow",
            ) from silent


async def _power_on(spec: Spec, site: str) -> None:
    command = spec.sites[site].power.on
    if not command:
        raise FinalError(
            f"a command has cut {site} off, and the file names none that takes this back",
            slug="unfence-failed",
            host=site,
            hint=f"power {site} on again; sites.{site}.power.on in the file does it by itself next time",
        )
    await run(list(command), timeout=COMMAND_SECONDS, step="power on")


def confirmed(attempts: Sequence[Attempt]) -> bool:
    """Pure: did any way confirm?"""
    return any(attempt.confirmed for attempt in attempts)


def as_details(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """For journal and report."""
    return {
        "fence": "confirmed" if confirmed(attempts) else "unconfirmed",
        "attempts": [asdict(attempt) for attempt in attempts],
    }


async def _by_agent(peer: Peer, document: Mapping[str, Any], connect_seconds: float) -> Attempt:
    try:
        answer = await peer.post("/v1/fence", document, connect_seconds=connect_seconds, answer_seconds=ANSWER_SECONDS)
    except SecondsiteError as failure:
        return Attempt(AGENT, False, failure.message, isinstance(failure, UnknownOutcomeError))
    return Attempt(AGENT, bool(answer.get("fenced")), json.dumps(dict(answer)))


async def _by_ssh(spec: Spec, site: str, document: Mapping[str, Any], connect_seconds: float) -> Attempt:
    try:
        done = await _guard_over_ssh(spec, site, "--fence", document, connect_seconds)
    except UnknownOutcomeError as failure:
        return Attempt(SSH, False, failure.message, unknown=True)
    except SecondsiteError as failure:
        return Attempt(SSH, False, failure.message)
    return Attempt(SSH, done.ok, done.stdout.strip() if done.ok else done.why(), unknown=done.code == 1)


async def _guard_over_ssh(
    spec: Spec, site: str, option: str, document: Mapping[str, Any], connect_seconds: float
) -> Completed:
    """Run ``secondsite guard OPTION`` there. Raises RetryableError where nothing listens, UnknownOutcomeError after."""
    user, _, target = spec.sites[site].ssh.rpartition("@")
    host = target.partition(":")[0]
    address, port = ssh_door(spec, site)
    if not await _listens(address, port, connect_seconds):
        raise RetryableError(f"{address} does not answer on port {port}", slug="peer-silent", host=site)
    argv = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=yes"]
    argv += ["-p", str(port), f"{user}@{host}" if user else host, "secondsite", "guard", option]
    try:
        return await run(argv, timeout=SSH_SECONDS, stdin=json.dumps(document).encode() + b"\n", check=False)
    except SecondsiteError as failure:
        raise UnknownOutcomeError(failure.message, slug="peer-unanswered", host=site) from failure


def ssh_door(spec: Spec, site: str) -> tuple[str, int]:
    """Pure: where the SSH daemon of a site listens, outside the tunnel."""
    return str(spec.sites[site].public), int(spec.sites[site].ssh.rpartition("@")[2].partition(":")[2] or 22)


async def _by_command(argv: Sequence[str]) -> Attempt:
    try:
        done = await run(list(argv), timeout=COMMAND_SECONDS, check=False, step="fence")
    except SecondsiteError as failure:
        return Attempt(COMMAND + argv[0], False, failure.message, unknown=isinstance(failure, RetryableError))
    # A provider answers before the host is off, and a script may mean well: nothing was observed yet.
    told = "it ended well, which does not show that the host is off" if done.ok else done.why()
    return Attempt(COMMAND + argv[0], False, told, unknown=done.ok)


async def _by_check(argv: Sequence[str]) -> Attempt:
    """Ask whether the host is off until it is, or for a while: only this confirms what a command was sent for."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OFF_SECONDS
    while True:
        try:
            done = await run(list(argv), timeout=COMMAND_SECONDS, check=False, step="fence")
            told, off = done.why(), done.ok
        except SecondsiteError as failure:
            told, off = failure.message, False
        if off or loop.time() > deadline:
            return Attempt(COMMAND + argv[0], off, "the host is off" if off else f"not seen off: {told}")
        await asyncio.sleep(CHECK_SECONDS)


async def _listens(address: str, port: int, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
