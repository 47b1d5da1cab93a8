"""The SQL of settlement: days, lines, exceptions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec

from shanraq.core.actor import Environment, book_of
from shanraq.core.crypto import sha256
from shanraq.core.db import Row, Tx
from shanraq.core.ids import derived_number, new_id, number_of, text_of
from shanraq.settlement.errors import SettlementDayNotFoundError, SettlementExceptionNotFoundError
from shanraq.settlement.model import (
    EXCEPTION_PREFIX,
    LINE_PREFIX,
    DayStatus,
    ExceptionKind,
    ExceptionStatus,
    LineState,
    OperationSide,
    PaymentSettlement,
    SettlementDay,
    SettlementException,
    StoredLine,
    flaw_of,
)
from shanraq.settlement.port import LineKind, SettlementLine

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_LINE_COLUMNS: Final = tuple(StoredLine.__struct_fields__)
_EXCEPTION_COLUMNS: Final = tuple(SettlementException.__struct_fields__)
_DAY_COLUMNS: Final = tuple(SettlementDay.__struct_fields__)


# Days and sources


def day_of(row: Row) -> SettlementDay:
    """Read a row of settlement_day."""
    return msgspec.convert({name: row[name] for name in _DAY_COLUMNS}, SettlementDay)


async def open_source(
    tx: Tx, environment: Environment, adapter: str, first: date, last: date, report_after: timedelta
) -> None:
    """Write down a payment system that is seen for the first time, and the days up to `last` that it has to report."""
    await tx.execute(
        """INSERT INTO settlement_source (environment, adapter, days_until, swept_until, disputes_until, disputes_next_at)
           VALUES ($1, $2, $3::date - 1, $3::date::timestamp AT TIME ZONE 'UTC', $3, $4) ON CONFLICT DO NOTHING""",
        environment, adapter, first, tx.now,
    )  # fmt: skip
    await tx.execute(
        """INSERT INTO settlement_day (environment, adapter, day, status, next_at, created_at)
           SELECT $1, $2, d::date, 'waiting', (d::date + 1)::timestamp AT TIME ZONE 'UTC' + $4::interval, $5
             FROM settlement_source s, generate_series(s.days_until + 1, $3::date, interval '1 day') d
            WHERE s.environment = $1 AND s.adapter = $2
           ON CONFLICT DO NOTHING""",
        environment, adapter, last, report_after, tx.now,
    )  # fmt: skip
    await tx.execute(
        "UPDATE settlement_source SET days_until = $3 WHERE environment = $1 AND adapter = $2 AND days_until < $3",
        environment, adapter, last,
    )  # fmt: skip


async def take_day(tx: Tx, environment: Environment, adapter: str, lease: timedelta) -> SettlementDay | None:
    """Return a day whose report is due, and keep other workers off it for the lease."""
    row = await tx.row(
        """UPDATE settlement_day SET next_at = $3::timestamptz + $4::interval
            WHERE (environment, adapter, day) IN (
                SELECT environment, adapter, day FROM settlement_day
                 WHERE environment = $1 AND adapter = $2 AND next_at <= $3
                 ORDER BY next_at, day LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING *""",
        environment, adapter, tx.now, lease,
    )  # fmt: skip
    return day_of(row) if row is not None else None


async def name_day(tx: Tx, environment: Environment, adapter: str, day: date) -> SettlementDay:
    """Return a day, written down now if it was not there."""
    await tx.execute(
        """INSERT INTO settlement_day (environment, adapter, day, status, next_at, created_at)
           VALUES ($1, $2, $3, 'waiting', $4, $4) ON CONFLICT DO NOTHING""",
        environment, adapter, day, tx.now,
    )  # fmt: skip
    return await load_day(tx, environment, adapter, day)


async def find_day(tx: Tx, environment: Environment, adapter: str, day: date) -> SettlementDay | None:
    """Return a day, None if its report was never asked for."""
    row = await tx.row(
        "SELECT * FROM settlement_day WHERE environment = $1 AND adapter = $2 AND day = $3", environment, adapter, day
    )
    return day_of(row) if row is not None else None


async def load_day(tx: Tx, environment: Environment, adapter: str, day: date) -> SettlementDay:
    """Return a day. Raises SettlementDayNotFoundError."""
    found = await find_day(tx, environment, adapter, day)
    if found is None:
        raise SettlementDayNotFoundError(field="day")
    return found


async def days(
    tx: Tx, environment: Environment, *, adapter: str | None, since: date, until: date
) -> list[SettlementDay]:
    """Return the days of an environment, newest first."""
    rows = await tx.rows(
        """SELECT * FROM settlement_day
            WHERE environment = $1 AND ($2::text IS NULL OR adapter = $2) AND day BETWEEN $3 AND $4
            ORDER BY day DESC, adapter""",
        environment, adapter, since, until,
    )  # fmt: skip
    return [day_of(row) for row in rows]


async def save_report(
    tx: Tx, day: SettlementDay, status: DayStatus, source: str, digest: bytes, lines: int, next_at: datetime | None
) -> bool:
    """Write down that a day's report was read whole; tell whether it is another one than before."""
    revision = await tx.value(
        """UPDATE settlement_day SET status = $4, source = $5, lines = $7, failures = 0, problem = '', next_at = $8,
                                     fetched_at = $9, digest = $6,
                                     revision = revision + (digest IS DISTINCT FROM $6)::int
            WHERE environment = $1 AND adapter = $2 AND day = $3 RETURNING revision""",
        day.environment, day.adapter, day.day, status, source, digest, lines, next_at, tx.now,
    )  # fmt: skip
    return bool(revision != day.revision)


async def save_problem(
    tx: Tx, day: SettlementDay, problem: str, next_at: datetime | None, *, status: DayStatus
) -> None:
    """Write down that a day's report was not to be had."""
    await tx.execute(
        """UPDATE settlement_day SET failures = failures + 1, problem = $4, next_at = $5, status = $6
            WHERE environment = $1 AND adapter = $2 AND day = $3""",
        day.environment, day.adapter, day.day, problem[:500], next_at, status,
    )  # fmt: skip


async def load_source(tx: Tx, environment: Environment, adapter: str) -> Row:
    """Return how far a payment system was followed."""
    row = await tx.row("SELECT * FROM settlement_source WHERE environment = $1 AND adapter = $2", environment, adapter)
    assert row is not None, "it was opened before"
    return row


async def save_swept(tx: Tx, environment: Environment, adapter: str, until: datetime) -> None:
    """Write down up to when operations were looked at that should have been settled."""
    await tx.execute(
        """UPDATE settlement_source SET swept_until = greatest(swept_until, $3) WHERE environment = $1 AND adapter = $2""",
        environment, adapter, until,
    )  # fmt: skip


async def take_disputes(tx: Tx, environment: Environment, adapter: str, lease: timedelta) -> date | None:
    """Return from which day on disputes are to be read, if it is time, and keep other workers off them for the lease."""
    found: date | None = await tx.value(
        """UPDATE settlement_source SET disputes_next_at = $3::timestamptz + $4::interval
            WHERE environment = $1 AND adapter = $2 AND disputes_next_at <= $3 RETURNING disputes_until""",
        environment, adapter, tx.now, lease,
    )  # fmt: skip
    return found


async def save_disputes(
    tx: Tx, environment: Environment, adapter: str, until: date | None, next_at: datetime, problem: str = ""
) -> None:
    """Write down up to which day disputes were read, or why they could not be."""
    await tx.execute(
        """UPDATE settlement_source SET disputes_until = coalesce($3, disputes_until), disputes_next_at = $4,
                                        failures = CASE WHEN $5 = '' THEN 0 ELSE failures + 1 END, problem = $5
            WHERE environment = $1 AND adapter = $2""",
        environment, adapter, until, next_at, problem[:500],
    )  # fmt: skip


# Lines


def line_of(row: Row) -> StoredLine:
    """Read a row of settlement_line."""
    return StoredLine(
        id=row["id"], environment=Environment(row["environment"]), adapter=row["adapter"], day=row["day"],
        line_id=row["line_id"], kind=LineKind(row["kind"]), batch_id=row["batch_id"], settled_on=row["settled_on"],
        reference=row["reference"], gateway_id=row["gateway_id"], told_operation_id=row["told_operation_id"],
        reconciliation_id=row["reconciliation_id"], amount=row["amount"], currency=row["currency"],
        interchange=row["interchange"], scheme_fee=row["scheme_fee"], processing_fee=row["processing_fee"],
        net=row["net"], flaw=row["flaw"], state=LineState(row["state"]), partner_id=row["partner_id"],
        book=row["book"], payment_id=row["payment_id"], operation_id=row["operation_id"], posted_at=row["posted_at"],
    )  # fmt: skip


def id_of_line(environment: Environment, adapter: str, line_id: str) -> str:
    """Return our id of a gateway's line: it follows from what it is."""
    return text_of(LINE_PREFIX, derived_number("settlement line", environment, adapter, line_id))


def digest_of_line(line: SettlementLine) -> bytes:
    """Return a hash of all that a line says."""
    money = [
        (one.minor, one.currency.code) for one in (line.amount, line.interchange, line.scheme_fee, line.processing_fee)
    ]
    return sha256(
        _encode(
            (line.line_id, line.kind, line.batch_id, line.settled_on, line.reference, line.gateway_id, money,
             line.net_minor, line.operation_id, line.reconciliation_id)
        )
    )  # fmt: skip


async def insert_lines(tx: Tx, day: SettlementDay, lines: Sequence[tuple[str, bytes, SettlementLine]]) -> None:
    """Write lines, given with their ids and digests; those that are there already stay as they are."""
    told = [line for _, _, line in lines]
    flaws = [flaw_of(line) for line in told]

    def fee(name: str) -> list[int]:
        # A fee in another currency cannot be added to the amount: the flaw tells of it.
        found = [(getattr(line, name), line.amount.currency) for line in told]
        return [one.minor if one.currency == currency else 0 for one, currency in found]

    await tx.execute(
        """INSERT INTO settlement_line (id, environment, adapter, day, line_id, kind, batch_id, settled_on, reference,
                                        gateway_id, told_operation_id, reconciliation_id, amount, currency, interchange,
                                        scheme_fee, processing_fee, net, flaw, digest, state, created_at, updated_at)
           SELECT u.id, $1, $2, $3, u.line_id, u.kind, u.batch_id, u.settled_on, u.reference, u.gateway_id, u.operation_id,
                  u.reconciliation_id, u.amount, u.currency, u.interchange, u.scheme_fee, u.processing_fee, u.net, u.flaw,
                  u.digest, 'new', $4, $4
             FROM unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::date[], $10::text[], $11::text[], $12::text[],
                         $13::text[], $14::bigint[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
                         $20::text[], $21::bytea[])
                  u(id, line_id, kind, batch_id, settled_on, reference, gateway_id, operation_id, reconciliation_id, amount,
                    currency, interchange, scheme_fee, processing_fee, net, flaw, digest)
           ON CONFLICT (id) DO NOTHING""",
        day.environment, day.adapter, day.day, tx.now,
        [id_ for id_, _, _ in lines], [line.line_id for line in told], [line.kind for line in told],
        [line.batch_id for line in told], [line.settled_on for line in told], [line.reference for line in told],
        [line.gateway_id for line in told], [line.operation_id for line in told],
        [line.reconciliation_id for line in told], [line.amount.minor for line in told],
        [line.amount.currency.code for line in told], fee("interchange"), fee("scheme_fee"), fee("processing_fee"),
        [line.net_minor for line in told], flaws, [digest for _, digest, _ in lines],
    )  # fmt: skip


async def known_digests(tx: Tx, ids: Sequence[str]) -> dict[str, bytes]:
    """Return the digests of the lines that are there, by id."""
    rows = await tx.rows("SELECT id, digest FROM settlement_line WHERE id = ANY($1)", list(ids))
    return {row["id"]: row["digest"] for row in rows}


async def line_count(tx: Tx, day: SettlementDay) -> int:
    """Return how many lines are stored of a day."""
    return int(
        await tx.value(
            "SELECT count(*) FROM settlement_line WHERE environment = $1 AND adapter = $2 AND day = $3",
            day.environment, day.adapter, day.day,
        )
    )  # fmt: skip


async def line_ids(tx: Tx, day: SettlementDay) -> list[str]:
    """Return the ids of all lines stored of a day."""
    rows = await tx.rows(
        "SELECT id FROM settlement_line WHERE environment = $1 AND adapter = $2 AND day = $3",
        day.environment, day.adapter, day.day,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def new_lines(tx: Tx, environment: Environment, adapter: str, limit: int) -> list[StoredLine]:
    """Return, locked, lines that nobody has looked at."""
    rows = await tx.rows(
        """SELECT * FROM settlement_line WHERE state = 'new' AND environment = $1 AND adapter = $2
            ORDER BY id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED""",
        environment, adapter, limit,
    )  # fmt: skip
    return [line_of(row) for row in rows]


async def orphans(tx: Tx, environment: Environment, adapter: str, after: str, limit: int) -> list[StoredLine]:
    """Return, locked, lines without an operation whose exception is open: it may have appeared meanwhile."""
    rows = await tx.rows(
        """SELECT l.* FROM settlement_exception e JOIN settlement_line l ON l.id = e.line
            WHERE e.environment = $1 AND e.adapter = $2 AND e.kind = 'missing_here' AND e.status = 'open' AND l.id > $3
              AND l.state = 'missing_here'
            ORDER BY l.id LIMIT $4 FOR NO KEY UPDATE OF l SKIP LOCKED""",
        environment, adapter, after, limit,
    )  # fmt: skip
    return [line_of(row) for row in rows]


async def reopen_late(tx: Tx, environment: Environment, adapter: str) -> int:
    """Have lines judged again whose operation had no outcome, and has one now."""
    return await tx.execute(
        """UPDATE settlement_line l SET state = 'assigned', updated_at = $3
             FROM settlement_exception e, payment_operation o
            WHERE e.environment = $1 AND e.adapter = $2 AND e.kind = 'status_differs' AND e.status = 'open'
              AND l.id = e.line AND l.state = 'status_differs' AND o.id = l.operation_id AND o.status = 'succeeded'
              AND NOT EXISTS (SELECT FROM payment_operation v WHERE v.payment_id = o.payment_id AND v.kind = 'void'
                                 AND v.target_id = o.id AND v.status = 'succeeded')""",
        environment, adapter, tx.now,
    )  # fmt: skip


async def assign(tx: Tx, found: Sequence[tuple[str, str, int, str, str | None]]) -> None:
    """Give lines to partners: (line, partner, book, payment, operation)."""
    ids, partners, books, payments, operations = (list(column) for column in zip(*found, strict=True))
    await tx.execute(
        """UPDATE settlement_line l SET state = 'assigned', partner_id = u.partner_id, book = u.book, updated_at = $6,
                                        payment_id = nullif(u.payment_id, ''), operation_id = u.operation_id
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[])
                  u(id, partner_id, book, payment_id, operation_id)
            WHERE l.id = u.id""",
        ids, partners, books, payments, operations, tx.now,
    )  # fmt: skip


async def mark(tx: Tx, judged: Sequence[tuple[str, LineState, bool, bool]]) -> None:
    """Write down what became of lines: (line, state, settles its operation, is posted)."""
    ids, states, settles, posted = (list(column) for column in zip(*judged, strict=True))
    await tx.execute(
        """UPDATE settlement_line l SET state = u.state, settles = u.settles, updated_at = $5,
                                        posted_at = CASE WHEN u.posted THEN $5 ELSE l.posted_at END
             FROM unnest($1::text[], $2::text[], $3::bool[], $4::bool[]) u(id, state, settles, posted)
            WHERE l.id = u.id""",
        ids, states, settles, posted, tx.now,
    )  # fmt: skip


async def owners_of_assigned(tx: Tx, environment: Environment, adapter: str) -> list[tuple[str, int]]:
    """Return the partners (id, book) with lines that wait to be judged."""
    rows = await tx.rows(
        """SELECT DISTINCT partner_id, book FROM settlement_line
            WHERE state = 'assigned' AND environment = $1 AND adapter = $2 ORDER BY partner_id""",
        environment, adapter,
    )  # fmt: skip
    return [(row["partner_id"], row["book"]) for row in rows]


async def assigned_lines(tx: Tx, adapter: str, limit: int) -> list[StoredLine]:
    """Return, locked, lines of the partner that wait to be judged."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM settlement_line WHERE state = 'assigned' AND partner_id = $1 AND environment = $2 AND adapter = $3
            ORDER BY id LIMIT $4 FOR NO KEY UPDATE""",
        partner_id, environment, adapter, limit,
    )  # fmt: skip
    return [line_of(row) for row in rows]


async def load_line(tx: Tx, id_: str, *, lock: bool = False) -> StoredLine:
    """Return a line."""
    row = await tx.row(
        "SELECT * FROM settlement_line WHERE id = $1 FOR NO KEY UPDATE"
        if lock
        else "SELECT * FROM settlement_line WHERE id = $1",
        id_,
    )
    assert row is not None, "lines are never deleted"
    return line_of(row)


async def line_page(
    tx: Tx, environment: Environment, adapter: str, day: date, *, state: str | None, after: str, limit: int
) -> list[StoredLine]:
    """Return lines of a day after an id; one more than `limit` to tell whether more follow."""
    rows = await tx.rows(
        """SELECT * FROM settlement_line
            WHERE environment = $1 AND adapter = $2 AND day = $3 AND ($4::text IS NULL OR state = $4) AND id > $5
            ORDER BY id LIMIT $6 + 1""",
        environment, adapter, day, state, after, limit,
    )  # fmt: skip
    return [line_of(row) for row in rows]


async def payment_lines(tx: Tx, payment_id: str) -> list[PaymentSettlement]:
    """Return what was settled of a payment, oldest first."""
    rows = await tx.rows(
        """SELECT kind, amount, currency, settled_on, state, operation_id FROM settlement_line
            WHERE payment_id = $1 AND kind <> 'fee' ORDER BY settled_on, created_at, id""",
        payment_id,
    )  # fmt: skip
    return [msgspec.convert(dict(row), PaymentSettlement) for row in rows]


async def figures(tx: Tx, environment: Environment, adapter: str, day: date) -> list[Row]:
    """Return the sums of a day by currency, kind and state."""
    return await tx.rows(
        """SELECT currency, kind, state, count(*) AS lines, sum(amount)::bigint AS amount,
                  sum(interchange)::bigint AS interchange, sum(scheme_fee)::bigint AS scheme_fee,
                  sum(processing_fee)::bigint AS processing_fee, sum(net)::bigint AS net,
                  coalesce(sum(net) FILTER (WHERE posted_at IS NOT NULL), 0)::bigint AS posted_net,
                  count(*) FILTER (WHERE posted_at IS NOT NULL) AS posted_lines
             FROM settlement_line WHERE environment = $1 AND adapter = $2 AND day = $3
            GROUP BY currency, kind, state ORDER BY currency, kind, state""",
        environment, adapter, day,
    )  # fmt: skip


async def make_due(tx: Tx, adapter: str, days: Collection[date]) -> None:
    """Have somebody look whether days of the partner are settled now."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO settlement_completion (environment, adapter, day, partner_id, book, due)
           SELECT $1, $2, day, $4, $5, true FROM unnest($3::date[]) u(day) ORDER BY day
           ON CONFLICT (environment, adapter, day, partner_id) DO UPDATE SET due = true""",
        environment, adapter, list(days), partner_id, tx.actor.book,
    )  # fmt: skip


