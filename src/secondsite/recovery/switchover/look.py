"""Look at both sites at the same time, and change nothing."""

from __future__ import annotations

import asyncio

from secondsite.database import movable
from secondsite.database.bounded import apart
from secondsite.database.fence import marked_by_us
from secondsite.database.movable import Movable
from secondsite.database.observe import observe
from secondsite.database.pooler.include import address_of
from secondsite.dns.state import RecordState
from secondsite.dns.update import rehearse
from secondsite.dns.verify import observe as observe_record
from secondsite.errors import RetryableError, SecondsiteError
from secondsite.files.engine import last_complete
from secondsite.recovery import application, pooling
from secondsite.recovery.handover.survey import Survey, from_json
from secondsite.recovery.switchover.context import SwitchoverContext
from secondsite.recovery.switchover.gate import Look, PoolerLook
from secondsite.spec import DnsRecord, paths

SURVEY_SECONDS = 20.0


async def look(context: SwitchoverContext) -> Look:
    """Everything the gate asks about. Raises SecondsiteError where the old primary's agent cannot be asked."""
    spec, peer = context.spec, context.peer
    there, missing, records, refusals, pooler = await asyncio.gather(
        ask_there(context), application.missing(spec.service.units), _records(context), _refusals(context),
        _pooler(context),
    )  # fmt: skip
    state = await apart(observe, context.cluster)
    return Look(
        site=context.site,
        peer=peer.site,
        state=state,
        here=await apart(_here, context),
        there=there,
        held=marked_by_us(context.cluster),
        quarantines=paths.QUARANTINE.exists(),
        missing_units=missing,
        never_copied=tuple(one.name for one in spec.files if last_complete(one) is None),
        records=records,
        dns_refusals=refusals,
        dns_may_differ=context.overwrite_dns,
        midway=there.fenced is not None and context.procedure_id in there.fenced,
        pooler=pooler,
    )


async def ask_there(context: SwitchoverContext) -> Survey:
    """The old primary about itself. Raises what it raises, and RetryableError where it is silent: it may be gone, and
    then a switchover is not what is needed."""
    peer = context.peer.site
    try:
        return from_json(await context.primary.ask("survey", seconds=SURVEY_SECONDS), peer)
    except RetryableError as silent:
        gone = f"if {peer} is gone: secondsite failover --to {context.site}"
        silent.hint = f"{gone}; if it runs, on {peer}: systemctl start secondsite-agent"
        raise


def _here(context: SwitchoverContext) -> Movable:
    try:
        return movable.look(context.cluster, context.peer.site)
    except SecondsiteError:
        return Movable()  # the state says what is wrong with it


async def _pooler(context: SwitchoverContext) -> PoolerLook | None:
    spec, primary, described = context.spec, context.peer.site, context.spec.database.pooler
    found = await pooling.look(spec)
    if described is None or found is None:
        return None
    here, there = (address_of(spec, site, primary) for site in (context.site, primary))
    return PoolerLook(found, here, there, described.longest_transaction)


async def _records(context: SwitchoverContext) -> tuple[RecordState, ...]:
    addresses = {name: site.public for name, site in context.spec.sites.items()}
    return tuple(await asyncio.gather(*(observe_record(record, addresses) for record in context.spec.dns)))


async def _refusals(context: SwitchoverContext) -> tuple[str, ...]:
    async def one(record: DnsRecord) -> str | None:
        try:
            await rehearse(record)
        except SecondsiteError as refused:
            return None if refused.slug == "dns-secret" else refused.message  # the record says so, with the next step
        return None

    found = await asyncio.gather(*(one(record) for record in context.spec.dns))
    return tuple(told for told in found if told is not None)
