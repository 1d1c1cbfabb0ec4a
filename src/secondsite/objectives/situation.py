"""Who is what, from what both sites say: the one reading of the snapshots that every judgement shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from secondsite.database.state import Role, Streaming
from secondsite.objectives.snapshot import Silence, SiteState, SiteView
from secondsite.spec.model import Spec

UNSEEN = "nobody has asked it"


@dataclass(frozen=True)
class Situation:
    """Both sites at one moment. What is silent stays silent: its last words are kept apart, in ``last``.

    ages: how many seconds ago each site that answers has looked, as far as that is known.
    """

    spec: Spec
    views: Mapping[str, SiteView]
    ages: Mapping[str, float] = field(default_factory=dict)

    def present(self, site: str) -> SiteState | None:
        """What a site says now; None where it does not answer."""
        view = self.views.get(site)
        return view if isinstance(view, SiteState) else None

    def silence(self, site: str) -> Silence | None:
        """Why a site does not answer; None where it does."""
        view = self.views.get(site) or Silence(site, UNSEEN)
        return view if isinstance(view, Silence) else None

    def last(self, site: str) -> SiteState | None:
        """What a site says now, else what it said last."""
        view = self.views.get(site)
        return view.last if isinstance(view, Silence) else view

    @cached_property
    def here(self) -> tuple[SiteState, ...]:
        """The sites that answer."""
        return tuple(state for site in self.spec.site_names if (state := self.present(site)) is not None)

    @cached_property
    def writable(self) -> tuple[SiteState, ...]:
        """The sites whose database accepts writes now; more than one is the worst that can be."""
        return tuple(state for state in self.here if state.database.writable)

    @cached_property
    def primary(self) -> str | None:
        """The site that serves: seen to accept writes, else last known to, else pointed at by its standby."""
        if self.writable:
            return max(self.writable, key=lambda state: (state.database.timeline or 0, state.active)).site
        return self._primary_by_memory()

    def _primary_by_memory(self) -> str | None:
        was = [s for site in self.spec.site_names if (s := self.last(site)) is not None and s.database.writable]
        if was:
            return max(was, key=lambda state: (state.database.timeline or 0, state.taken_at)).site
        following = {state.site for state in self.here if state.database.role is Role.STANDBY}
        if len(following) == 1:
            return self.spec.peer_of(following.pop())
        active = [state.site for state in self.here if state.active]
        return active[0] if len(active) == 1 else None

    @cached_property
    def standby(self) -> str | None:
        """The site that is not the primary."""
        return None if self.primary is None else self.spec.peer_of(self.primary)

    @cached_property
    def former(self) -> str | None:
        """The site that was primary until the other one took over, and has not become its standby: shut out by the
        primary, or held read-only by its own guard. It is no replica, whatever its database looks like."""
        primary = self.present(self.primary) if self.primary else None
        if self.standby is None or primary is None or not primary.database.writable:
            return None
        held = self.present(self.standby)
        if held is None:
            return self.standby if primary.quarantining_peer else None
        follows = held.database.streaming in (Streaming.STREAMING, Streaming.CATCHING_UP)
        if held.database.writable or follows or held.database.role is Role.ABSENT:
            return None
        return self.standby if primary.quarantining_peer or held.guard_reason else None

    @cached_property
    def generation(self) -> int | None:
        """The highest timeline that any site has shown."""
        states = [self.last(site) for site in self.spec.site_names]
        timelines = [state.database.timeline for state in states if state and state.database.timeline is not None]
        return max(timelines, default=None)

    @cached_property
    def primary_now(self) -> float | None:
        """The present on the primary's clock, which wrote the heartbeat. None where no clock can be read."""
        if self.primary is None or self.standby is None:
            return None
        standby, primary = self.present(self.standby), self.present(self.primary)
        if standby is None:
            return primary.taken_at if primary else None
        offset = standby.peer_clock_offset
        if offset is None:
            last = self.last(self.primary)
            offset = -last.peer_clock_offset if last and last.peer_clock_offset is not None else 0.0
        return standby.taken_at + offset
