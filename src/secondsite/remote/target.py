"""Whom to call: what the file says about reaching a site, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from secondsite.errors import UsageError
from secondsite.spec import Spec
from secondsite.spec.ssh import split_destination


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
    try:
        user, host, port = split_destination(text.strip())
    except ValueError as wrong:
        hint = f'write sites.{site}.ssh like "root@192.0.2.11" or "host:2222"'
        raise UsageError(f'"{text}" names no host', host=site, hint=hint) from wrong
    return Target(
        site=site,
        host=host,
        user=user,
        port=port,
        config=Path(spec.ssh.config).expanduser() if spec.ssh.config else None,
        connect_timeout=spec.ssh.connect_timeout,
    )
