"""The rows of the ledger (see migration 0003). Ids are 128-bit integers, the largest amount and sum is 2^63-1."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final, NamedTuple

import asyncpg
from msgspec.structs import astuple

from shanraq.core.db import ContendedError, Row, Tx
from shanraq.ledger.evaluate import EXPIRY, Book, Entry, Position, expires_at
from shanraq.ledger.model import (
    Balance,
    EntryKind,
    Side,
    Standing,
    StatementEntry,
    Transfer,
    TransferFlags,
    Turnover,
)

WIDTH_BITS: Final = 63
BATCH_LIMIT: Final = 8189

_U64: Final = (1 << 64) - 1
_S63: Final = 1 << 63
_POST: Final = int(TransferFlags.POST_PENDING_TRANSFER)
_VOID: Final = int(TransferFlags.VOID_PENDING_TRANSFER)
_PENDING: Final = int(TransferFlags.PENDING)
_RESOLVING: Final = _POST | _VOID | EXPIRY

# Positions among the fields of a transfer.
_PENDING_ID, _USER_DATA_128, _USER_DATA_64 = 4, 5, 6


# ----------------------------------------------------------------------------------------------- what an evaluation needs


async def lock_accounts(
    tx: Tx, book: int, ids: Collection[int], *, alone: bool, transfers: Collection[int] = ()
) -> tuple[dict[int, Position], bool]:
    """Lock accounts in the order of their ids; return those that exist, and whether one of `transfers` is stored.

    Both are as they are now, with the locks. Shares the book with other batches, unless `alone` or an account is missing: then
    it waits for all of them.
    """
    rows = await tx.rows("SELECT * FROM ledger_lock($1, $2, $3, $4)", book, sorted(ids), alone, sorted(transfers))
    # A row without an account says that a transfer is stored.
    stored = bool(rows) and rows[-1][0] is None
    if stored:
        rows.pop()
    return {row[0]: Position(*row) for row in rows}, stored


async def share_book(tx: Tx, book: int, *, alone: bool) -> None:
    """Take the lock of the whole book, alone or beside others, until the transaction ends."""
    if alone:
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('ledger book', $1))", book)
    else:
        await tx.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('ledger book', $1))", book)


async def accounts(tx: Tx, book: int, ids: Collection[int]) -> dict[int, Position]:
    """Return the accounts that exist, without locking them."""
    rows = await tx.rows(
        """
        SELECT id, ledger, flags, "timestamp", debits_pending, debits_posted, credits_pending, credits_posted, seq,
               touched_at, NULL, code, user_data_128, user_data_64, user_data_32
          FROM ledger_account
         WHERE book = $1 AND id = ANY ($2::uuid[])
        """,
        book,
        list(ids),
    )
    found = {row[0]: Position(*row) for row in rows}
    for position in found.values():
        position.user_data_64 &= _U64
    return found


async def read_transfers(tx: Tx, book: int, ids: Collection[int]) -> dict[int, Transfer]:
    """Return the stored transfers with these ids; the expiries that the ledger wrote itself are not among them."""
    rows = await tx.rows(
        """
        SELECT t.*
          FROM unnest($2::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (
                SELECT id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
                       user_data_32, timeout_seconds, ledger, code, flags, "timestamp"
                  FROM ledger_transfer
                 WHERE book = $1 AND id = wanted.id AND flags < 65536
                 LIMIT 1
               ) t
        """,
        book,
        list(ids),
    )
    return {row[0]: _transfer_of(row) for row in rows}


async def learn_transfers(tx: Tx, book: int, ids: Collection[int], into: Book) -> None:
    """Load into a book what is stored under these ids: transfers, how they were resolved, and failures.

    One probe an id (LIMIT 1 keeps the planner from reading the table instead). To be called after the accounts are
    locked, as a statement of its own, so that it sees what the batches before this one have committed.
    """
    rows = await tx.rows(
        """
        SELECT t.*, r.flags AS resolution
          FROM unnest($2::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (
                SELECT id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
                       user_data_32, timeout_seconds, ledger, code, flags, "timestamp"
                  FROM ledger_transfer
                 WHERE book = $1 AND id = wanted.id
                 LIMIT 1
               ) t
          LEFT JOIN LATERAL (
                SELECT flags FROM ledger_transfer WHERE book = $1 AND pending_id = t.id LIMIT 1
               ) r ON true
         UNION ALL
        SELECT f.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
          FROM unnest($2::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (SELECT id FROM ledger_failed WHERE book = $1 AND id = wanted.id LIMIT 1) f
        """,
        book,
        sorted(ids),
    )
    for row in rows:
        if row[1] is None:
            into.failed.add(row[0])
            continue
        into.transfers[row[0]] = _transfer_of(row)
        if row[13] is not None:
            into.resolutions[row[0]] = row[13] & _RESOLVING


async def learn_times(tx: Tx, book: int, times: Sequence[int], into: Book) -> None:
    """Load into a book what imported events are judged by: the newest times, and which of `times` are taken."""
    row = await tx.row(
        """
        SELECT coalesce(max("timestamp"), 0), coalesce(max(touched_at) FILTER (WHERE seq > 0), 0)
          FROM ledger_account
         WHERE book = $1
        """,
        book,
    )
    assert row is not None
    into.newest_account_at, into.newest_transfer_at = row
    columns = [time for time in times if 0 < time < _S63]
    into.account_times.update(
        found[0]
        for found in await tx.rows(
            'SELECT "timestamp" FROM ledger_account WHERE book = $1 AND "timestamp" = ANY ($2::bigint[])', book, columns
        )
    )
    into.transfer_times.update(
        found[0]
        for found in await tx.rows(
            """
            SELECT "timestamp"
              FROM ledger_transfer
             WHERE book = $1 AND "timestamp" = ANY ($2::bigint[])
               AND "timestamp" BETWEEN (SELECT min(x) FROM unnest($2::bigint[]) x)
                                   AND (SELECT max(x) FROM unnest($2::bigint[]) x)
            """,
            book,
            columns,
        )
    )


# ------------------------------------------------------------------------------------------------------------------ writing


async def insert_accounts(tx: Tx, book: int, opened: Sequence[Position]) -> None:
    """Write new accounts; raise ContendedError if another transaction opened one of them meanwhile."""
    columns = zip(
        *(
            (p.id, p.ledger, p.code, p.flags, p.user_data_128, _signed(p.user_data_64), p.user_data_32, p.timestamp)
            for p in opened
        ),
        strict=True,
    )
    try:
        await tx.execute(
            """
            INSERT INTO ledger_account
                   (book, id, ledger, code, flags, user_data_128, user_data_64, user_data_32, "timestamp", touched_at)
            SELECT $1, id, ledger, code, flags, user_data_128, user_data_64, user_data_32, made_at, made_at
              FROM unnest($2::uuid[], $3::bigint[], $4::int[], $5::int[], $6::uuid[], $7::bigint[], $8::bigint[],
                          $9::bigint[])
                   AS new (id, ledger, code, flags, user_data_128, user_data_64, user_data_32, made_at)
            """,
            book,
            *columns,
        )
    except asyncpg.UniqueViolationError as error:
        raise ContendedError from error


async def insert_entries(tx: Tx, book: int, entries: Sequence[Entry], moved: Iterable[Position]) -> None:
    """Write what a batch did: its rows, and each account once, with its final balances.

    Columns that are zero in the whole batch are sent empty: `unnest` pads them, and most batches have eleven of them.
    Raises ContendedError if another transaction used one of the ids meanwhile, on other accounts.
    """
    rows = [astuple(entry.transfer) + astuple(entry)[1:] for entry in entries]
    columns: list[Sequence[object]] = [column if any(column) else () for column in zip(*rows, strict=True)]
    columns[_PENDING_ID] = [number or None for number in columns[_PENDING_ID]]
    columns[_USER_DATA_128] = [number or None for number in columns[_USER_DATA_128]]
    columns[_USER_DATA_64] = [_signed(number) for number in columns[_USER_DATA_64]]  # type: ignore[arg-type]
    after = [
        (p.place, p.flags, p.debits_pending, p.debits_posted, p.credits_pending, p.credits_posted, p.seq, p.touched_at)
        for p in moved
    ]
    try:
        written = await tx.row(
            """
            WITH moved AS (
                UPDATE ledger_account a
                   SET flags = new.flags, debits_pending = new.debits_pending, debits_posted = new.debits_posted,
                       credits_pending = new.credits_pending, credits_posted = new.credits_posted, seq = new.seq,
                       touched_at = new.touched_at
                  FROM unnest($27::tid[], $28::int[], $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[],
                              $33::bigint[], $34::bigint[])
                       AS new (place, flags, debits_pending, debits_posted, credits_pending, credits_posted, seq, touched_at)
                 WHERE a.ctid = new.place
             RETURNING 1
            ), stored AS (
                INSERT INTO ledger_transfer
                       (book, id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
                        user_data_32, timeout_seconds, ledger, code, flags, "timestamp",
                        debit_seq, debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted,
                        debit_closed,
                        credit_seq, credit_debits_pending, credit_debits_posted, credit_credits_pending,
                        credit_credits_posted, credit_closed)
                SELECT $1, id, debit_account_id, credit_account_id, coalesce(amount, 0), pending_id, user_data_128,
                       coalesce(user_data_64, 0), coalesce(user_data_32, 0), coalesce(timeout_seconds, 0), ledger, code,
                       coalesce(flags, 0), made_at,
                       debit_seq, coalesce(debit_debits_pending, 0), coalesce(debit_debits_posted, 0),
                       coalesce(debit_credits_pending, 0), coalesce(debit_credits_posted, 0),
                       coalesce(debit_closed, false),
                       credit_seq, coalesce(credit_debits_pending, 0), coalesce(credit_debits_posted, 0),
                       coalesce(credit_credits_pending, 0), coalesce(credit_credits_posted, 0),
                       coalesce(credit_closed, false)
                  FROM unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[], $7::uuid[], $8::bigint[],
                              $9::bigint[], $10::bigint[], $11::bigint[], $12::int[], $13::int[], $14::bigint[],
                              $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::boolean[],
                              $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::boolean[])
                       AS new (id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
                               user_data_32, timeout_seconds, ledger, code, flags, made_at,
                               debit_seq, debit_debits_pending, debit_debits_posted, debit_credits_pending,
                               debit_credits_posted, debit_closed,
                               credit_seq, credit_debits_pending, credit_debits_posted, credit_credits_pending,
                               credit_credits_posted, credit_closed)
             RETURNING 1
            )
            SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM stored)
            """,
            book,
            *columns,
            *zip(*after, strict=True),
        )
    except asyncpg.UniqueViolationError as error:
        raise ContendedError from error
    assert written is not None and tuple(written) == (len(after), len(entries)), "the accounts are locked"
    await _keep_holds(tx, book, entries)


async def _keep_holds(tx: Tx, book: int, entries: Sequence[Entry]) -> None:
    resolved = {entry.transfer.pending_id for entry in entries if entry.transfer.pending_id}
    held = [
        entry.transfer for entry in entries if entry.transfer.flags & _PENDING and entry.transfer.id not in resolved
    ]
    ended = resolved - {entry.transfer.id for entry in entries}
    if held:
        await tx.execute(
            "INSERT INTO ledger_hold (book, id, expires_at) SELECT $1, * FROM unnest($2::uuid[], $3::bigint[])",
            book,
            [transfer.id for transfer in held],
            [expires_at(transfer) or None for transfer in held],
        )
    if ended:
        gone = await tx.execute("DELETE FROM ledger_hold WHERE book = $1 AND id = ANY ($2::uuid[])", book, list(ended))
        assert gone == len(ended), "an open hold has a row"


async def insert_failed(tx: Tx, book: int, ids: Sequence[int], timestamp: int) -> None:
    """Burn ids."""
    await tx.execute(
        """
        INSERT INTO ledger_failed (book, id, "timestamp") SELECT $1, id, $3 FROM unnest($2::uuid[]) AS failed (id)
            ON CONFLICT DO NOTHING
        """,
        book,
        ids,
        timestamp,
    )


# --------------------------------------------------------------------------------------------------------------- reversals


async def reversal_of(tx: Tx, book: int, transfer_id: int) -> int:
    """Return the transfer that takes this one back, or 0."""
    found: int | None = await tx.value(
        "SELECT reversal_id FROM ledger_reversal WHERE book = $1 AND transfer_id = $2", book, transfer_id
    )
    return found or 0


async def insert_reversal(tx: Tx, book: int, transfer_id: int, reversal_id: int) -> None:
    """Remember which transfer takes which back; raise ContendedError if somebody else did so meanwhile."""
    try:
        await tx.execute("INSERT INTO ledger_reversal VALUES ($1, $2, $3)", book, transfer_id, reversal_id)
    except asyncpg.UniqueViolationError as error:
        raise ContendedError from error


# ----------------------------------------------------------------------------------------------------------------- reading


async def read_balances(tx: Tx, book: int, ids: Collection[int]) -> dict[int, Balance]:
    """Return the balances of the accounts that exist."""
    rows = await tx.rows(
        """
        SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, flags & 32 <> 0
          FROM ledger_account
         WHERE book = $1 AND id = ANY ($2::uuid[])
        """,
        book,
        list(ids),
    )
    return {row[0]: Balance(*row[1:]) for row in rows}


async def read_balances_at(tx: Tx, book: int, ids: Collection[int], instant: int) -> dict[int, Balance]:
    """Return the balances that the accounts had after the last entry not later than an instant."""
    rows = await tx.rows(
        """
        SELECT a.id, coalesce(e.debits_pending, 0), coalesce(e.debits_posted, 0), coalesce(e.credits_pending, 0),
               coalesce(e.credits_posted, 0),
               -- An account that was opened closed never gets an entry.
               coalesce(e.closed, a.seq = 0 AND a.flags & 32 <> 0)
          FROM ledger_account a
         CROSS JOIN LATERAL (SELECT ledger_seq_at($1, a.id, $3) AS seq OFFSET 0) AS past
          LEFT JOIN LATERAL (
                SELECT debit_debits_pending AS debits_pending, debit_debits_posted AS debits_posted,
                       debit_credits_pending AS credits_pending, debit_credits_posted AS credits_posted,
                       debit_closed AS closed
                  FROM ledger_transfer
                 WHERE book = $1 AND debit_account_id = a.id AND debit_seq = past.seq
                 UNION ALL
                SELECT credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted,
                       credit_closed
                  FROM ledger_transfer
                 WHERE book = $1 AND credit_account_id = a.id AND credit_seq = past.seq
               ) e ON true
         WHERE a.book = $1 AND a.id = ANY ($2::uuid[])
        """,
        book,
        list(ids),
        instant,
    )
    return {row[0]: Balance(*row[1:]) for row in rows}


async def read_statement(
    tx: Tx, book: int, account_id: int, since: int | None, until: int | None, after_seq: int, limit: int
) -> list[StatementEntry]:
    """Return entries of an account in order: `since` <= time < `until`, sequence numbers above `after_seq`."""
    rows = await tx.rows(
        """
        WITH span AS MATERIALIZED (
            SELECT greatest($5::bigint, CASE WHEN $3::bigint IS NULL THEN 0 ELSE ledger_seq_at($1, $2, $3 - 1) END) AS low,
                   CASE WHEN $4::bigint IS NULL THEN 9223372036854775807 ELSE ledger_seq_at($1, $2, $4 - 1) END AS high
        )
        SELECT * FROM (
            (SELECT debit_seq AS seq, "timestamp", flags, true AS debit, id, pending_id,
                    credit_account_id AS other, amount, code, user_data_128,
                    debit_debits_pending, debit_debits_posted, debit_credits_pending, debit_credits_posted, debit_closed
               FROM ledger_transfer
              WHERE book = $1 AND debit_account_id = $2
                AND debit_seq > (SELECT low FROM span) AND debit_seq <= (SELECT high FROM span)
              ORDER BY debit_seq
              LIMIT $6)
             UNION ALL
            (SELECT credit_seq, "timestamp", flags, false, id, pending_id,
                    debit_account_id, amount, code, user_data_128,
                    credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted,
                    credit_closed
               FROM ledger_transfer
              WHERE book = $1 AND credit_account_id = $2
                AND credit_seq > (SELECT low FROM span) AND credit_seq <= (SELECT high FROM span)
              ORDER BY credit_seq
              LIMIT $6)
        ) AS entry
        ORDER BY seq
        LIMIT $6
        """,
        book,
        account_id,
        since,
        until,
        after_seq,
        limit,
    )
    return [_statement_entry_of(row) for row in rows]


async def read_standing(tx: Tx, book: int, account_id: int, instant: int | None) -> Standing | None:
    """Return how an account stands now, or stood after its last entry not later than an instant; None if there is none."""
    if instant is None:
        row = await tx.row(
            """
            SELECT seq, debits_pending, debits_posted, credits_pending, credits_posted, flags & 32 <> 0
              FROM ledger_account
             WHERE book = $1 AND id = $2
            """,
            book,
            account_id,
        )
        return None if row is None else Standing(row[0], Balance(*row[1:]))
    found = (await read_balances_at(tx, book, [account_id], instant)).get(account_id)
    if found is None:
        return None
    return Standing(await tx.value("SELECT ledger_seq_at($1, $2, $3)", book, account_id, instant), found)


async def read_turnover(tx: Tx, book: int, account_id: int, after_seq: int, up_to_seq: int) -> Turnover:
    """Count and sum the entries of a span that moved or posted something."""
    row = await tx.row(
        """
        SELECT d.number, d.sum, c.number, c.sum
          FROM (SELECT count(*) AS number, coalesce(sum(amount), 0)::text AS sum FROM ledger_transfer
                 WHERE book = $1 AND debit_account_id = $2 AND debit_seq > $3 AND debit_seq <= $4
                   AND flags & (2 | 8 | 65536) = 0) d,
               (SELECT count(*) AS number, coalesce(sum(amount), 0)::text AS sum FROM ledger_transfer
                 WHERE book = $1 AND credit_account_id = $2 AND credit_seq > $3 AND credit_seq <= $4
                   AND flags & (2 | 8 | 65536) = 0) c
        """,
        book,
        account_id,
        after_seq,
        up_to_seq,
    )
    assert row is not None
    return Turnover(row[0], int(row[1]), row[2], int(row[3]))


async def raise_touched_at(tx: Tx, book: int, account_id: int, instant: int) -> bool:
    """Date an account's later entries after an instant; False if there is no such account."""
    touched: int | None = await tx.value(
        "SELECT touched_at FROM ledger_account WHERE book = $1 AND id = $2", book, account_id
    )
    if touched is not None and touched < instant:
        await tx.execute(
            """
            UPDATE ledger_account SET touched_at = greatest(touched_at, $3) WHERE book = $1 AND id = $2
            """,
            book,
            account_id,
            instant,
        )
    return touched is not None


async def read_grown(tx: Tx, seen: Sequence[tuple[int, int, int]]) -> list[bool]:
    """Tell for each (book, account, sequence number) whether the account has entries after it."""
    books, ids, seqs = zip(*seen, strict=True) if seen else ((), (), ())
    rows = await tx.rows(
        """
        SELECT coalesce((SELECT a.seq FROM ledger_account a WHERE a.book = w.book AND a.id = w.id), 0) > w.seq
          FROM unnest($1::bigint[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS w (book, id, seq, n)
         ORDER BY w.n
        """,
        books,
        ids,
        seqs,
    )
    return [row[0] for row in rows]


async def read_transfers_about(
    tx: Tx, book: int, user_data_128: int, after_timestamp: int, limit: int
) -> list[Transfer]:
    """Return the transfers that carry this user data, oldest first."""
    rows = await tx.rows(
        """
        SELECT id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
               user_data_32, timeout_seconds, ledger, code, flags, "timestamp"
          FROM ledger_transfer
         WHERE book = $1 AND user_data_128 = $2 AND "timestamp" > $3 AND flags < 65536
         ORDER BY "timestamp", id
         LIMIT $4
        """,
        book,
        user_data_128,
        after_timestamp,
        limit,
    )
    return [_transfer_of(row) for row in rows]


async def all_balances(tx: Tx, book: int) -> dict[int, Balance]:
    """Return the balances of every account of a (small) book."""
    rows = await tx.rows(
        """
        SELECT id, debits_pending, debits_posted, credits_pending, credits_posted, flags & 32 <> 0
          FROM ledger_account
         WHERE book = $1
        """,
        book,
    )
    return {row[0]: Balance(*row[1:]) for row in rows}


async def all_transfers(tx: Tx, book: int) -> list[Transfer]:
    """Return every transfer of a (small) book in order of commit."""
    rows = await tx.rows(
        """
        SELECT id, debit_account_id, credit_account_id, amount, pending_id, user_data_128, user_data_64,
               user_data_32, timeout_seconds, ledger, code, flags, "timestamp"
          FROM ledger_transfer
         WHERE book = $1 AND flags < 65536
         ORDER BY "timestamp"
        """,
        book,
    )
    return [_transfer_of(row) for row in rows]


async def due_holds(tx: Tx, book: int, now: int, limit: int) -> dict[int, list[int]]:
    """Return by book the ids of open holds whose time has passed, the oldest first; book 0 stands for all books."""
    rows = await tx.rows(
        """
        SELECT book, id
          FROM ledger_hold
         WHERE expires_at <= $1 AND ($2::bigint = 0 OR book = $2)
         ORDER BY expires_at
         LIMIT $3
        """,
        now,
        book,
        limit,
    )
    due: dict[int, list[int]] = {}
    for row in rows:
        due.setdefault(row[0], []).append(row[1])
    return due


# ------------------------------------------------------------------------------------------------------------ verification


class Checked(NamedTuple):
    """One entry of an account as the verification reads it, with what it claims."""

    seq: int
    timestamp: int
    flags: int
    debit: bool
    transfer_id: int
    amount: int
    held_amount: int | None
    held_flags: int | None
    open_hold: bool
    resolved: bool
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    closed: bool


async def account_page(tx: Tx, book: int, after: tuple[int, int], limit: int) -> list[tuple[int, Position]]:
    """Return the next accounts by (book, id), with their book; book 0 stands for all books."""
    rows = await tx.rows(
        """
        SELECT id, ledger, flags, "timestamp", debits_pending, debits_posted, credits_pending, credits_posted, seq, book
          FROM ledger_account
         WHERE (book, id) > ($2, $3) AND ($1::bigint = 0 OR book = $1)
         ORDER BY book, id
         LIMIT $4
        """,
        book,
        *after,
        limit,
    )
    return [(row[9], Position(*row[:9])) for row in rows]


async def entries_of(tx: Tx, book: int, account_id: int, last_seq: int) -> AsyncIterator[Checked]:
    """Yield all entries of an account up to one, in order, a piece at a time."""
    async for row in tx.cursor(
        """
        SELECT e.seq, e."timestamp", e.flags, e.debit, e.id, e.amount, held.amount, held.flags,
               EXISTS (SELECT FROM ledger_hold h WHERE h.book = $1 AND h.id = e.id),
               EXISTS (SELECT FROM ledger_transfer r WHERE r.book = $1 AND r.pending_id = e.id),
               e.debits_pending, e.debits_posted, e.credits_pending, e.credits_posted, e.closed
          FROM (
                SELECT debit_seq AS seq, "timestamp", flags, true AS debit, id, amount, pending_id,
                       debit_debits_pending AS debits_pending, debit_debits_posted AS debits_posted,
                       debit_credits_pending AS credits_pending, debit_credits_posted AS credits_posted,
                       debit_closed AS closed
                  FROM ledger_transfer
                 WHERE book = $1 AND debit_account_id = $2 AND debit_seq <= $3
                 UNION ALL
                SELECT credit_seq, "timestamp", flags, false, id, amount, pending_id,
                       credit_debits_pending, credit_debits_posted, credit_credits_pending, credit_credits_posted,
                       credit_closed
                  FROM ledger_transfer
                 WHERE book = $1 AND credit_account_id = $2 AND credit_seq <= $3
               ) e
          LEFT JOIN ledger_transfer held ON held.book = $1 AND held.id = e.pending_id
         ORDER BY e.seq
        """,
        book,
        account_id,
        last_seq,
    ):
        yield Checked(*row)


async def ledger_sums(tx: Tx, book: int) -> list[tuple[int, int, int, int, int, int]]:
    """Return (book, ledger, debits pending, credits pending, debits posted, credits posted) over all accounts."""
    rows = await tx.rows(
        """
        SELECT book, ledger, sum(debits_pending)::text, sum(credits_pending)::text,
               sum(debits_posted)::text, sum(credits_posted)::text
          FROM ledger_account
         WHERE $1::bigint = 0 OR book = $1
         GROUP BY book, ledger
         ORDER BY book, ledger
        """,
        book,
    )
    return [(row[0], row[1], int(row[2]), int(row[3]), int(row[4]), int(row[5])) for row in rows]


async def orphan_holds(tx: Tx, book: int, limit: int) -> list[tuple[int, int]]:
    """Return (book, id) of open holds that no pending transfer stands behind."""
    rows = await tx.rows(
        """
        SELECT h.book, h.id
          FROM ledger_hold h
          LEFT JOIN ledger_transfer t ON t.book = h.book AND t.id = h.id AND t.flags & 2 <> 0
         WHERE t.id IS NULL AND ($1::bigint = 0 OR h.book = $1)
         LIMIT $2
        """,
        book,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


async def orphan_entries(tx: Tx, book: int, limit: int) -> list[tuple[int, int]]:
    """Return (book, id) of transfers on an account that does not exist."""
    rows = await tx.rows(
        """
        SELECT t.book, t.id
          FROM ledger_transfer t
          LEFT JOIN ledger_account d ON d.book = t.book AND d.id = t.debit_account_id
          LEFT JOIN ledger_account c ON c.book = t.book AND c.id = t.credit_account_id
         WHERE (d.id IS NULL OR c.id IS NULL) AND ($1::bigint = 0 OR t.book = $1)
         LIMIT $2
        """,
        book,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


# ------------------------------------------------------------------------------------------------------------------ codecs


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= _S63 else number


def _transfer_of(row: Row) -> Transfer:
    values = list(row[:13])
    values[4] = values[4] or 0
    values[5] = values[5] or 0
    values[6] &= _U64
    return Transfer(*values)


def _statement_entry_of(row: Row) -> StatementEntry:
    flags: int = row["flags"]
    return StatementEntry(
        row["seq"],
        row["timestamp"],
        kind_of(flags),
        Side.DEBIT if row["debit"] else Side.CREDIT,
        row["id"],
        row["pending_id"] or 0,
        row["other"],
        row["amount"],
        row["code"],
        row["user_data_128"] or 0,
        Balance(*row[10:15]),
    )


def kind_of(flags: int) -> EntryKind:
    """Return what a stored transfer did."""
    if flags & EXPIRY:
        return EntryKind.EXPIRED
    if flags & _VOID:
        return EntryKind.VOIDED
    if flags & _POST:
        return EntryKind.POSTED
    if flags & _PENDING:
        return EntryKind.HELD
    return EntryKind.MOVED
