"""Faults between sections: each value may be fine alone and still contradict another. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from secondsite.spec import check_delayed, check_files, check_network, check_pooler, check_promises
from secondsite.spec.draft import Draft
from secondsite.spec.faults import Problem

Check = Callable[[Draft], Iterable[Problem]]

CHECKS: tuple[Check, ...] = (
    check_promises.two_sites,
    check_promises.allowed_countries,
    check_promises.within_distance,
    check_promises.ttl_within_rto,
    check_promises.interval_within_rpo,
    check_promises.window_has_length,
    check_promises.waiting_has_a_mode,
    check_promises.waiting_is_long_enough,
    check_promises.slots_can_be_kept,
    check_network.one_host_each,
    check_network.tunnel_is_usable,
    check_network.tunnel_is_apart,
    check_network.ports_are_apart,
    check_delayed.delayed_at_a_site,
    check_delayed.delayed_is_another_cluster,
    check_pooler.pooler_stays,
    check_pooler.pooled_once,
    check_pooler.pooled_in_transactions,
    check_files.names_once,
    check_files.database_apart,
    check_files.sets_apart,
    check_files.units_once,
    check_files.records_once,
    check_files.records_relative,
)


def crosscheck(draft: Draft) -> tuple[Problem, ...]:
    """Every contradiction among the sections that are sound by themselves."""
    return tuple(problem for check in CHECKS for problem in check(draft))
