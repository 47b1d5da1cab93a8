"""The outbox: events are written with the fact, in its transaction, and read in the order the sequencer gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import new_id
from shanraq.events.catalog import CATALOG
from shanraq.events.model import Event, Numbered, Stamped

_SEQUENCER_LOCK: Final = 0x5348_414E_5345_5131  # SHANSEQ1

_encoder = msgspec.json.Encoder()


def emit(tx: Tx, event: Event, *, request_id: str | None = None) -> str:
    """Write an event with this transaction and return its id: it exists if and only if the transaction commits.

    `request_id` is the actor's unless the transaction serves several requests at once.
    """
    assert event.type in CATALOG, f"{event.type} is not in the catalogue"
    version = CATALOG[event.type].version
    request = tx.actor.request_id if request_id is None else request_id
    event_id = new_id("evt")
    tx.defer(_write, (event_id, event.type, version, event.subject, _encoder.encode(event.data), request))
    return event_id


async def _write(tx: Tx, events: Sequence[tuple[str, str, int, str, bytes, str]]) -> None:
    partner_id, environment = tx.actor.scope
    tx.write(
        """INSERT INTO event_outbox (event_id, partner_id, environment, type, version, subject, occurred_at, data, request_id)
           SELECT u.event_id, $1, $2, u.type, u.version, u.subject, $3, u.data, u.request_id
             FROM unnest($4::text[], $5::text[], $6::int[], $7::text[], $8::bytea[], $9::text[])
                  WITH ORDINALITY u(event_id, type, version, subject, data, request_id, n)
            ORDER BY n""",
        partner_id,
        environment,
        tx.now,
        *(list(column) for column in zip(*events, strict=True)),
    )


async def stamp(tx: Tx, *, limit: int = 1000) -> list[Numbered]:
    """Number committed events, in outbox order; only one transaction at a time does it, others get an empty list.

    Called as the system. A cursor over the identity column would lose events that commit late; `seq` is given after commit
    and in commit order, so a reader that goes on after the last `seq` it saw misses nothing.
    """
    # In this transaction rows are found by plain index scans: they skip entries of rows stamped before, which a bitmap scan
    # (the choice of a planner without statistics) reads again every time until the next vacuum.
    if not await tx.value(
        """SELECT pg_try_advisory_xact_lock($1), set_config('enable_bitmapscan', 'off', true),
                  set_config('enable_seqscan', 'off', true)""",
        _SEQUENCER_LOCK,
    ):
        return []
    # Nobody else changes a row of the outbox, so a row stays where it was seen (ctid) until it is stamped here.
    rows = await tx.rows(
        """WITH fresh AS (
               SELECT ctid AS place, id, partner_id, environment FROM event_outbox WHERE seq IS NULL ORDER BY id LIMIT $1
           ), counted AS (
               SELECT partner_id, environment, count(*) AS n FROM fresh GROUP BY partner_id, environment
           ), moved AS (
               INSERT INTO partner_stream AS s (partner_id, environment, last_seq)
               SELECT partner_id, environment, n FROM counted
               ON CONFLICT (partner_id, environment) DO UPDATE SET last_seq = s.last_seq + excluded.last_seq
               RETURNING partner_id, environment, last_seq
           ), numbered AS (
               SELECT f.place, nextval('event_seq') AS seq,
                      m.last_seq - c.n + row_number() OVER (PARTITION BY f.partner_id, f.environment ORDER BY f.id)
                          AS partner_seq
                 FROM (SELECT * FROM fresh ORDER BY id) f
                 JOIN counted c USING (partner_id, environment) JOIN moved m USING (partner_id, environment)
                ORDER BY f.id
           )
           UPDATE event_outbox e SET seq = n.seq, partner_seq = n.partner_seq FROM numbered n WHERE e.ctid = n.place
           RETURNING e.seq, e.partner_seq, e.partner_id, e.environment, e.type""",
        limit,
    )
    return sorted(Numbered(*row) for row in rows)


async def read(tx: Tx, *, after: int, types: Sequence[str] = (), limit: int = 100) -> list[Stamped]:
    """Return the partner's events with `partner_seq` above `after`, in order; `types` empty means all."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM event_outbox
            WHERE partner_id = $1 AND environment = $2 AND partner_seq > $3 AND (cardinality($4::text[]) = 0 OR type = ANY($4))
            ORDER BY partner_seq LIMIT $5""",
        partner_id, environment, after, list(types), limit,
    )  # fmt: skip
    return [stamped_of(row) for row in rows]


async def find(tx: Tx, event_id: str) -> Stamped | None:
    """Return one stamped event of the partner, or None."""
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT * FROM event_outbox
            WHERE event_id = $3 AND partner_id = $1 AND environment = $2 AND partner_seq IS NOT NULL""",
        partner_id, environment, event_id,
    )  # fmt: skip
    return stamped_of(row) if row is not None else None


async def load(tx: Tx, seqs: Sequence[int]) -> dict[int, Stamped]:
    """Return stamped events by their `seq`, of every partner the transaction may see."""
    rows = await tx.rows("SELECT * FROM event_outbox WHERE seq = ANY($1)", list(seqs))
    return {row["seq"]: stamped_of(row) for row in rows}


async def unstamped(tx: Tx) -> int:
    """Return how many committed events wait for their number."""
    return int(await tx.value("SELECT count(*) FROM event_outbox WHERE seq IS NULL"))


def stamped_of(row: Row) -> Stamped:
    """Read a stamped row of event_outbox."""
    return Stamped(
        seq=row["seq"], partner_seq=row["partner_seq"], event_id=row["event_id"], partner_id=row["partner_id"],
        environment=Environment(row["environment"]), type=row["type"], version=row["version"], subject=row["subject"],
        occurred_at=row["occurred_at"], data=row["data"], request_id=row["request_id"],
    )  # fmt: skip