async def make_all_due(tx: Tx, day: SettlementDay) -> None:
    """Have somebody look whether a day is settled now, for every partner with lines that were judged."""
    await tx.execute(
        "UPDATE settlement_completion SET due = true WHERE environment = $1 AND adapter = $2 AND day = $3 AND NOT due",
        day.environment, day.adapter, day.day,
    )  # fmt: skip


async def due_completions(tx: Tx, environment: Environment, adapter: str) -> list[tuple[date, str, int]]:
    """Return ended days that may be settled now: (day, partner, book)."""
    rows = await tx.rows(
        """SELECT c.day, c.partner_id, c.book
             FROM settlement_completion c JOIN settlement_day d USING (environment, adapter, day)
            WHERE c.due AND c.environment = $1 AND c.adapter = $2 AND d.status IN ('complete', 'closed') AND d.revision > 0
            ORDER BY c.day, c.partner_id""",
        environment, adapter,
    )  # fmt: skip
    return [(row["day"], row["partner_id"], row["book"]) for row in rows]


async def looked_at(tx: Tx, adapter: str, day: date) -> None:
    """Write down that there is nothing to tell of a day for the present."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """UPDATE settlement_completion SET due = false
            WHERE environment = $1 AND adapter = $2 AND day = $3 AND partner_id = $4""",
        environment, adapter, day, partner_id,
    )  # fmt: skip


async def pending(tx: Tx, adapter: str, day: date) -> int:
    """Return how many lines of the partner of a day wait to be judged or for a person; -1 if there is no line."""
    partner_id, environment = tx.actor.scope
    found: int = await tx.value(
        """SELECT CASE WHEN count(*) = 0 THEN -1
                       ELSE count(*) FILTER (WHERE l.state IN ('new', 'assigned') OR e.id IS NOT NULL) END
             FROM settlement_line l
             LEFT JOIN settlement_exception e ON e.line = l.id AND e.status IN ('open', 'proposed') AND e.kind <> 'fee_differs'
            WHERE l.environment = $1 AND l.adapter = $2 AND l.day = $3 AND l.partner_id = $4""",
        environment, adapter, day, partner_id,
    )  # fmt: skip
    return found


async def partner_sums(tx: Tx, adapter: str, day: date) -> list[Row]:
    """Return the sums of the partner's lines of a day by currency and kind."""
    partner_id, environment = tx.actor.scope
    return await tx.rows(
        """SELECT currency, kind, count(*) AS lines, sum(amount) FILTER (WHERE posted_at IS NOT NULL)::bigint AS amount
             FROM settlement_line WHERE environment = $1 AND adapter = $2 AND day = $3 AND partner_id = $4
            GROUP BY currency, kind ORDER BY currency, kind""",
        environment, adapter, day, partner_id,
    )  # fmt: skip


