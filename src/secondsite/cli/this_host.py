"""Which site is this machine? None on an operator's laptop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from secondsite.errors import UsageError
from secondsite.spec import paths

if TYPE_CHECKING:
    from secondsite.spec import Spec


def site_here() -> str | None:
    """The site this host is, as ``apply`` has noted it; None where this is no site's host.

    Raises UsageError (``needs-root``) where it is a host, and this is not its root.
    """
    try:
        return paths.SITE.read_text().strip() or None
    except PermissionError as denied:
        from secondsite.cli.options import needs_root

        raise needs_root(denied) from denied
    except OSError:
        return None


def this_host(config: Path) -> tuple[Spec, str]:
    """The file and this host's site. Raises UsageError (``not-a-site``) on a machine that is none."""
    from secondsite.spec.load import load

    spec, site = load(config).spec, site_here()
    if site is None or site not in spec.sites:
        raise UsageError(
            f"this machine is none of the sites {', '.join(spec.sites)}",
            slug="not-a-site",
            hint="run it on a site's host, after secondsite apply",
        )
    return spec, site
