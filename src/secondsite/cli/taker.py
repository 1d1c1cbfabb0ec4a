"""Who takes over, where nobody has said it: the only standby there is, or who has begun to, if there is exactly one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def only_standby(status: Mapping[str, Any]) -> tuple[str | None, str]:
    """Pure: the one site that could take over, by a status document, and why it; or None, and what each site is.

    It answers, follows and is not held back; and of the other one nothing speaks for another choice: it is the primary,
    or was when it was last heard, or accepts no writes, or nobody knows it.
    """
    sites: Mapping[str, Mapping[str, Any]] = status["sites"]
    could = [site for site, one in sites.items() if _follows(one)]
    if len(could) == 1:
        (site,) = could
        (other,) = (name for name in sites if name != site)
        if _leaves_it_to_the_other(sites[other]):
            return site, f"{site} takes over: it is the only standby; {other} {_is(sites[other])}"
    return None, "; ".join(f"{site} {_is(one)}" for site, one in sites.items())


def left_unfinished(status: Mapping[str, Any], procedure: str) -> tuple[str | None, str]:
    """Pure: the one site that has begun such a procedure and not ended it, by a status document, and why it; or None,
    and what each site is."""
    sites: Mapping[str, Mapping[str, Any]] = status["sites"]
    begun = {
        site: one["unfinished"]
        for site, one in sites.items()
        if (one.get("unfinished") or {}).get("procedure") == procedure
    }
    if len(begun) == 1:
        ((site, one),) = begun.items()
        return site, f"the {procedure} {one['id']} of {site} is taken up"
    return None, "; ".join(f"{site} {_is(one)}" for site, one in sites.items())


def _follows(site: Mapping[str, Any]) -> bool:
    return bool(site["reachable"] and site["role"] == "standby" and not site["held"] and not site["former_primary"])


def _leaves_it_to_the_other(site: Mapping[str, Any]) -> bool:
    if site["reachable"]:
        return bool(site["role"] != "standby")
    last = site.get("last_known")
    return bool(site["silent"]["set_up"]) and (last is None or last["role"] != "standby")


def _is(site: Mapping[str, Any]) -> str:
    if site["held"]:
        return f"is held back by its guard ({site['held']})"
    if site["reachable"]:
        known = {"primary": "is the primary", "standby": "is a standby"}
        return known.get(site["role"], f"has a database that is {site['role']}")
    last = site.get("last_known")
    return "does not answer" + (f" and was {last['role']}" if last else "")
