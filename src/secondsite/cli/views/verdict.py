"""The one sentence that a person wants to read first, from the status document. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from secondsite.cli.wording import duration

Document = Mapping[str, Any]
STALE_SECONDS = 2.5  # agents look each second, and ask one another each second


class Verdict(NamedTuple):
    """mood: good, bad or worst. word: READY and the like. text: what it means, one or two sentences."""

    mood: str
    word: str
    text: str


def verdict(status: Document) -> Verdict:
    """Ready or not, and what a disaster would cost."""
    checks = {finding["check"] for finding in status["findings"]}
    if "two-primaries" in checks:
        return Verdict("worst", "TWO PRIMARIES", "Both sites accept writes. What one takes the other will never know.")
    primary, standby = status["primary"], status["standby"]
    if primary is None:
        return Verdict("bad", "NOT READY", _nobody(status))
    if not status["sites"][primary]["reachable"]:
        return Verdict("worst", "PRIMARY SILENT", _silent(status, primary))
    if status["sites"][primary]["role"] != "primary":
        return Verdict("worst", "NO PRIMARY", f"No site accepts writes; {primary} was the primary last.")
    if status["sites"][standby].get("former_primary") and status["sites"][standby]["reachable"]:
        lost = f"If {primary} burned now, everything since it took over would be lost."
        unseen = status["sites"][standby]["role"] == "unknown"
        held = "may still accept writes: nobody could look at its database" if unseen else "is held back"
        return Verdict("bad", "NO STANDBY", f"{primary} works alone: {standby} was primary, and {held}. {lost}")
    cost = f"If {primary} burned now you would lose {_loss(status)}{_back(status)}{_heard(status, primary)}"
    if status["ready"]:
        return Verdict("good", "READY", cost)
    if not status["sites"][standby]["reachable"]:
        return Verdict(
            "bad", "NOT READY", f"There is nowhere to go: {standby} has not answered{_since(status, standby)}."
        )
    return Verdict("bad", "NOT READY", cost)


def _nobody(status: Document) -> str:
    missing = [
        f"secondsite is not set up at {name}" if not site["silent"].get("set_up", True) else f"{name} does not answer"
        for name, site in status["sites"].items()
        if not site["reachable"]
    ]
    known = "No site is known to be primary"
    return f"{known}: {', and '.join(missing)}." if missing else f"{known}."


def _heard(status: Document, primary: str) -> str:
    """How old this is, where a disaster could have happened since."""
    age = status["sites"][primary].get("age_seconds")
    return f" {primary} was last heard {span(age)} ago." if age is not None and age > STALE_SECONDS else ""


def _loss(status: Document) -> str:
    seconds = status["rpo"]["estimated_seconds"]
    if seconds is None:
        return f"an unknown amount of work: the lag of {status['rpo']['worst']} is not known"
    return f"at most {span(seconds)} of work" if seconds else "nothing that was acknowledged"


def _back(status: Document) -> str:
    seconds, basis = status["rto"]["predicted_seconds"], status["rto"]["basis"]
    if seconds is None:
        return "; how long recovery would take has never been measured."
    return f"; back in about {span(seconds)} ({basis})."


def _silent(status: Document, primary: str) -> str:
    known = status["rpo"]["known_seconds"]
    if known is None:
        lost = "what would be lost is not known"
    else:
        lost = f"if it died then, at most {span(known)} of work is lost"
    return f"{primary} has not answered{_since(status, primary)}; {lost}. If it still works, it works alone."


def _since(status: Document, site: str) -> str:
    since = (status["sites"][site].get("silent") or {}).get("since")
    if since is None:
        return ""
    seconds = (moment(status["taken_at"]) - moment(since)).total_seconds()
    return f" for {span(max(0.0, seconds))}"


def span(seconds: float) -> str:
    """A duration no finer than it is known: "0.8 s", never "812 ms"."""
    return f"{seconds:.1f} s" if seconds < 1 else duration(seconds)


def moment(text: str) -> datetime:
    """A time of the document."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