async def complete(tx: Tx, adapter: str, day: date, lines: int) -> bool:
    """Write down that the partner is told of so many lines of a day; False if it was before."""
    partner_id, environment = tx.actor.scope
    return bool(
        await tx.execute(
            """INSERT INTO settlement_completion AS c (environment, adapter, day, partner_id, book, lines, due, completed_at)
               VALUES ($1, $2, $3, $4, $5, $6, false, $7)
               ON CONFLICT (environment, adapter, day, partner_id) DO UPDATE SET lines = $6, completed_at = $7
                WHERE c.lines < $6""",
            environment, adapter, day, partner_id, tx.actor.book, lines, tx.now,
        )
    )  # fmt: skip


# Our side


async def candidates(
    tx: Tx, environment: Environment, adapter: str, operation_ids: Collection[str], gateway_ids: Collection[str],
    payment_ids: Collection[str],
) -> list[OperationSide]:  # fmt: skip
    """Return the operations of a payment system that lines may mean: with these ids, or of these payments."""
    rows = await tx.rows(
        """WITH named AS MATERIALIZED (
               SELECT id, payment_id FROM payment_operation WHERE id = ANY($3)
               UNION SELECT id, payment_id FROM payment_operation WHERE gateway_id = ANY($4) AND gateway_id <> ''
               UNION SELECT id, payment_id FROM payment_operation WHERE payment_id = ANY($5)
           )
           SELECT o.id, o.payment_id, o.partner_id, o.book, o.kind, o.sale, o.currency, o.status, o.gateway_id, o.sent_at,
                  CASE WHEN o.sale AND o.kind = 'authorize' AND o.status = 'succeeded' THEN p.amount_captured ELSE o.amount END
                      AS amount,
                  m.brand,
                  EXISTS (SELECT FROM payment_operation v WHERE v.payment_id = o.payment_id AND v.kind = 'void'
                             AND v.target_id = o.id AND v.status = 'succeeded') AS voided
             FROM named n JOIN payment_operation o ON o.id = n.id
             JOIN payment p ON p.id = o.payment_id JOIN payment_method m ON m.id = p.payment_method_id
            WHERE o.environment = $1 AND o.adapter = $2
            ORDER BY o.id""",
        environment, adapter, list(operation_ids), list(gateway_ids), list(payment_ids),
    )  # fmt: skip
    return [_side_of(row) for row in rows]


