"""The shell scripts that bring a part to its place on a host, and tell whether it is still as it was brought."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from secondsite.remote.bundle import Bundle, Part

FORGET_DAYS = 30
LEFT_BEHIND_DAYS = 1  # a partial folder so old belongs to an upload that ended long ago
LOCK_SECONDS = 60
MANIFEST = "SHA256SUMS"  # in each part: what lies in a cache may be cleaned up by somebody, file by file
_INTACT = f"sha256sum -c --status {MANIFEST} 2>/dev/null"


def prepare_script(root: str, bundle: Bundle) -> str:
    """Make the cache, for root alone; what no plan has used for long goes, but for what this one needs."""
    keep = f'! -name "{bundle.libraries.id}" ! -name "{bundle.release.id}"'
    old = f"-mindepth 1 -maxdepth 1 -mtime +{FORGET_DAYS} {keep} -exec rm -rf {{}} +"
    return (
        f'set -eu\nmkdir -p -m 755 "{root}"\nchmod 700 "{root}"\nmkdir -p "{root}/releases" "{root}/libraries"\n'
        f'find "{root}/releases" "{root}/libraries" {old} || :\n'
    )


def check_script(root: str, parts: Sequence[Part]) -> str:
    """Tell which parts are intact and remove the others: under a lock, or one could remove what another has replaced.

    A link leads to what is installed, and is not for us to judge.
    """
    places = " ".join(f'"{part.place}"' for part in parts)
    return (
        f'set -eu\n[ -d "{root}" ] || exit 0\nexec 9<"{root}"\nflock -w {LOCK_SECONDS} 9\n'
        f'for place in {places}; do\n  cd "{root}"\n'
        f'  if {{ [ -L "$place" ] && [ -d "$place" ]; }} || {{ cd "$place" 2>/dev/null && {_INTACT}; }}\n'
        f'  then echo "$place"; else rm -rf -- "{root}/$place"; fi\ndone\n'
    )


def unpack_script(root: str, part: Part, python: str) -> str:
    """Unpack standard input beside the place, compile where needed, list, flush, then rename: complete or not there."""
    compiled = (
        "" if part.compiled
        else f'{shlex.quote(python)} -IS -m compileall -q --invalidation-mode unchecked-hash "$partial" || :\n'
    )  # fmt: skip
    listed = f'( cd "$partial" && find . -type f ! -path ./{MANIFEST} -exec sha256sum {{}} + >{MANIFEST} )\n'
    return _whole_or_not(root, part, f'tar -xzf - -C "$partial" --no-same-owner\n{compiled}{listed}')


def copy_script(cache: str, root: str, part: Part) -> str:
    """Copy a part from the cache; fails where the copy is not as the part was brought."""
    return _whole_or_not(root, part, f'cp -a "{cache}/{part.place}/." "$partial"\n( cd "$partial" && {_INTACT} )\n')


def _whole_or_not(root: str, part: Part, fill: str) -> str:
    """Fill a folder of our own, then rename it. Who finds an equal part there has lost a race, and nothing else.

    The part lies inside the folder that bears our name, because filling sets its time, and the folder's tells its age.
    """
    place, folder = f"{root}/{part.place}", f"{root}/{part.folder}"
    left = f'-mindepth 1 -maxdepth 1 -name "*.partial" -mtime +{LEFT_BEHIND_DAYS - 1}'
    return (
        f'set -eu\nmkdir -p -m 755 "{folder}"\nfind "{folder}" {left} -exec rm -rf {{}} + || :\n'
        f'own=$(mktemp -d --suffix=.partial "{place}.XXXXXX")\ntrap \'rm -rf -- "$own"\' EXIT\n'
        f'partial="$own/part"\nmkdir -m 755 "$partial"\n{fill}'
        f'sync -f "$partial"\n[ ! -L "{place}" ] || rm -f -- "{place}"\n'
        f'[ -d "{place}" ] || mv -T "$partial" "{place}" || [ -d "{place}" ]\n'
    )
