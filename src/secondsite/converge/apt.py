"""apt-get and dpkg: what is installed, what can be, and installing it while others use dpkg too."""

from __future__ import annotations

import re
from collections.abc import Sequence

from secondsite.errors import FinalError, RetryableError, SecondsiteError
from secondsite.events import Emit, Note
from secondsite.process import Completed, run

LOCK_SECONDS = 120  # how long to wait for another apt or dpkg
UPDATE_SECONDS = 300.0
INSTALL_SECONDS = 1200.0
LOOK_SECONDS = 30.0
_ALWAYS_THERE = "postgresql-common"  # in every release; where apt has no candidate for it, it has no lists
_SERVER = re.compile(r"postgresql-\d+")
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "APT_LISTCHANGES_FRONTEND": "none", "NEEDRESTART_SUSPEND": "1"}
_OPTIONS = (
    "-y", "-q", "--no-install-recommends",
    "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}",
    "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
    "-o", "Dpkg::Use-Pty=0",
)  # fmt: skip


async def missing(names: Sequence[str]) -> tuple[str, ...]:
    """Those that dpkg does not have installed, in the order given."""
    argv = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names]
    done = await run(argv, timeout=LOOK_SECONDS, check=False, step="look at packages")
    there = {row.split()[0] for row in done.stdout.splitlines() if row.endswith(" installed")}
    return tuple(name for name in names if name not in there)


async def without_candidate(names: Sequence[str]) -> tuple[str, ...]:
    """Those that apt knows it cannot install; empty where it has no package lists to know from."""
    if not names:
        return ()
    done = await run(["apt-cache", "policy", *names, _ALWAYS_THERE], timeout=LOOK_SECONDS, check=False)
    candidates = dict(re.findall(r"^(\S+):\n(?:  .*\n)*?  Candidate: (.+)$", done.stdout, re.MULTILINE))
    if candidates.get(_ALWAYS_THERE, "(none)") == "(none)":
        return ()
    return tuple(name for name in names if candidates.get(name, "(none)") == "(none)")


async def half_installed() -> tuple[str, ...]:
    """Packages that an interrupted dpkg left unpacked or half-configured."""
    done = await run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n"], timeout=LOOK_SECONDS, step="look at packages"
    )
    bad = ("unpacked", "half-configured", "half-installed", "triggers-awaited", "triggers-pending")
    return tuple(row.split()[0] for row in done.stdout.splitlines() if row.endswith(bad))


async def repair() -> None:
    """Finish what an interrupted installation left. Raises SecondsiteError."""
    await run(
        ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"],
        timeout=INSTALL_SECONDS, env=_QUIET, check=False, step="dpkg --configure -a",
    )  # fmt: skip
    done = await _apt_get("install", "-f", timeout=INSTALL_SECONDS)
    if not done.ok:
        raise failure(done, ())


async def install(names: Sequence[str], emit: Emit) -> None:
    """Install ``names``; package lists are fetched once, and only where a package is not found.

    Raises FinalError (``package-unavailable``, ``apt-failed``), RetryableError (``apt-locked``).
    """
    done = await _apt_get("install", *names, timeout=INSTALL_SECONDS)
    if not done.ok and (not_found(done.stderr) or stale(done.stderr)):
        emit(Note("package lists are missing or old; fetching them"))
        update = await _apt_get("update", timeout=UPDATE_SECONDS)
        done = await _apt_get("install", *names, timeout=INSTALL_SECONDS)
        if not done.ok and not update.ok:
            raise failure(update, names)
    if not done.ok:
        raise failure(done, names)


def not_found(stderr: str) -> tuple[str, ...]:
    """Names that apt has no package for, from its messages."""
    found = re.findall(r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate", stderr)
    return tuple(dict.fromkeys(first or second for first, second in found))


def stale(stderr: str) -> bool:
    """Whether apt asked for a file that the archive no longer has."""
    return "404 " in stderr or "apt-get update" in stderr


def no_server(unknown: Sequence[str]) -> SecondsiteError:
    """The error where this host's release has no PostgreSQL of the version that the other site runs."""
    server = next(name for name in unknown if _SERVER.fullmatch(name))
    return FinalError(
        f"apt has no package {server} on this host; both sites need the same major version of PostgreSQL",
        slug="postgresql-version",
        step=f"install {server}",
        hint="use the same release of Debian at both sites, or add the package source of apt.postgresql.org",
    )


def failure(done: Completed, names: Sequence[str]) -> SecondsiteError:
    """The error that a failed apt-get means."""
    wanted = " ".join(names) or "packages"
    unknown = not_found(done.stderr)
    if any(_SERVER.fullmatch(name) for name in unknown):
        return no_server(unknown)
    if unknown:
        return FinalError(
            f"apt has no package {', '.join(unknown)} on this host",
            slug="package-unavailable",
            step=f"install {wanted}",
            hint="add a package source that has it to /etc/apt/sources.list.d, then run apply again",
        )
    if "Could not get lock" in done.stderr or "Unable to acquire the dpkg" in done.stderr:
        return RetryableError(
            f"another apt or dpkg has held the lock for more than {LOCK_SECONDS} s: {_told(done)}",
            slug="apt-locked",
            step=f"install {wanted}",
            hint="wait until it is done (ps -C apt-get,dpkg,unattended-upgr), then run apply again",
        )
    return FinalError(
        f"apt-get could not install {wanted}: {_told(done)}",
        slug="apt-failed",
        step=f"install {wanted}",
        hint=f"on that host: apt-get install --no-install-recommends {wanted}",
    )


def _told(done: Completed) -> str:
    rows = [row.strip() for row in done.stderr.splitlines() if row.startswith(("E:", "dpkg: error"))]
    return "; ".join(rows[:3]) or done.why()


async def _apt_get(*words: str, timeout: float) -> Completed:
    return await run(
        ["apt-get", *_OPTIONS, *words], timeout=timeout, env=_QUIET, check=False, step=f"apt-get {words[0]}"
    )