def _side_of(row: Row) -> OperationSide:
    # Authorisations, voids and the like are never settled: they only say whose payment it is.
    kind = LineKind.CAPTURE if row["sale"] and row["kind"] == "authorize" else _SETTLED_AS.get(row["kind"])
    return OperationSide(
        id=row["id"], payment_id=row["payment_id"], partner_id=row["partner_id"], book=row["book"], kind=kind,
        amount=row["amount"], currency=row["currency"], status=row["status"], gateway_id=row["gateway_id"],
        brand=row["brand"], voided=row["voided"], sent_at=row["sent_at"],
    )  # fmt: skip


_SETTLED_AS: Final = {"capture": LineKind.CAPTURE, "refund": LineKind.REFUND, "credit": LineKind.CREDIT}


async def payments_by_reconciliation(
    tx: Tx, environment: Environment, adapter: str, reconciliation_ids: Collection[str]
) -> dict[str, tuple[str, str, int]]:
    """Return (payment, partner, book) of lines matched before, by their reconciliation ids."""
    rows = await tx.rows(
        """SELECT reconciliation_id, min(payment_id) AS payment_id, min(partner_id) AS partner_id, min(book) AS book
             FROM settlement_line
            WHERE environment = $1 AND adapter = $2 AND reconciliation_id = ANY($3) AND payment_id IS NOT NULL
            GROUP BY reconciliation_id HAVING count(DISTINCT payment_id) = 1""",
        environment, adapter, list(reconciliation_ids),
    )  # fmt: skip
    return {row["reconciliation_id"]: (row["payment_id"], row["partner_id"], row["book"]) for row in rows}


