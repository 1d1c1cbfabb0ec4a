"""Bring a bundle to a host: only what is missing, complete or not at all."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass

from secondsite.events import Emit, Note, Progress
from secondsite.remote.bundle import LAUNCHER, Bundle, Part
from secondsite.remote.host import Host
from secondsite.remote.place import check_script, copy_script, prepare_script, unpack_script
from secondsite.remote.survey import Survey
from secondsite.spec import paths

UPLOAD_SECONDS = 1800.0
WORTH_TELLING_BYTES = 4_000_000
STEP = "upload secondsite"
CHECK_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the program stands on the host."""

    root: str
    release: str

    def session_command(self, *words: str) -> str:
        """The shell line that starts ``secondsite session`` of exactly this release."""
        program = shlex.quote(f"{self.root}/releases/{self.release}/{LAUNCHER}")
        return " ".join(["exec", program, "session", *map(shlex.quote, words)])


async def install(host: Host, survey: Survey, bundle: Bundle, emit: Emit) -> Installed:
    """Put the bundle under ``paths.PROGRAM``; what is there already is not sent, nor what a plan has brought.

    Raises SecondsiteError.
    """
    root = str(paths.PROGRAM)
    for part, there in ((bundle.libraries, survey.libraries), (bundle.release, survey.releases)):
        if part.id in there or (part.place in survey.cached and await _taken(host, part, root)):
            continue
        await _send(host, part, root, bundle.python.path, emit)
    return Installed(root, bundle.release.id)


async def borrow(host: Host, survey: Survey, bundle: Bundle, emit: Emit) -> Installed:
    """For a plan: as ``install``, but what the host lacks is kept in a cache of ours, where the next plan finds it."""
    libraries, release = bundle.libraries, bundle.release
    if libraries.id in survey.libraries and release.id in survey.releases:
        return Installed(str(paths.PROGRAM), release.id)
    root = str(paths.CACHE)
    here = await _intact(host, [part for part in (libraries, release) if part.place in survey.cached])
    missing = [part for part in (libraries, release) if part.place not in here]
    if missing:
        emit(
            Note(
                f"keeps this version of secondsite in {root}, so that it is sent once; nothing else changes", host.site
            )
        )
        await host.run(prepare_script(root, bundle), timeout=60, step=STEP)
    for part in missing:
        if part is libraries and part.id in survey.libraries:
            link = f'ln -sfnT "{paths.PROGRAM}/{part.place}" "{root}/{part.place}"'
            await host.run(link, timeout=30, step=STEP)
        else:
            await _send(host, part, root, bundle.python.path, emit)
    return Installed(root, release.id)


async def _intact(host: Host, parts: Sequence[Part]) -> Sequence[str]:
    """The places of those in the cache that are as they were brought; a damaged one goes, to be replaced."""
    if not parts:
        return ()
    script = check_script(str(paths.CACHE), parts)
    return (await host.run(script, timeout=CHECK_SECONDS, step=STEP)).stdout.split()


async def _taken(host: Host, part: Part, root: str) -> bool:
    """Copy what a plan has brought to where it is installed; False where it is damaged or gone, and is to be sent.

    It stays in the cache: another person's plan may run from it.
    """
    script = copy_script(str(paths.CACHE), root, part)
    if (await host.run(script, timeout=UPLOAD_SECONDS, step=STEP, check=False)).ok:
        return True
    await _intact(host, [part])
    return False


async def _send(host: Host, part: Part, root: str, python: str, emit: Emit) -> None:
    data = part.archive.read_bytes()
    began = time.monotonic()
    what = f"{STEP} ({part.folder})"

    def sent(count: int) -> None:
        if len(data) < WORTH_TELLING_BYTES:
            return
        rate = count / max(time.monotonic() - began, 1e-3)
        emit(Progress(what, count, len(data), "bytes", host.site, rate, (len(data) - count) / max(rate, 1)))

    script = unpack_script(root, part, python)
    await host.run(script, timeout=UPLOAD_SECONDS, step=STEP, stdin=data, sent=sent)
