"""What kind of host this is, seen with nothing but a shell: before any program of ours runs there."""

from __future__ import annotations

from dataclasses import dataclass

from secondsite.errors import FinalError
from secondsite.remote.host import Host
from secondsite.spec import paths

LOOK_SECONDS = 30.0
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURES = ("x86_64", "aarch64")
INSTALL_PYTHON_SECONDS = 600.0

_SCRIPT = f"""
echo "arch=$(uname -m)"
[ -d /run/systemd/system ] && echo systemd=yes
command -v apt-get >/dev/null 2>&1 && echo apt=yes
[ -r /etc/os-release ] && ( . /etc/os-release; echo "os=$ID"; echo "os_name=$PRETTY_NAME" )
for python in /usr/bin/python3 {" ".join(f"/usr/bin/python{version}" for version in PYTHONS)}; do
  [ -x "$python" ] && "$python" -IS -c 'import sys; print("python=%d.%d %s" % (*sys.version_info[:2], sys.executable))'
done
for release in {paths.PROGRAM}/releases/*; do [ -d "$release" ] && echo "release=${{release##*/}}"; done
for library in {paths.PROGRAM}/libraries/*; do [ -d "$library" ] && echo "library=${{library##*/}}"; done
for part in {paths.CACHE}/releases/* {paths.CACHE}/libraries/*; do
  [ -d "$part" ] && case "$part" in *.partial) ;; *) echo "cached=${{part#{paths.CACHE}/}}" ;; esac
done
echo "current=$(readlink {paths.PROGRAM}/current || true)"
:
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """A host from outside. pythons: (version, path), the host's own default first. cached: what a plan has brought, as
    ``Part.place`` names it."""

    arch: str
    systemd: bool
    apt: bool
    os: str
    os_name: str
    pythons: tuple[tuple[str, str], ...]
    releases: tuple[str, ...]
    libraries: tuple[str, ...]
    current: str | None
    cached: tuple[str, ...] = ()

    @property
    def python(self) -> tuple[str, str] | None:
        """The interpreter to use: the first that is new enough, under its versioned name where it has one."""
        usable = [found for found in self.pythons if found[0] in PYTHONS]
        if not usable:
            return None
        version = usable[0][0]
        return next((found for found in usable if found == (version, f"/usr/bin/python{version}")), usable[0])


def parse(text: str) -> Survey:
    """From the script's lines; pure."""
    told: dict[str, list[str]] = {}
    for row in text.splitlines():
        key, _, value = row.partition("=")
        told.setdefault(key, []).append(value)
    pythons = [tuple(value.split(" ", 1)) for value in told.get("python", [])]
    current = told.get("current", [""])[0]
    return Survey(
        arch=told.get("arch", [""])[0],
        systemd="systemd" in told,
        apt="apt" in told,
        os=told.get("os", [""])[0],
        os_name=told.get("os_name", ["an unknown system"])[0],
        pythons=tuple((str(pair[0]), str(pair[1])) for pair in dict.fromkeys(pythons) if len(pair) == 2),
        releases=tuple(told.get("release", [])),
        libraries=tuple(told.get("library", [])),
        current=current.rsplit("/", 1)[-1] or None,
        cached=tuple(told.get("cached", [])),
    )


def refuse_unsupported(survey: Survey, site: str) -> None:
    """Raises FinalError (``no-systemd``, ``unsupported-system``) where secondsite cannot work on this host."""
    step = "look at the host"
    if not survey.systemd:
        raise FinalError(
            f"the host runs {survey.os_name} without systemd; secondsite's agent and guard are systemd units",
            slug="no-systemd",
            host=site,
            step=step,
            hint="use a host that boots with systemd (Debian 12 or newer, Ubuntu 24.04 or newer)",
        )
    if not survey.apt:
        raise FinalError(
            f"the host runs {survey.os_name}, which has no apt-get",
            slug="unsupported-system",
            host=site,
            step=step,
            hint="use Debian 12 or newer, or Ubuntu 24.04 or newer",
        )
    if survey.arch not in ARCHITECTURES:
        raise FinalError(
            f"the host's processor is {survey.arch or 'unknown'}; secondsite runs on {' and '.join(ARCHITECTURES)}",
            slug="unsupported-system",
            host=site,
            step=step,
        )


async def survey_of(host: Host) -> Survey:
    """Look at ``host``; nothing is changed. Raises SecondsiteError (``no-systemd``, ``unsupported-system``)."""
    done = await host.run(_SCRIPT, timeout=LOOK_SECONDS, step="look at the host")
    survey = parse(done.stdout)
    refuse_unsupported(survey, host.site)
    return survey


async def install_python(host: Host, survey: Survey) -> Survey:
    """Install a Python that is new enough where apt has one. Raises FinalError (``python-too-old``)."""
    for package in ("python3", *(f"python{version}" for version in PYTHONS)):
        await host.run(
            f"DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends {package}",
            timeout=INSTALL_PYTHON_SECONDS, step=f"install {package}", check=False,
        )  # fmt: skip
        survey = await survey_of(host)
        if survey.python is not None:
            return survey
    raise python_missing(host.site, survey)


def python_missing(site: str, survey: Survey) -> FinalError:
    """The error for a host without a usable Python."""
    found = ", ".join(version for version, _ in survey.pythons) or "none"
    return FinalError(
        f"the host ({survey.os_name}) has Python {found}; secondsite needs 3.11 or newer",
        slug="python-too-old",
        host=site,
        step="look for Python",
        hint="install python3.11 (or newer) as /usr/bin/python3.11, then run the command again",
    )
