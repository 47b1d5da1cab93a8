"""Find whose lines are, judge them, post their money. Each batch is one transaction with its exceptions, events and audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Final

import structlog

from shanraq import audit, events
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database, Tx
from shanraq.core.ids import number_of
from shanraq.settlement import disputes, store
from shanraq.settlement.match import OF_AN_OPERATION, Candidates, Owner, judge
from shanraq.settlement.model import (
    EXCEPTION_PREFIX,
    ExceptionKind,
    LineState,
    OperationSide,
    SettlementException,
    StoredLine,
    Terms,
)
from shanraq.settlement.port import LineKind
from shanraq.settlement.postings import LINES_PER_BATCH, post_lines

log = structlog.get_logger(__name__)

_OF_OUR_COSTS: Final = frozenset((ExceptionKind.FEE_DIFFERS, ExceptionKind.NET_DIFFERS))
_GONE_WHEN_MATCHED: Final = (ExceptionKind.MISSING_HERE, ExceptionKind.STATUS_DIFFERS)


async def settle_lines(db: Database, environment: Environment, adapter: str, terms: Terms) -> int:
    """Match, judge and post all lines of a payment system that wait for it; return how many were judged.

    Any number of processes may run it side by side, and it may be killed between any two steps.
    """

    async def take_new(tx: Tx) -> int:
        lines = await store.new_lines(tx, environment, adapter, LINES_PER_BATCH)
        if lines:
            found = await _assign(tx, environment, adapter, lines, terms)
            await _nobodys(tx, [line for line in lines if line.id not in found])
        return len(lines)

    while await db.run(SYSTEM, take_new):
        pass
    await _look_again(db, environment, adapter, terms)
    return await _judge_assigned(db, environment, adapter, terms)


async def _judge_assigned(db: Database, environment: Environment, adapter: str, terms: Terms) -> int:
    judged = 0
    async with db.begin(SYSTEM) as tx:
        owners = await store.owners_of_assigned(tx, environment, adapter)
    for partner_id, book in owners:
        actor = SYSTEM.acting_for(partner_id, environment, book)
        while count := await db.run(actor, lambda tx: _judge_batch(tx, adapter, terms)):
            judged += count
    return judged


async def _look_again(db: Database, environment: Environment, adapter: str, terms: Terms) -> None:
    """Have lines judged again whose operation appeared, or got its outcome, after them."""

    async def reopen(tx: Tx) -> int:
        return await store.reopen_late(tx, environment, adapter)

    await db.run(SYSTEM, reopen)
    after = ""
    while True:

        async def orphans(tx: Tx, after: str = after) -> list[StoredLine]:
            lines = await store.orphans(tx, environment, adapter, after, LINES_PER_BATCH)
            if lines:
                await _assign(tx, environment, adapter, lines, terms)
            return lines

        lines = await db.run(SYSTEM, orphans)
        if len(lines) < LINES_PER_BATCH:
            return
        after = lines[-1].id


async def _assign(
    tx: Tx, environment: Environment, adapter: str, lines: Sequence[StoredLine], terms: Terms
) -> dict[str, Owner]:
    """Give lines to the partners whose payments they mean; return whose they are, by line."""
    reconciled = await store.payments_by_reconciliation(
        tx, environment, adapter, {line.reconciliation_id for line in lines} - {""}
    )
    payment_ids = {line.reference for line in lines} | {payment_id for payment_id, _, _ in reconciled.values()}
    sides = await store.candidates(
        tx,
        environment,
        adapter,
        {line.told_operation_id for line in lines} - {""},
        {line.gateway_id for line in lines} - {""},
        payment_ids - {""},
    )
    settled = await store.settled_operations(tx, [side.id for side in sides])
    settled |= await store.assigned_operations(tx, {side.payment_id for side in sides})
    candidates = Candidates(sides, reconciled, settled)
    found = {line.id: owner for line in lines if (owner := candidates.owner_of(line)) is not None}
    if terms.fees_partner:
        book = await store.book_of_partner(tx, terms.fees_partner, environment)
        if book is not None:
            for line in lines:
                if line.kind is LineKind.FEE and line.id not in found:
                    found[line.id] = Owner(terms.fees_partner, book, "")
    if found:
        await store.assign(
            tx,
            [
                (line, owner.partner_id, owner.book, owner.payment_id, owner.operation_id)
                for line, owner in found.items()
            ],
        )
    return found


async def _nobodys(tx: Tx, lines: Sequence[StoredLine]) -> None:
    """Queue lines that no operation of ours was found for; they belong to no partner, so nobody is told by an event."""
    if not lines:
        return
    await store.mark(tx, [(line.id, LineState.MISSING_HERE, False, False) for line in lines])
    for line in lines:
        await store.queue(
            tx,
            environment=line.environment,
            adapter=line.adapter,
            day=line.day,
            kind=ExceptionKind.MISSING_HERE,
            subject=line.id,
            line=line,
            amount_there=line.gross,
            currency=line.currency,
        )
    log.warning("settlement.missing_here", adapter=lines[0].adapter, lines=len(lines))
    audit.record(tx, "settlement.missing_here", lines[0].adapter, {"lines": [line.id for line in lines]})


async def _judge_batch(tx: Tx, adapter: str, terms: Terms) -> int:
    await store.lock_partner(tx)
    lines = await store.assigned_lines(tx, adapter, LINES_PER_BATCH)
    if not lines:
        return 0
    _, environment = tx.actor.scope
    operation_ids = {line.operation_id for line in lines} - {None}
    payment_ids = {line.payment_id for line in lines if line.payment_id and line.kind not in OF_AN_OPERATION}
    sides = await store.candidates(tx, environment, adapter, operation_ids, (), payment_ids)  # type: ignore[arg-type]
    by_id = {side.id: side for side in sides}
    currencies = {side.payment_id: side.currency for side in sides}
    settled = await store.settled_operations(tx, list(by_id))
    marks: list[tuple[str, LineState, bool, bool]] = []
    posted: list[StoredLine] = []
    for line in lines:
        side = by_id.get(line.operation_id or "")
        verdict = judge(
            line,
            side,
            settled=side is not None and side.id in settled,
            currency=currencies.get(line.payment_id or "", ""),
            rules=terms.fees,
        )
        settles = verdict.posted and side is not None
        if settles and side is not None:
            settled.add(side.id)
        marks.append((line.id, verdict.state, settles, verdict.posted))
        if verdict.posted:
            posted.append(line)
        if verdict.state is not LineState.MATCHED:
            await _queue(tx, line, side, ExceptionKind(verdict.state.value), verdict.expected_fee)
        if verdict.posted and line.kind is LineKind.CHARGEBACK:
            await disputes.told_by_line(tx, line)
    await store.mark(tx, marks)
    await post_lines(tx, posted)
    await store.clear(tx, _GONE_WHEN_MATCHED, lines=[line.id for line in posted])
    await store.clear(
        tx, [ExceptionKind.MISSING_THERE], operations=[line.operation_id for line in posted if line.operation_id]
    )
    await store.make_due(tx, adapter, {line.day for line in lines})
    audit.record(
        tx,
        "settlement.posted",
        adapter,
        {
            "states": dict(Counter(state.value for _, state, _, _ in marks)),
            "net": _sums(posted),
            "first": lines[0].id,
            "last": lines[-1].id,
        },
    )
    return len(lines)


def _sums(lines: Sequence[StoredLine]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for line in lines:
        sums[line.currency] += line.net
    return dict(sums)


async def _queue(
    tx: Tx, line: StoredLine, side: OperationSide | None, kind: ExceptionKind, expected_fee: int | None
) -> None:
    details: dict[str, object] = {}
    if kind is ExceptionKind.FEE_DIFFERS:
        details = {"fees": line.fees, "expected_fees": expected_fee}
    elif kind is ExceptionKind.NET_DIFFERS:
        details = {"flaw": line.flaw}
    elif kind is ExceptionKind.STATUS_DIFFERS and side is not None:
        details = {"status": "voided" if side.voided else side.status}
    elif kind is ExceptionKind.CURRENCY_DIFFERS and side is not None:
        details = {"currency_here": side.currency}
    queued = await store.queue(
        tx,
        environment=line.environment,
        adapter=line.adapter,
        day=line.day,
        kind=kind,
        subject=line.id,
        line=line,
        operation=side,
        payment_id=line.payment_id,
        amount_here=side.gross if side else None,
        amount_there=line.gross,
        currency=line.currency,
        details=details,
    )
    if queued is not None:
        tell(tx, queued)


def tell(tx: Tx, exception: SettlementException) -> None:
    """Note an exception of a partner in the audit log, and tell the partner unless it is about our costs only."""
    audit.record(tx, f"settlement.{exception.kind}", exception.id, {"payment": exception.payment_id})
    if exception.kind not in _OF_OUR_COSTS:
        events.emit(tx, events.Event("settlement.exception", f"settlement/{exception.id}", exception))


async def miss_operations(db: Database, environment: Environment, adapter: str, terms: Terms) -> int:
    """Queue the operations that should have been settled by now and are in no report; return how many are new."""
    async with db.begin(SYSTEM) as tx:
        since = (await store.load_source(tx, environment, adapter))["swept_until"]
        until = terms.missed_before(tx.now)
    missed, after = 0, ""
    while since < until:
        async with db.begin(SYSTEM) as tx:
            found = await store.unsettled(tx, environment, adapter, since, until, after, LINES_PER_BATCH)
        by_owner: dict[tuple[str, int], list[OperationSide]] = {}
        for _, side in found:
            by_owner.setdefault((side.partner_id, side.book), []).append(side)
        days = {side.id: settled_at.date() for settled_at, side in found}
        for (partner_id, book), sides in by_owner.items():
            work = _missing_there(environment, adapter, sides, days)
            missed += await db.run(SYSTEM.acting_for(partner_id, environment, book), work)
        done = len(found) < LINES_PER_BATCH
        # An instant may be shared by many: the next page goes on behind the last id of it.
        since, after = (until, "") if done else (found[-1][0], found[-1][1].id)
        if done:

            async def swept(tx: Tx) -> None:
                await store.save_swept(tx, environment, adapter, until)

            await db.run(SYSTEM, swept)
    return missed


def _missing_there(
    environment: Environment, adapter: str, sides: Sequence[OperationSide], days: Mapping[str, date]
) -> Callable[[Tx], Awaitable[int]]:
    async def work(tx: Tx) -> int:
        new = 0
        for side in sides:
            queued = await store.queue(
                tx,
                environment=environment,
                adapter=adapter,
                day=days[side.id],
                kind=ExceptionKind.MISSING_THERE,
                subject=side.id,
                operation=side,
                amount_here=side.gross,
                currency=side.currency,
            )
            if queued is not None:
                tell(tx, queued)
                new += 1
        return new

    return work


def number_of_exception(exception: SettlementException) -> int:
    """Return the 128-bit number of an exception, what the transfers of its resolution carry."""
    return number_of(EXCEPTION_PREFIX, exception.id)
