"""Ask the other site's agent each second: what it sees, how its clock stands, and since when it is silent."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from pathlib import Path

from pydantic import ValidationError

from secondsite.agent.http import Line, Streams
from secondsite.clock import Clock
from secondsite.errors import FinalError, SecondsiteError
from secondsite.objectives.snapshot import Silence, SiteState, SiteView, from_json
from secondsite.spec import Spec, paths

ASK_SECONDS = 2.0
SILENT_AFTER = 3.0  # one lost answer is not silence
REMEMBERED = 30  # answers among which the quickest tells the clocks' difference best


class PeerWatch:
    """The other site over the tunnel."""

    def __init__(self, spec: Spec, site: str, clock: Clock, token_file: Path | None = None) -> None:
        self.site = spec.peer_of(site)
        self._clock = clock
        self._token = Token(token_file or paths.PEER_TOKEN)
        address = str(spec.tunnel_address(self.site))
        self._line = Line(self.site, lambda: _dial(address, spec.tunnel.api_port))
        self._last: SiteState | None = None
        self._answered_at: float | None = None  # to be shown; how long ago it was, the next one tells
        self._answered: float | None = None  # monotonic: this host's own clock may be set meanwhile
        self._reason = "not asked yet"
        self._clocks: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    @property
    def clock_offset(self) -> float | None:
        """The peer's clock minus ours, from the quickest of the last answers."""
        return min(self._clocks)[1] if self._clocks else None

    @property
    def answered_at(self) -> float | None:
        """When it answered last: unix seconds, this host's clock."""
        return self._answered_at

    def token(self) -> str | None:
        """The secret both agents share."""
        return self._token.read()

    @property
    def silent_since(self) -> float | None:
        """Unix seconds of its last answer, counted back from the present by this host's clock, where it is silent now;
        None where it answers or never did."""
        ago = self._seconds_ago()
        return None if ago is None or self._fresh() else self._now() - ago

    def view(self) -> SiteView:
        """The peer's last words, or that it is silent."""
        if self._last is not None and self._fresh():
            return self._last
        return Silence(self.site, self._reason, self._answered_at, self._last)

    async def poll(self) -> None:
        """Ask once. Silence is no error here: it is what ``view`` will say."""
        began, asked = self._now(), self._clock.monotonic()
        try:
            body = await self._line.get("/v1/state?samples=0", token=self._token.read(), timeout=ASK_SECONDS)
            took = self._clock.monotonic() - asked
            document = json.loads(body)
            self._last = from_json(document)
        except SecondsiteError as silent:
            self._reason = f"it refuses us: {silent.message}" if isinstance(silent, FinalError) else silent.message
            return
        except (ValueError, ValidationError):
            self._reason = "it speaks another version of secondsite"
            return
        self._answered_at, self._answered = began + took, asked + took
        told = document.get("now")
        if isinstance(told, float):
            self._clocks.append((took, told - (began + took / 2)))

    def close(self) -> None:
        """Hang up."""
        self._line.hang_up()

    def _seconds_ago(self) -> float | None:
        return None if self._answered is None else self._clock.monotonic() - self._answered

    def _fresh(self) -> bool:
        ago = self._seconds_ago()
        return self._last is not None and ago is not None and ago <= SILENT_AFTER

    def _now(self) -> float:
        return self._clock.now().timestamp()


class Token:
    """The secret both agents share, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._token: str | None = None

    def read(self) -> str | None:
        """None where there is none (yet)."""
        try:
            found = self._path.stat()
            if self._seen != (found.st_mtime_ns, found.st_ino):
                self._token = self._path.read_text().strip() or None
                self._seen = (found.st_mtime_ns, found.st_ino)
        except OSError:
            self._seen, self._token = None, None
        return self._token


async def _dial(address: str, port: int) -> Streams:
    return await asyncio.open_connection(address, port, limit=1 << 20)