async def settled_operations(tx: Tx, operation_ids: Collection[str]) -> set[str]:
    """Return those of these operations that a line settles, or that were written off."""
    rows = await tx.rows(
        """SELECT operation_id FROM settlement_line WHERE operation_id = ANY($1) AND settles
           UNION SELECT operation_id FROM settlement_exception
                  WHERE operation_id = ANY($1) AND kind IN ('missing_there', 'currency_differs') AND status = 'resolved'
                    AND action IN ('write_off', 'post')""",
        list(operation_ids),
    )
    return {row["operation_id"] for row in rows}


async def assigned_operations(tx: Tx, payment_ids: Collection[str]) -> set[str]:
    """Return the operations of these payments that lines mean which are not judged yet."""
    rows = await tx.rows(
        """SELECT operation_id FROM settlement_line
            WHERE payment_id = ANY($1) AND state = 'assigned' AND operation_id IS NOT NULL""",
        list(payment_ids),
    )
    return {row["operation_id"] for row in rows}


async def unsettled(
    tx: Tx, environment: Environment, adapter: str, since: datetime, until: datetime, after: str, limit: int
) -> list[tuple[datetime, OperationSide]]:
    """Return operations that succeeded from `since` to before `until` and that no line settles, oldest first."""
    rows = await tx.rows(
        """SELECT o.id, o.payment_id, o.partner_id, o.book, o.kind, o.sale, o.currency, o.status, o.gateway_id, o.sent_at,
                  o.settled_at, CASE WHEN o.sale AND o.kind = 'authorize' THEN p.amount_captured ELSE o.amount END AS amount,
                  m.brand, false AS voided
             FROM payment_operation o JOIN payment p ON p.id = o.payment_id
             JOIN payment_method m ON m.id = p.payment_method_id
            WHERE o.environment = $1 AND o.adapter = $2 AND o.settled_at >= $3 AND o.settled_at < $4
              AND (o.settled_at, o.id) > ($3, $5)
              AND o.status = 'succeeded' AND (o.kind IN ('capture', 'refund', 'credit') OR (o.sale AND o.kind = 'authorize'))
              AND NOT EXISTS (SELECT FROM settlement_line l WHERE l.operation_id = o.id AND l.settles)
              AND NOT EXISTS (SELECT FROM payment_operation v WHERE v.payment_id = o.payment_id AND v.kind = 'void'
                                 AND v.target_id = o.id AND v.status = 'succeeded')
            ORDER BY o.settled_at, o.id LIMIT $6""",
        environment, adapter, since, until, after, limit,
    )  # fmt: skip
    return [(row["settled_at"], _side_of(row)) for row in rows]


