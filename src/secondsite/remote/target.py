"""Whom to call: what the file says about reaching a site, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from secondsite.errors import UsageError
from secondsite.spec import Spec

_FORM = re.compile(r"(?:(?P<user>[^@\s]+)@)?(?P<host>\[[^\]]+\]|[^:@\s]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Target:
    """A host as SSH reaches it. None leaves a value to the SSH configuration. connect_timeout: seconds."""

    site: str
    host: str
    user: str | None = None
    port: int | None = None
    config: Path | None = None
    connect_timeout: float = 10.0

    @property
    def shown(self) -> str:
        """As a person would type it after ``ssh``."""
        config = f"-F {self.config} " if self.config else ""
        port = f"-p {self.port} " if self.port else ""
        return f"{config}{port}{self.user + '@' if self.user else ''}{self.host}"


def target_of(spec: Spec, site: str) -> Target:
    """How the file says ``site`` is reached. Raises UsageError on text that names no host."""
    text = spec.sites[site].ssh
    found = _FORM.fullmatch(text.strip())
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
        raise UsageError(
            f'"{text}" names no host', host=site, hint=f'write sites.{site}.ssh like "root@192.0.2.11" or "host:2222"'
        )
    return Target(
        site=site,
        host=found["host"].strip("[]"),
        user=found["user"],
        port=int(found["port"]) if found["port"] else None,
        config=Path(spec.ssh.config).expanduser() if spec.ssh.config else None,
        connect_timeout=spec.ssh.connect_timeout,
    )
