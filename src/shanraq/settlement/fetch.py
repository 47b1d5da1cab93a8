"""Fetch the reports of payment systems day by day, keep them whole, and have their lines settled.

Each step is safe to repeat and stands on its own, so a process may be killed between any two: lines are stored in pieces under
ids that follow from the gateway's, the day is marked when its last piece is stored, and what is stored is judged and posted by
whoever comes next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog

from shanraq import audit
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.crypto import sha256
from shanraq.core.db import Database, Tx, chunks
from shanraq.core.errors import ShanraqError
from shanraq.settlement import disputes, store
from shanraq.settlement.complete import complete_days
from shanraq.settlement.model import DayStatus, ExceptionKind, SettlementDay, Sources, Terms
from shanraq.settlement.port import SettlementLine, SettlementReport, Settles
from shanraq.settlement.settle import miss_operations, settle_lines

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(minutes=10)
_PIECE: Final = 1000
_DIFFERENCES_TOLD: Final = 1000


async def settle(db: Database, sources: Sources) -> int:
    """Do what is due at every payment system; return how many reports and disputes were read and lines judged.

    A payment system that fails does not keep the others waiting: its error is written down, and raised at the end if it is one
    of ours.
    """
    done, failures = 0, []
    for (environment, name), adapter in sources.adapters.items():
        for step in (_reports, _lines, _disputes):
            try:
                done += await step(db, environment, name, adapter, sources.terms)
            except Exception as error:  # the other payment systems do not wait for this one
                failures.append(error)
    done += await disputes.collect(db)
    if failures:
        raise failures[0]
    return done


async def fetch_day(db: Database, sources: Sources, environment: Environment, name: str, day: date) -> SettlementDay:
    """Fetch and settle the report of one day now, whether it is due or not. Raises SettlementUnreadableError, KeyError."""
    adapter, terms = sources.adapters[environment, name], sources.terms

    async def open_day(tx: Tx) -> SettlementDay:
        await _open_source(tx, environment, name, terms)
        return await store.name_day(tx, environment, name, day)

    opened = await db.run(SYSTEM, open_day)
    await _fetch(db, adapter, terms, opened)
    await _lines(db, environment, name, adapter, terms)
    async with db.begin(SYSTEM) as tx:
        return await store.load_day(tx, environment, name, day)


async def _reports(db: Database, environment: Environment, name: str, adapter: Settles, terms: Terms) -> int:
    async def take(tx: Tx) -> SettlementDay | None:
        await _open_source(tx, environment, name, terms)
        return await store.take_day(tx, environment, name, LEASE)

    read = 0
    while (day := await db.run(SYSTEM, take)) is not None:
        read += await _fetch(db, adapter, terms, day)
        await _lines(db, environment, name, adapter, terms)
    return read


async def _open_source(tx: Tx, environment: Environment, name: str, terms: Terms) -> None:
    today = tx.now.date()
    first, last = today - timedelta(days=terms.first_days), today - timedelta(days=1)
    await store.open_source(tx, environment, name, first, last, terms.report_after)


async def _lines(db: Database, environment: Environment, name: str, _: Settles, terms: Terms) -> int:
    judged = await settle_lines(db, environment, name, terms)
    await complete_days(db, environment, name)
    return judged + await miss_operations(db, environment, name, terms)


async def _fetch(db: Database, adapter: Settles, terms: Terms, day: SettlementDay) -> int:
    try:
        report = await adapter.settlement(day.day)
    except ShanraqError as error:
        await _not_there(db, terms, day, str(error))
        return 0
    if report is None:
        await _not_there(db, terms, day, "there is no report yet")
        return 0
    await _keep(db, terms, day, report)
    return 1


async def _not_there(db: Database, terms: Terms, day: SettlementDay, problem: str) -> None:
    async def work(tx: Tx) -> None:
        end = terms.end_of(day.day)
        given_up = tx.now > end + timedelta(days=terms.refetch_days)
        next_at = None if given_up else tx.now + terms.backoff(day.failures)
        status = DayStatus.CLOSED if given_up else day.status
        await store.save_problem(tx, day, problem, next_at, status=status)
        never = day.status is DayStatus.WAITING and terms.open_on(day.day)
        if never and end <= terms.missed_before(tx.now):
            queued = await store.queue(
                tx,
                environment=day.environment,
                adapter=day.adapter,
                day=day.day,
                kind=ExceptionKind.REPORT_MISSING,
                subject=day.day.isoformat(),
                details={"problem": problem[:500]},
            )
            if queued is not None:
                log.error("settlement.report_missing", adapter=day.adapter, day=day.day.isoformat())
                audit.record(tx, "settlement.report_missing", queued.id, {"day": day.day.isoformat()})

    await db.run(SYSTEM, work)


async def _keep(db: Database, terms: Terms, day: SettlementDay, report: SettlementReport) -> None:
    """Store a report: new lines as they are, lines that changed or vanished as exceptions beside what was told first."""
    hashes: dict[str, bytes] = {}
    repeated = 0
    for piece in chunks(report.lines, _PIECE):
        told: dict[str, tuple[str, bytes, SettlementLine]] = {}
        changed: list[tuple[str, SettlementLine]] = []
        for line in piece:
            id_, digest = store.id_of_line(day.environment, day.adapter, line.line_id), store.digest_of_line(line)
            if id_ in hashes:
                repeated += 1
                if hashes[id_] != digest:
                    changed.append((id_, line))
                continue
            hashes[id_] = digest
            told[id_] = id_, digest, line
        await db.run(SYSTEM, _piece(day, told, changed))
    digest = sha256(b"".join(hashes[id_] for id_ in sorted(hashes)))
    if repeated:
        log.warning("settlement.lines_repeated", adapter=day.adapter, day=day.day.isoformat(), lines=repeated)

    async def finish(tx: Tx) -> None:
        await _vanished(tx, day, hashes)
        end = terms.end_of(day.day)
        if not report.complete:
            status, next_at = DayStatus.PARTIAL, tx.now + terms.backoff(day.failures)
        elif tx.now > end + timedelta(days=terms.refetch_days):
            status, next_at = DayStatus.CLOSED, None
        else:
            status, next_at = DayStatus.COMPLETE, tx.now + timedelta(days=1)
        other = await store.save_report(tx, day, status, report.source, digest, len(hashes), next_at)
        await store.clear_subject(tx, ExceptionKind.REPORT_MISSING, day.environment, day.adapter, day.day.isoformat())
        await store.make_all_due(tx, day)
        if other:
            audit.record(
                tx,
                "settlement.report_read" if day.revision == 0 else "settlement.report_changed",
                f"{day.adapter}/{day.day.isoformat()}",
                {"digest": digest.hex(), "lines": len(hashes), "source": report.source},
            )

    await db.run(SYSTEM, finish)


def _piece(
    day: SettlementDay,
    told: dict[str, tuple[str, bytes, SettlementLine]],
    changed: list[tuple[str, SettlementLine]],
) -> Callable[[Tx], Awaitable[None]]:
    async def work(tx: Tx) -> None:
        known = await store.known_digests(tx, list(told))
        new = [one for id_, one in told.items() if id_ not in known]
        if new:
            await store.insert_lines(tx, day, new)
        other = [(id_, told[id_][2]) for id_, digest in known.items() if digest != told[id_][1]]
        for id_, line in other + changed:
            stored = await store.load_line(tx, id_)
            queued = await store.queue(
                tx,
                environment=day.environment,
                adapter=day.adapter,
                day=day.day,
                kind=ExceptionKind.LINE_CHANGED,
                subject=f"{id_}/{store.digest_of_line(line).hex()[:16]}",
                line=stored,
                payment_id=stored.payment_id,
                amount_here=stored.gross,
                amount_there=line.amount.minor,
                currency=line.amount.currency.code,
                details={
                    "kind": line.kind,
                    "net_before": stored.net,
                    "net_now": line.net_minor,
                    "settled_on": line.settled_on.isoformat(),
                },
            )
            if queued is not None:
                log.error("settlement.line_changed", adapter=day.adapter, line=id_)
                audit.record(tx, "settlement.line_changed", queued.id, {"line": id_})

    return work


async def _vanished(tx: Tx, day: SettlementDay, hashes: dict[str, bytes]) -> None:
    if await store.line_count(tx, day) <= len(hashes) and day.revision == 0:
        return
    gone = [id_ for id_ in await store.line_ids(tx, day) if id_ not in hashes]
    for id_ in gone[:_DIFFERENCES_TOLD]:
        stored = await store.load_line(tx, id_)
        queued = await store.queue(
            tx,
            environment=day.environment,
            adapter=day.adapter,
            day=day.day,
            kind=ExceptionKind.LINE_VANISHED,
            subject=id_,
            line=stored,
            payment_id=stored.payment_id,
            amount_here=stored.gross,
            currency=stored.currency,
        )
        if queued is not None:
            log.error("settlement.line_vanished", adapter=day.adapter, line=id_)
            audit.record(tx, "settlement.line_vanished", queued.id, {"line": id_})


async def _disputes(db: Database, environment: Environment, name: str, adapter: Settles, terms: Terms) -> int:
    async def take(tx: Tx) -> tuple[date | None, datetime]:
        return await store.take_disputes(tx, environment, name, LEASE), tx.now

    since, now = await db.run(SYSTEM, take)
    if since is None:
        return 0
    until = now.astimezone(UTC).date()
    try:
        notices = await adapter.disputes(since - timedelta(days=terms.disputes_overlap_days), until)
    except ShanraqError as error:
        problem = str(error)

        async def failed(tx: Tx) -> None:
            failures = (await store.load_source(tx, environment, name))["failures"]
            await store.save_disputes(tx, environment, name, None, tx.now + terms.backoff(failures), problem)

        await db.run(SYSTEM, failed)
        return 0
    new = await disputes.receive(db, environment, name, notices)

    async def read(tx: Tx) -> None:
        await store.save_disputes(tx, environment, name, until, tx.now + terms.disputes_every)

    await db.run(SYSTEM, read)
    return new