async def book_of_partner(tx: Tx, partner_id: str, environment: Environment) -> int | None:
    """Return the book of an approved partner."""
    number: int | None = await tx.value("SELECT number FROM partner WHERE id = $1", partner_id)
    return book_of(number, environment) if number is not None else None


async def lock_partner(tx: Tx) -> None:
    """Let one transaction at a time settle for the partner: two lines of one operation are judged one after the other."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('settlement ' || $1 || ' ' || $2, 0))",
        partner_id, environment.value,
    )  # fmt: skip


# Exceptions


def exception_of(row: Row) -> SettlementException:
    """Read a row of settlement_exception."""
    return msgspec.convert({name: row[name] for name in _EXCEPTION_COLUMNS}, SettlementException)


async def queue(
    tx: Tx,
    *,
    environment: Environment,
    adapter: str,
    day: date,
    kind: ExceptionKind,
    subject: str,
    line: StoredLine | None = None,
    operation: OperationSide | None = None,
    payment_id: str | None = None,
    amount_here: int | None = None,
    amount_there: int | None = None,
    currency: str = "",
    details: dict[str, Any] | None = None,
) -> SettlementException | None:
    """Queue an exception for a person, once for its subject; None if it is there already.

    One that had cleared by itself is opened again.
    """
    partner_id = tx.actor.partner_id
    row = await tx.row(
        """INSERT INTO settlement_exception AS e (id, environment, adapter, day, kind, subject, partner_id, book, line,
                                                  payment_id, operation_id, amount_here, amount_there, currency, details,
                                                  status, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'open', $16, $16)
           ON CONFLICT (environment, adapter, kind, subject)
              DO UPDATE SET status = 'open', version = e.version + 1, updated_at = $16
                 WHERE e.status = 'cleared'
           RETURNING *""",
        new_id(EXCEPTION_PREFIX), environment, adapter, day, kind, subject, partner_id, tx.actor.book if partner_id else 0,
        line.id if line else None, payment_id or (operation.payment_id if operation else None),
        operation.id if operation else None, amount_here, amount_there, currency, details or {}, tx.now,
    )  # fmt: skip
    return exception_of(row) if row is not None else None


async def clear(
    tx: Tx, kinds: Sequence[ExceptionKind], *, lines: Sequence[str] = (), operations: Sequence[str] = ()
) -> int:
    """Close the exceptions of these kinds about lines or operations: what they were about went away by itself."""
    return await tx.execute(
        """UPDATE settlement_exception SET status = 'cleared', action = '', proposed_by = NULL, version = version + 1,
                                           updated_at = $4
            WHERE kind = ANY($1) AND (line = ANY($2) OR operation_id = ANY($3)) AND status IN ('open', 'proposed')""",
        [kind.value for kind in kinds], list(lines), list(operations), tx.now,
    )  # fmt: skip


async def clear_subject(tx: Tx, kind: ExceptionKind, environment: Environment, adapter: str, subject: str) -> int:
    """Close the exception of a kind about a subject of a payment system."""
    return await tx.execute(
        """UPDATE settlement_exception SET status = 'cleared', action = '', proposed_by = NULL, version = version + 1,
                                           updated_at = $5
            WHERE kind = $1 AND environment = $2 AND adapter = $3 AND subject = $4 AND status IN ('open', 'proposed')""",
        kind, environment, adapter, subject, tx.now,
    )  # fmt: skip


async def load_exception(
    tx: Tx, id_: str, *, lock: bool = False
) -> tuple[SettlementException, str, int, dict[str, str]]:
    """Return an exception with its partner, book and the terms of its resolution. Raises SettlementExceptionNotFoundError."""
    number_of(EXCEPTION_PREFIX, id_, field="exception_id")
    row = await tx.row(
        "SELECT * FROM settlement_exception WHERE id = $1 FOR NO KEY UPDATE"
        if lock
        else "SELECT * FROM settlement_exception WHERE id = $1",
        id_,
    )
    if row is None:
        raise SettlementExceptionNotFoundError(field="exception_id")
    return exception_of(row), row["partner_id"], row["book"], row["terms"]


async def save_exception(
    tx: Tx,
    before: SettlementException,
    status: ExceptionStatus,
    *,
    action: str,
    reason: str,
    terms: dict[str, str],
    proposed_by: str | None,
    decided_by: str | None,
) -> SettlementException:
    """Write what people decided about a locked exception."""
    row = await tx.row(
        """UPDATE settlement_exception SET status = $2, action = $3, reason = $4, terms = $5, proposed_by = $6, decided_by = $7,
                                           version = version + 1, updated_at = $8
            WHERE id = $1 RETURNING *""",
        before.id, status, action, reason, terms, proposed_by, decided_by, tx.now,
    )  # fmt: skip
    assert row is not None, "the row is locked"
    return exception_of(row)


async def exception_page(
    tx: Tx,
    environment: Environment,
    *,
    adapter: str | None,
    status: str | None,
    kind: str | None,
    after: str,
    limit: int,
) -> list[SettlementException]:
    """Return exceptions newest first, after an id; one more than `limit` to tell whether more follow."""
    rows = await tx.rows(
        """SELECT * FROM settlement_exception
            WHERE environment = $1 AND ($2::text IS NULL OR adapter = $2) AND ($3::text IS NULL OR status = $3)
              AND ($4::text IS NULL OR kind = $4) AND ($5 = '' OR id < $5)
            ORDER BY id DESC LIMIT $6 + 1""",
        environment, adapter, status, kind, after, limit,
    )  # fmt: skip
    return [exception_of(row) for row in rows]


async def owner_of_account(tx: Tx, account_id: str, environment: Environment) -> tuple[str, int] | None:
    """Return partner and book of an account that is no system account."""
    row = await tx.row(
        """SELECT a.partner_id, p.number FROM account a JOIN partner p ON p.id = a.partner_id
            WHERE a.id = $1 AND a.environment = $2 AND a.kind <> 'system'""",
        account_id, environment,
    )  # fmt: skip
    return (row["partner_id"], book_of(row["number"], environment)) if row is not None else None


async def account_of_payment(tx: Tx, payment_id: str) -> str | None:
    """Return the account that a payment was paid to."""
    found: str | None = await tx.value("SELECT account_id FROM payment WHERE id = $1", payment_id)
    return found


async def give(tx: Tx, exception_id: str, line: str, partner_id: str, book: int) -> None:
    """Give a line of nobody, and its exception, to a partner."""
    await tx.execute(
        "UPDATE settlement_line SET partner_id = $2, book = $3, updated_at = $4 WHERE id = $1",
        line, partner_id, book, tx.now,
    )  # fmt: skip
    await tx.execute(
        "UPDATE settlement_exception SET partner_id = $2, book = $3, updated_at = $4 WHERE id = $1",
        exception_id, partner_id, book, tx.now,
    )  # fmt: skip


async def open_exceptions(tx: Tx) -> int:
    """Return how many exceptions wait for a person."""
    return int(await tx.value("SELECT count(*) FROM settlement_exception WHERE status IN ('open', 'proposed')"))


async def unsettled_sums(tx: Tx) -> dict[tuple[int, str], int]:
    """Return what operations have left on card clearing and is not settled, by book and currency."""
    rows = await tx.rows(
        """SELECT o.book, o.currency,
                  sum(CASE WHEN o.kind = 'authorize' THEN p.amount_captured WHEN o.kind = 'capture' THEN o.amount
                           ELSE -o.amount END)::bigint AS amount
             FROM payment_operation o JOIN payment p ON p.id = o.payment_id
            WHERE o.status = 'succeeded' AND (o.kind IN ('capture', 'refund', 'credit') OR (o.sale AND o.kind = 'authorize'))
              AND NOT EXISTS (SELECT FROM payment_operation v WHERE v.payment_id = o.payment_id AND v.kind = 'void'
                                 AND v.target_id = o.id AND v.status = 'succeeded')
              AND NOT EXISTS (SELECT FROM settlement_line l WHERE l.operation_id = o.id AND l.settles)
              AND NOT EXISTS (SELECT FROM settlement_exception e
                               WHERE e.operation_id = o.id AND e.kind IN ('missing_there', 'currency_differs')
                                 AND e.status = 'resolved' AND e.action IN ('write_off', 'post'))
            GROUP BY o.book, o.currency"""
    )
    return {(row["book"], row["currency"]): row["amount"] for row in rows}


async def clearing_balances(tx: Tx) -> dict[tuple[int, str], int]:
    """Return what card clearing holds, by book and currency: debits less credits."""
    owners = await tx.rows(
        """SELECT o.book, a.currency, a.id
             FROM (SELECT DISTINCT partner_id, environment, book FROM payment_operation) o
             JOIN account a ON (a.partner_id, a.environment) = (o.partner_id, o.environment)
            WHERE a.kind = 'system' AND a.name = 'card_clearing'"""
    )
    rows = await tx.rows(
        """SELECT u.book, u.currency, l.debits_posted - l.credits_posted AS amount
             FROM unnest($1::bigint[], $2::text[], $3::uuid[]) u(book, currency, id)
             JOIN ledger_account l ON l.book = u.book AND l.id = u.id""",
        [row["book"] for row in owners], [row["currency"] for row in owners],
        [number_of("acc", row["id"]) for row in owners],
    )  # fmt: skip
    return {(row["book"], row["currency"]): row["amount"] for row in rows}
