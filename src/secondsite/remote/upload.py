"""Bring a bundle to a host: only what is missing, complete or not at all."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass

from secondsite.events import Emit, Note, Progress
from secondsite.remote.bundle import LAUNCHER, Bundle, Part
from secondsite.remote.host import Host
from secondsite.remote.survey import Survey
from secondsite.spec import paths

UPLOAD_SECONDS = 1800.0
WORTH_TELLING_BYTES = 4_000_000
STEP = "upload secondsite"
# What a plan that was killed left behind goes with the next one, a day later.
_TEMPORARY = """umask 077
find /var/tmp -maxdepth 1 -name 'secondsite-plan.*' -mtime +0 -exec rm -rf {} +
mktemp -d /var/tmp/secondsite-plan.XXXXXXXXXX"""


@dataclass(frozen=True, slots=True)
class Installed:
    """Where the program stands on the host. temporary: it goes away with the session."""

    root: str
    release: str
    temporary: bool

    def session_command(self, *words: str) -> str:
        """The shell line that starts ``secondsite session`` of exactly this release."""
        program = shlex.quote(f"{self.root}/releases/{self.release}/{LAUNCHER}")
        line = " ".join([program, "session", *map(shlex.quote, words)])
        if not self.temporary:
            return f"exec {line}"
        remove = f"rm -rf -- {shlex.quote(self.root)}"
        return f"trap {shlex.quote(remove)} EXIT; trap 'exit 129' HUP; trap 'exit 143' TERM; {line}"


async def install(host: Host, survey: Survey, bundle: Bundle, emit: Emit) -> Installed:
    """Put the bundle under ``paths.PROGRAM``; what is there already is not sent. Raises SecondsiteError."""
    root = str(paths.PROGRAM)
    if bundle.libraries.id not in survey.libraries:
        await _send(host, bundle.libraries, root, bundle.python.path, emit)
    if bundle.release.id not in survey.releases:
        await _send(host, bundle.release, root, bundle.python.path, emit)
    return Installed(root, bundle.release.id, temporary=False)


async def borrow(host: Host, survey: Survey, bundle: Bundle, emit: Emit) -> Installed:
    """As ``install``, but what the host lacks goes to a folder that is removed after the session (for a plan)."""
    if bundle.libraries.id in survey.libraries and bundle.release.id in survey.releases:
        return Installed(str(paths.PROGRAM), bundle.release.id, temporary=False)
    made = await host.run(_TEMPORARY, timeout=60, step="make a temporary folder")
    root = made.stdout.strip()
    emit(Note(f"lends this version of secondsite room in {root} while the plan is made; removed at its end", host.site))
    if bundle.libraries.id in survey.libraries:
        link = (
            f"mkdir {root}/libraries && ln -s {paths.PROGRAM}/{bundle.libraries.place} {root}/{bundle.libraries.place}"
        )
        await host.run(link, timeout=30, step=STEP)
    else:
        await _send(host, bundle.libraries, root, bundle.python.path, emit)
    await _send(host, bundle.release, root, bundle.python.path, emit)
    return Installed(root, bundle.release.id, temporary=True)


def unpack_script(root: str, part: Part, python: str) -> str:
    """Unpack standard input beside the place, compile where needed, flush, then rename: complete or not there."""
    place = f"{root}/{part.place}"
    partial = f"{place}.$$.partial"
    compiled = (
        "" if part.compiled
        else f'{shlex.quote(python)} -IS -m compileall -q --invalidation-mode unchecked-hash "$partial" || :\n'
    )  # fmt: skip
    return (
        f'set -eu\npartial="{partial}"\ntrap \'rm -rf -- "$partial"\' EXIT\n'
        f'mkdir -p -m 755 "{root}/{part.folder}"\n'
        f'rm -rf -- "{place}".*.partial\nmkdir -m 755 "$partial"\n'
        f'tar -xzf - -C "$partial" --no-same-owner\n{compiled}'
        f'sync -f "$partial"\n[ -d "{place}" ] || mv -T "$partial" "{place}"\n'
    )


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
