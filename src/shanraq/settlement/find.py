"""Read settlement: days, their totals and lines, exceptions with both sides, and what was settled of a payment."""

from __future__ import annotations

from collections import Counter
from datetime import date

import msgspec

from shanraq import partners, payments
from shanraq.core.actor import Actor, Environment
from shanraq.core.db import Database, Row
from shanraq.core.page import Page, PageRequest, page_of
from shanraq.settlement import store
from shanraq.settlement.model import (
    BothSides,
    ExceptionKind,
    ExceptionStatus,
    LineState,
    PaymentSettlement,
    SettlementDay,
    SettlementException,
    StoredLine,
    Totals,
)
from shanraq.settlement.port import LineKind


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a payment system with its totals by currency. `settled` tells that nothing is left open of any of them."""

    day: SettlementDay
    settled: bool
    totals: list[Totals]


async def list_days(
    db: Database, actor: Actor, environment: Environment, *, adapter: str | None, since: date, until: date
) -> list[SettlementDay]:
    """Return the days whose reports were asked for, newest first."""
    actor.require(partners.SETTLEMENT_READ)
    async with db.begin(actor) as tx:
        return await store.days(tx, environment, adapter=adapter, since=since, until=until)


async def day_figures(db: Database, actor: Actor, environment: Environment, adapter: str, day: date) -> DayFigures:
    """Return the totals of a day. Raises SettlementDayNotFoundError."""
    actor.require(partners.SETTLEMENT_READ)
    async with db.begin(actor) as tx:
        found = await store.load_day(tx, environment, adapter, day)
        totals = totals_of(await store.figures(tx, environment, adapter, day))
    return DayFigures(day=found, settled=found.revision > 0 and all(one.settled for one in totals), totals=totals)


async def list_lines(
    db: Database,
    actor: Actor,
    environment: Environment,
    adapter: str,
    day: date,
    request: PageRequest,
    *,
    state: LineState | None = None,
) -> Page[StoredLine]:
    """Return the lines of a day, by their ids. Raises SettlementDayNotFoundError."""
    actor.require(partners.SETTLEMENT_READ)
    async with db.begin(actor) as tx:
        await store.load_day(tx, environment, adapter, day)
        rows = await store.line_page(
            tx, environment, adapter, day, state=state, after=request.after, limit=request.limit
        )
    return page_of(rows, request, lambda line: line.id)


async def list_exceptions(
    db: Database,
    actor: Actor,
    environment: Environment,
    request: PageRequest,
    *,
    adapter: str | None = None,
    status: ExceptionStatus | None = None,
    kind: ExceptionKind | None = None,
) -> Page[SettlementException]:
    """Return exceptions, newest first."""
    actor.require(partners.SETTLEMENT_READ)
    async with db.begin(actor) as tx:
        rows = await store.exception_page(
            tx,
            environment,
            adapter=adapter,
            status=status,
            kind=kind,
            after=request.after,
            limit=request.limit,
        )
    return page_of(rows, request, lambda one: one.id)


async def find_exception(db: Database, actor: Actor, exception_id: str) -> BothSides:
    """Return an exception with both sides: the line, and the operations it may mean.

    Raises SettlementExceptionNotFoundError.
    """
    actor.require(partners.SETTLEMENT_READ)
    async with db.begin(actor) as tx:
        exception, _, _, _ = await store.load_exception(tx, exception_id)
        there = await store.load_line(tx, exception.line) if exception.line is not None else None
        payment_ids = {exception.payment_id or "", there.reference if there else ""} - {""}
        gateway_ids = {there.gateway_id if there else ""} - {""}
        here = await store.candidates(
            tx, exception.environment, exception.adapter, [exception.operation_id or ""], gateway_ids, payment_ids
        )
    return BothSides(exception=exception, there=there, here=here)


async def payment_settlement(db: Database, actor: Actor, payment_id: str) -> list[PaymentSettlement]:
    """Return what was settled of a payment, oldest first. Raises PaymentNotFoundError."""
    await payments.find_payment(db, actor, payment_id)
    async with db.begin(actor) as tx:
        return await store.payment_lines(tx, payment_id)


async def open_exceptions(db: Database, actor: Actor) -> int:
    """Return how many exceptions wait for a person."""
    async with db.begin(actor) as tx:
        return await store.open_exceptions(tx)


def totals_of(rows: list[Row]) -> list[Totals]:
    """Add the sums by currency, kind and state up to totals by currency."""
    found = []
    for currency in sorted({row["currency"] for row in rows}):
        of = [row for row in rows if row["currency"] == currency]
        states: Counter[str] = Counter()
        for row in of:
            states[row["state"]] += row["lines"]
        found.append(
            Totals(
                currency=currency,
                lines=states.total(),
                posted_lines=_sum(of, "posted_lines", *LineKind),
                captured=_sum(of, "amount", LineKind.CAPTURE),
                refunded=-_sum(of, "amount", LineKind.REFUND, LineKind.CREDIT),
                charged_back=-_sum(of, "amount", LineKind.CHARGEBACK),
                represented=_sum(of, "amount", LineKind.REPRESENTMENT),
                charged=-_sum(of, "amount", LineKind.FEE),
                interchange=_sum(of, "interchange", *_WITH_PAYMENT),
                scheme_fees=_sum(of, "scheme_fee", *_WITH_PAYMENT),
                processing_fees=_sum(of, "processing_fee", *_WITH_PAYMENT),
                net=_sum(of, "net", *LineKind),
                posted_net=_sum(of, "posted_net", *LineKind),
                states=dict(states),
            )
        )
    return found


_WITH_PAYMENT = tuple(kind for kind in LineKind if kind is not LineKind.FEE)


def _sum(rows: list[Row], column: str, *kinds: LineKind) -> int:
    return sum(row[column] for row in rows if row["kind"] in kinds)
