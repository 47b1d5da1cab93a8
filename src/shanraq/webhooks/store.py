"""The SQL of webhooks. Locks are taken in one order everywhere: endpoint, lane, delivery, result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from shanraq.core.actor import Environment
from shanraq.core.db import Row, Tx
from shanraq.core.ids import number_of
from shanraq.events import Numbered, Stamped
from shanraq.webhooks.errors import EndpointNotFoundError, EndpointVersionError
from shanraq.webhooks.matching import PING, is_sensitive, patterns_of
from shanraq.webhooks.model import (
    PREFIX,
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Trigger,
    message_id,
    subject_of,
)
from shanraq.webhooks.outcome import Claimed, Lane, Outcome, Pulse
from shanraq.webhooks.retry import JITTER
from shanraq.webhooks.signing import SecretKind

# Endpoints and their secrets.


def endpoint_of(row: Row) -> Endpoint:
    """Read a row of webhook_endpoint."""
    return Endpoint(
        id=row["id"], url=row["url"], description=row["description"], state=EndpointState(row["state"]),
        disabled_reason=row["disabled_reason"], event_types=tuple(row["event_types"]),
        include_sensitive=row["include_sensitive"], header_names=tuple(row["header_names"]), metadata=row["metadata"],
        timeout_ms=row["timeout_ms"], retry_schedule=tuple(row["retry_schedule"]), version=row["version"],
        created_at=row["created_at"], updated_at=row["updated_at"],
    )  # fmt: skip


async def insert(tx: Tx, endpoint: Endpoint, sealed_headers: bytes | None) -> None:
    """Write a new endpoint and its lane."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO webhook_endpoint (id, partner_id, environment, url, description, state, event_types,
                                         include_sensitive, header_names, sealed_headers, metadata, timeout_ms,
                                         retry_schedule, version, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15)""",
        endpoint.id, partner_id, environment, endpoint.url, endpoint.description, endpoint.state, endpoint.event_types,
        endpoint.include_sensitive, endpoint.header_names, sealed_headers, endpoint.metadata, endpoint.timeout_ms,
        endpoint.retry_schedule, endpoint.version, endpoint.created_at,
    )  # fmt: skip
    await tx.execute(
        "INSERT INTO webhook_lane (endpoint_id, partner_id, environment) VALUES ($1, $2, $3)",
        endpoint.id, partner_id, environment,
    )  # fmt: skip


async def count(tx: Tx) -> int:
    """Return how many endpoints the partner has."""
    partner_id, environment = tx.actor.scope
    return int(
        await tx.value(
            "SELECT count(*) FROM webhook_endpoint WHERE partner_id = $1 AND environment = $2 AND state <> 'deleted'",
            partner_id, environment,
        )
    )  # fmt: skip


async def load(tx: Tx, endpoint_id: str, *, lock: bool = False, share: bool = False) -> Endpoint:
    """Return one endpoint of the partner, locked for a change or against one if asked; raise EndpointNotFoundError."""
    number_of(PREFIX, endpoint_id, field="endpoint_id")
    partner_id, environment = tx.actor.scope
    row = await tx.row(
        """SELECT * FROM webhook_endpoint
            WHERE id = $1 AND partner_id = $2 AND environment = $3 AND state <> 'deleted' FOR NO KEY UPDATE"""
        if lock
        else """SELECT * FROM webhook_endpoint
            WHERE id = $1 AND partner_id = $2 AND environment = $3 AND state <> 'deleted' FOR SHARE"""
        if share
        else """SELECT * FROM webhook_endpoint
            WHERE id = $1 AND partner_id = $2 AND environment = $3 AND state <> 'deleted'""",
        endpoint_id, partner_id, environment,
    )  # fmt: skip
    if row is None:
        raise EndpointNotFoundError(field="endpoint_id")
    return endpoint_of(row)


async def page(tx: Tx, *, after: str, limit: int) -> list[Endpoint]:
    """Return endpoints newest first, after an id; one more than `limit` to tell whether more follow."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM webhook_endpoint
            WHERE partner_id = $1 AND environment = $2 AND state <> 'deleted' AND ($3 = '' OR id < $3)
            ORDER BY id DESC LIMIT $4 + 1""",
        partner_id, environment, after, limit,
    )  # fmt: skip
    return [endpoint_of(row) for row in rows]


async def save(tx: Tx, before: Endpoint, after: Endpoint) -> Endpoint:
    """Write a changed endpoint as the next version; raise EndpointVersionError if it was changed since `before`."""
    saved = msgspec.structs.replace(after, version=before.version + 1, updated_at=tx.now)
    written = await tx.execute(
        """UPDATE webhook_endpoint
              SET url = $3, description = $4, state = $5, disabled_reason = $6, event_types = $7, include_sensitive = $8,
                  header_names = $9, metadata = $10, timeout_ms = $11, retry_schedule = $12, version = $13,
                  updated_at = $14, sealed_headers = CASE WHEN $5 = 'deleted' THEN NULL ELSE sealed_headers END
            WHERE id = $1 AND version = $2""",
        before.id, before.version, saved.url, saved.description, saved.state, saved.disabled_reason, saved.event_types,
        saved.include_sensitive, saved.header_names, saved.metadata, saved.timeout_ms, saved.retry_schedule,
        saved.version, saved.updated_at,
    )  # fmt: skip
    if written != 1:
        raise EndpointVersionError(field="version")
    return saved


async def save_headers(tx: Tx, endpoint_id: str, sealed_headers: bytes | None) -> None:
    """Replace the sealed headers of an endpoint."""
    await tx.execute("UPDATE webhook_endpoint SET sealed_headers = $2 WHERE id = $1", endpoint_id, sealed_headers)


async def insert_secret(
    tx: Tx, endpoint_id: str, kind: SecretKind, sealed: bytes, not_before: datetime, secret_id: str
) -> None:
    """Write a new secret."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """INSERT INTO webhook_secret (id, endpoint_id, partner_id, environment, kind, sealed, not_before, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)""",
        secret_id, endpoint_id, partner_id, environment, kind, sealed, not_before, tx.now,
    )  # fmt: skip


async def secrets(tx: Tx, endpoint_ids: Sequence[str]) -> list[Row]:
    """Return the secrets of endpoints that may still sign, newest first."""
    return await tx.rows(
        """SELECT id, endpoint_id, kind, sealed, not_before, expires_at, created_at FROM webhook_secret
            WHERE endpoint_id = ANY($1) AND (expires_at IS NULL OR expires_at > $2) ORDER BY not_before DESC, id DESC""",
        list(endpoint_ids), tx.now,
    )  # fmt: skip


async def expire_secrets(tx: Tx, endpoint_id: str, kind: SecretKind, at: datetime) -> None:
    """Let the present secrets of a kind sign no longer than until `at`, and forget those that ran out."""
    await tx.execute(
        """UPDATE webhook_secret SET expires_at = $3
            WHERE endpoint_id = $1 AND kind = $2 AND (expires_at IS NULL OR expires_at > $3)""",
        endpoint_id, kind, at,
    )  # fmt: skip
    await tx.execute("DELETE FROM webhook_secret WHERE endpoint_id = $1 AND expires_at < $2", endpoint_id, tx.now)


async def delete_secrets(tx: Tx, endpoint_id: str) -> None:
    """Forget every secret of an endpoint."""
    await tx.execute("DELETE FROM webhook_secret WHERE endpoint_id = $1", endpoint_id)


# Lanes: halting, waking, and what becomes of the queue.


async def halt(tx: Tx, endpoint_id: str) -> None:
    """Stop a lane: what is under way ends, nothing new begins."""
    await tx.execute("UPDATE webhook_lane SET halted = true, due_at = NULL WHERE endpoint_id = $1", endpoint_id)


async def wake(tx: Tx, endpoint_id: str, *, enqueued: int = 0) -> None:
    """Let a lane run at once, with its breaker closed; a halted lane only counts what was enqueued."""
    await tx.execute(
        """UPDATE webhook_lane SET due_at = CASE WHEN halted THEN NULL ELSE least(due_at, $2) END, gen = gen + 1,
                  enqueued = enqueued + $3, failures = 0, breaker_trips = 0, breaker_until = NULL
            WHERE endpoint_id = $1""",
        endpoint_id, tx.now, enqueued,
    )  # fmt: skip


async def unhalt(tx: Tx, endpoint_id: str) -> None:
    """Undo `halt`; the lane still has to be woken."""
    await tx.execute("UPDATE webhook_lane SET halted = false WHERE endpoint_id = $1", endpoint_id)


async def drop_queue(tx: Tx, endpoint_id: str, state: DeliveryState) -> int:
    """Give every live delivery of an endpoint a final state; return how many."""
    return await tx.execute(
        """WITH dropped AS (DELETE FROM webhook_delivery WHERE endpoint_id = $1 RETURNING *)
           INSERT INTO webhook_result (endpoint_id, event_seq, event_id, partner_id, environment, state, attempts,
                                       first_at, last_at)
           SELECT endpoint_id, event_seq, event_id, partner_id, environment, $2, attempts, first_at, $3 FROM dropped""",
        endpoint_id, state, tx.now,
    )  # fmt: skip


async def enqueue(tx: Tx, numbered: Sequence[Numbered]) -> int:
    """Fan events out to the lanes of their partner's endpoints, in one statement; return how many lanes were woken.

    They are all events between the first and the last, in order, as one round of the sequencer numbers them. The endpoints are
    locked against change, so one that is deleted meanwhile either cancels what is written here or is not matched. Every wake-up
    raises the lane's `gen`.
    """
    types = sorted({event.type for event in numbered})
    owners = sorted({(event.partner_id, event.environment) for event in numbered})
    return await tx.execute(
        """WITH event AS (
               SELECT o.seq, o.event_id, o.partner_id, o.environment, o.type, o.subject, kind.patterns, kind.sensitive
                 FROM event_outbox o
                 JOIN unnest($4::text[], $5::text[], $6::boolean[]) AS kind (type, patterns, sensitive) USING (type)
                WHERE o.seq BETWEEN $2 AND $3
           ), endpoint AS MATERIALIZED (
               SELECT p.* FROM webhook_endpoint p
                WHERE (p.partner_id, p.environment) IN (SELECT * FROM unnest($7::text[], $8::text[]))
                  AND p.state <> 'deleted'
                ORDER BY p.id FOR SHARE OF p
           ), matched AS (
               SELECT e.seq, e.event_id, p.id AS endpoint_id, p.partner_id, p.environment, p.state,
                      CASE e.type WHEN $9 THEN 'test' ELSE 'scheduled' END AS trigger,
                      $1::timestamptz + make_interval(secs => CASE e.type WHEN $9 THEN 0 ELSE p.retry_schedule[1] END
                                                 * ($10::float8 + ($11::float8 - $10::float8) * random())) AS due_at
                 FROM event e JOIN endpoint p USING (partner_id, environment)
                WHERE CASE e.type WHEN $9 THEN e.subject = $12 || p.id
                      ELSE (p.include_sensitive OR NOT e.sensitive)
                           AND p.event_types && string_to_array(e.patterns, ' ') END
           ), skipped AS (
               INSERT INTO webhook_result (endpoint_id, event_seq, event_id, partner_id, environment, state, attempts, last_at)
               SELECT endpoint_id, seq, event_id, partner_id, environment, 'skipped', 0, $1
                 FROM matched WHERE state = 'disabled'
           ), queued AS (
               INSERT INTO webhook_delivery (endpoint_id, event_seq, event_id, partner_id, environment, trigger, due_at)
               SELECT endpoint_id, seq, event_id, partner_id, environment, trigger, due_at
                 FROM matched WHERE state <> 'disabled' ORDER BY endpoint_id, seq
           ), touched AS (
               SELECT endpoint_id, count(*) AS enqueued, min(due_at) AS due_at FROM matched GROUP BY endpoint_id
           ), lane AS MATERIALIZED (
               SELECT l.endpoint_id FROM webhook_lane l WHERE l.endpoint_id IN (SELECT endpoint_id FROM touched)
                ORDER BY l.endpoint_id FOR NO KEY UPDATE OF l
           )
           UPDATE webhook_lane l
              SET gen = l.gen + 1, enqueued = l.enqueued + t.enqueued,
                  due_at = CASE WHEN l.halted THEN NULL ELSE least(l.due_at, greatest(t.due_at, l.breaker_until)) END
             FROM touched t JOIN lane USING (endpoint_id) WHERE l.endpoint_id = t.endpoint_id""",
        tx.now,
        numbered[0].seq,
        numbered[-1].seq,
        types,
        [" ".join(patterns_of(name)) for name in types],
        [is_sensitive(name) for name in types],
        [partner_id for partner_id, _ in owners],
        [environment for _, environment in owners],
        PING,
        *JITTER,
        subject_of(""),
    )


async def claim(tx: Tx, *, lanes: int, deliveries: int, lease_margin: timedelta) -> list[Lane]:
    """Take up to `lanes` lanes that are due and free, each with up to `deliveries` due deliveries, under a lease.

    The lease is the endpoint's timeout and the margin; its token fences off whoever held the lane before. A lane whose
    breaker has tripped gives one delivery, to see whether the receiver is back.
    """
    rows = await tx.rows(
        """WITH due AS (
               SELECT endpoint_id FROM webhook_lane WHERE due_at <= $1 AND lease_until <= $1
                ORDER BY due_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
           )
           UPDATE webhook_lane l
              SET lease_until = $1::timestamptz + make_interval(secs => p.timeout_ms / 1000.0) + $3::interval,
                  lease_token = gen_random_uuid()
             FROM due JOIN webhook_endpoint p ON p.id = due.endpoint_id
            WHERE l.endpoint_id = due.endpoint_id
           RETURNING l.endpoint_id, l.partner_id, l.environment, l.lease_token, l.gen, l.failures, l.breaker_trips,
                     p.version, p.url, p.timeout_ms, p.retry_schedule, p.max_in_flight, p.sealed_headers""",
        tx.now, lanes, lease_margin,
    )  # fmt: skip
    if not rows:
        return []
    claimed = await tx.rows(
        """SELECT d.* FROM unnest($2::text[], $3::int[]) AS l(endpoint_id, most)
            CROSS JOIN LATERAL (
                SELECT x.endpoint_id, x.event_seq, x.event_id, x.attempts, x.step, x.trigger FROM webhook_delivery x
                 WHERE x.endpoint_id = l.endpoint_id AND x.due_at <= $1 ORDER BY x.due_at, x.event_seq LIMIT l.most) d""",
        tx.now,
        [row["endpoint_id"] for row in rows],
        [1 if row["breaker_trips"] else deliveries for row in rows],
    )
    queues: dict[str, list[Claimed]] = {row["endpoint_id"]: [] for row in rows}
    for row in claimed:
        queues[row["endpoint_id"]].append(
            Claimed(row["event_seq"], row["event_id"], row["attempts"], row["step"], Trigger(row["trigger"]))
        )
    return [
        Lane(
            endpoint_id=row["endpoint_id"], partner_id=row["partner_id"], environment=Environment(row["environment"]),
            token=row["lease_token"], gen=row["gen"], claimed_at=tx.now, failures=row["failures"],
            breaker_trips=row["breaker_trips"], version=row["version"], url=row["url"],
            timeout_seconds=row["timeout_ms"] / 1000, retry_schedule=tuple(row["retry_schedule"]),
            max_in_flight=row["max_in_flight"], sealed_headers=row["sealed_headers"],
            deliveries=tuple(queues[row["endpoint_id"]]),
        )
        for row in rows
    ]  # fmt: skip


async def lock_endpoints(tx: Tx, endpoint_ids: Sequence[str]) -> list[Endpoint]:
    """Lock endpoints for a change, in order; deleted ones are left out."""
    rows = await tx.rows(
        """SELECT * FROM webhook_endpoint WHERE id = ANY($1) AND state <> 'deleted' ORDER BY id FOR NO KEY UPDATE""",
        sorted(endpoint_ids),
    )
    return [endpoint_of(row) for row in rows]


async def plan_anew(tx: Tx) -> None:
    """Let this transaction plan its statements for the tables as they are, not as they were when a connection began.

    A plan kept from a time when a queue was empty reads it row by row when it is full.
    """
    await tx.execute("SET LOCAL plan_cache_mode = force_custom_plan")


async def hold(tx: Tx, lanes: Sequence[Lane]) -> set[str]:
    """Lock the lanes whose lease is still theirs, in order; return their endpoints.

    A statement of its own: what the one after it reads is then as whoever held the lane before has left it.
    """
    rows = await tx.rows(
        """SELECT l.endpoint_id
             FROM webhook_lane l JOIN unnest($1::text[], $2::uuid[]) AS x(endpoint_id, token)
                  ON l.endpoint_id = x.endpoint_id AND l.lease_token = x.token
            ORDER BY l.endpoint_id FOR NO KEY UPDATE OF l""",
        [lane.endpoint_id for lane in lanes],
        [lane.token for lane in lanes],
    )
    return {row["endpoint_id"] for row in rows}


async def acknowledge(tx: Tx, outcomes: Sequence[tuple[Lane, Outcome]]) -> None:
    """Write attempts and next states of lanes that are held, in one statement: no attempt is counted and not logged.

    A delivery that was canceled or skipped while it was under way keeps that state, unless the receiver has accepted it.
    """
    rows = [
        (
            lane.endpoint_id, lane.partner_id, lane.environment, outcome.delivery.event_seq, outcome.delivery.event_id,
            outcome.delivery.trigger, outcome.state, outcome.due_at, outcome.attempt.id, outcome.attempt.number,
            outcome.attempt.at, outcome.attempt.status_code, outcome.attempt.error_code, outcome.attempt.dns_us,
            outcome.attempt.connect_us, outcome.attempt.tls_us, outcome.attempt.first_byte_us, outcome.attempt.total_us,
            outcome.attempt.remote_address, outcome.attempt.request_headers, outcome.attempt.response_headers,
            outcome.attempt.response_body, outcome.attempt.truncated,
        )
        for lane, outcome in outcomes
    ]  # fmt: skip
    await tx.execute(
        """WITH answer AS MATERIALIZED (
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                                    $8::timestamptz[], $9::text[], $10::int[], $11::timestamptz[], $12::smallint[],
                                    $13::text[], $14::int[], $15::int[], $16::int[], $17::int[], $18::int[], $19::text[],
                                    $20::bytea[], $21::bytea[], $22::bytea[], $23::boolean[])
                      AS a(endpoint_id, partner_id, environment, event_seq, event_id, trigger, state, due_at, id, number,
                           at, status_code, error_code, dns_us, connect_us, tls_us, first_byte_us, total_us,
                           remote_address, request_headers, response_headers, response_body, truncated)
           ), logged AS (
               INSERT INTO webhook_attempt (id, endpoint_id, event_seq, event_id, partner_id, environment, number, trigger,
                                            at, status_code, error_code, dns_us, connect_us, tls_us, first_byte_us,
                                            total_us, remote_address, request_headers, response_headers,
                                            response_body, truncated)
               SELECT id, endpoint_id, event_seq, event_id, partner_id, environment, number, trigger, at, status_code,
                      error_code, dns_us, connect_us, tls_us, first_byte_us, total_us, remote_address,
                      request_headers, response_headers, response_body, truncated
                 FROM answer
           ), retried AS (
               UPDATE webhook_delivery d
                  SET attempts = a.number, step = d.step + 1, due_at = a.due_at, first_at = coalesce(d.first_at, a.at)
                 FROM answer a
                WHERE d.endpoint_id = a.endpoint_id AND d.event_seq = a.event_seq AND a.due_at IS NOT NULL
           ), finished AS (
               DELETE FROM webhook_delivery d USING answer a
                WHERE d.endpoint_id = a.endpoint_id AND d.event_seq = a.event_seq AND a.due_at IS NULL
               RETURNING d.endpoint_id, d.event_seq, d.event_id, d.partner_id, d.environment, a.state, a.number,
                         coalesce(d.first_at, a.at) AS first_at, a.at
           ), resulted AS (
               INSERT INTO webhook_result (endpoint_id, event_seq, event_id, partner_id, environment, state, attempts,
                                           first_at, last_at)
               SELECT endpoint_id, event_seq, event_id, partner_id, environment, state, number, first_at, at FROM finished
           )
           UPDATE webhook_result r
              SET attempts = a.number, first_at = coalesce(r.first_at, a.at), last_at = a.at,
                  state = CASE a.state WHEN 'succeeded' THEN a.state ELSE r.state END
             FROM answer a
            WHERE r.endpoint_id = a.endpoint_id AND r.event_seq = a.event_seq""",
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def release(tx: Tx, lanes: Sequence[tuple[Lane, Pulse]]) -> bool:
    """Give lanes back; tell whether one of them has more to do at once.

    A lane sleeps until its next delivery is due, unless something was enqueued since it was claimed: this statement may
    not see that delivery, but it sees the lane's `gen`.
    """
    rows = await tx.rows(
        """UPDATE webhook_lane l
              SET lease_until = 'epoch', lease_token = NULL, failures = x.failures, breaker_trips = x.trips,
                  breaker_until = x.breaker_until,
                  failing_since = CASE WHEN x.failures > 0 THEN coalesce(l.failing_since, $1) END,
                  due_at = CASE WHEN l.halted THEN NULL
                                WHEN l.gen <> x.gen THEN greatest($1, x.breaker_until)
                                ELSE (SELECT greatest(q.due_at, x.breaker_until) FROM webhook_delivery q
                                       WHERE q.endpoint_id = l.endpoint_id ORDER BY q.due_at LIMIT 1)
                           END
             FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::int[], $6::int[], $7::timestamptz[])
                  AS x(endpoint_id, token, gen, failures, trips, breaker_until)
            WHERE l.endpoint_id = x.endpoint_id AND l.lease_token = x.token
           RETURNING l.due_at""",
        tx.now,
        [lane.endpoint_id for lane, _ in lanes],
        [lane.token for lane, _ in lanes],
        [lane.gen for lane, _ in lanes],
        [pulse.failures for _, pulse in lanes],
        [pulse.breaker_trips for _, pulse in lanes],
        [pulse.breaker_until for _, pulse in lanes],
    )
    return any(row["due_at"] is not None and row["due_at"] <= tx.now for row in rows)


async def sweep(tx: Tx) -> list[str]:
    """Wake lanes that sleep over deliveries that are due, and return their endpoints: there should never be one."""
    rows = await tx.rows(
        """UPDATE webhook_lane l SET due_at = $1, gen = gen + 1
            WHERE NOT l.halted AND (l.due_at IS NULL OR l.due_at > $1) AND l.lease_until <= $1
              AND coalesce(l.breaker_until, $1) <= $1
              AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = l.endpoint_id AND d.due_at <= $1)
           RETURNING endpoint_id""",
        tx.now,
    )
    return [row["endpoint_id"] for row in rows]


# Deliveries and attempts, one by one.


async def lock_lane(tx: Tx, endpoint_id: str) -> None:
    """Lock a lane before its deliveries are touched by hand."""
    await tx.execute("SELECT FROM webhook_lane WHERE endpoint_id = $1 FOR NO KEY UPDATE", endpoint_id)


async def requeue(tx: Tx, endpoint_id: str, event: Stamped) -> int:
    """Put a delivery at the beginning of its schedule, due now, whatever it is; return 1 if it never existed before."""
    partner_id, environment = tx.actor.scope
    live = await tx.execute(
        """UPDATE webhook_delivery SET due_at = $3, step = 0, trigger = 'manual'
            WHERE endpoint_id = $1 AND event_seq = $2""",
        endpoint_id, event.seq, tx.now,
    )  # fmt: skip
    if live:
        return 0
    before = await tx.row(
        "DELETE FROM webhook_result WHERE endpoint_id = $1 AND event_seq = $2 RETURNING attempts, first_at",
        endpoint_id, event.seq,
    )  # fmt: skip
    await tx.execute(
        """INSERT INTO webhook_delivery (endpoint_id, event_seq, event_id, partner_id, environment, attempts, trigger,
                                         due_at, first_at)
           VALUES ($1, $2, $3, $4, $5, $6, 'manual', $7, $8)""",
        endpoint_id, event.seq, event.event_id, partner_id, environment,
        before["attempts"] if before else 0, tx.now, before["first_at"] if before else None,
    )  # fmt: skip
    return 0 if before else 1


async def delivery(tx: Tx, endpoint_id: str, event_seq: int) -> Delivery | None:
    """Return one delivery, live or final."""
    rows = await tx.rows(
        """SELECT event_id, endpoint_id, NULL AS state, attempts, due_at, first_at, NULL AS last_at
             FROM webhook_delivery WHERE endpoint_id = $1 AND event_seq = $2
           UNION ALL
           SELECT event_id, endpoint_id, state, attempts, NULL, first_at, last_at
             FROM webhook_result WHERE endpoint_id = $1 AND event_seq = $2""",
        endpoint_id, event_seq,
    )  # fmt: skip
    return delivery_of(rows[0]) if rows else None


async def deliveries_of_event(tx: Tx, event_seq: int, *, after: str, limit: int) -> list[Delivery]:
    """Return an event's deliveries, one an endpoint, newest endpoint first; one more than `limit`."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT d.* FROM webhook_endpoint p CROSS JOIN LATERAL (
               SELECT event_id, endpoint_id, NULL AS state, attempts, due_at, first_at, NULL AS last_at
                 FROM webhook_delivery WHERE endpoint_id = p.id AND event_seq = $3
               UNION ALL
               SELECT event_id, endpoint_id, state, attempts, NULL, first_at, last_at
                 FROM webhook_result WHERE endpoint_id = p.id AND event_seq = $3) d
            WHERE p.partner_id = $1 AND p.environment = $2 AND ($4 = '' OR p.id < $4)
            ORDER BY p.id DESC LIMIT $5 + 1""",
        partner_id, environment, event_seq, after, limit,
    )  # fmt: skip
    return [delivery_of(row) for row in rows]


async def deliveries_of_endpoint(
    tx: Tx, endpoint_id: str, *, state: DeliveryState | None, before_seq: int | None, limit: int
) -> list[tuple[int, Delivery]]:
    """Return an endpoint's deliveries with their events' places, newest event first; one more than `limit`."""
    rows = await tx.rows(
        """SELECT * FROM (
               (SELECT event_seq, event_id, endpoint_id, NULL AS state, attempts, due_at, first_at, NULL AS last_at
                  FROM webhook_delivery
                 WHERE endpoint_id = $1 AND ($2::bigint IS NULL OR event_seq < $2)
                   AND ($3::text IS NULL OR $3 = CASE WHEN attempts = 0 THEN 'pending' ELSE 'retrying' END)
                 ORDER BY event_seq DESC LIMIT $4 + 1)
               UNION ALL
               (SELECT event_seq, event_id, endpoint_id, state, attempts, NULL, first_at, last_at FROM webhook_result
                 WHERE endpoint_id = $1 AND ($2::bigint IS NULL OR event_seq < $2) AND ($3::text IS NULL OR state = $3)
                 ORDER BY event_seq DESC LIMIT $4 + 1)) d
            ORDER BY event_seq DESC LIMIT $4 + 1""",
        endpoint_id, before_seq, state, limit,
    )  # fmt: skip
    return [(row["event_seq"], delivery_of(row)) for row in rows]


def delivery_of(row: Row) -> Delivery:
    """Read a live delivery (its state is NULL) or a result."""
    live = DeliveryState.RETRYING if row["attempts"] else DeliveryState.PENDING
    return Delivery(
        event_id=row["event_id"], endpoint_id=row["endpoint_id"],
        message_id=message_id(row["event_id"], row["endpoint_id"]),
        state=DeliveryState(row["state"]) if row["state"] else live, attempts=row["attempts"], due_at=row["due_at"],
        first_at=row["first_at"], last_at=row["last_at"],
    )  # fmt: skip


async def attempts(tx: Tx, endpoint_id: str, *, event_id: str | None, after: str, limit: int) -> list[Attempt]:
    """Return an endpoint's attempts newest first, after an id; one more than `limit`."""
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        """SELECT * FROM webhook_attempt
            WHERE endpoint_id = $1 AND partner_id = $2 AND environment = $3
              AND ($4::text IS NULL OR event_seq = (SELECT seq FROM event_outbox WHERE event_id = $4))
              AND ($5 = '' OR id < $5)
            ORDER BY id DESC LIMIT $6 + 1""",
        endpoint_id, partner_id, environment, event_id, after, limit,
    )  # fmt: skip
    return [attempt_of(row) for row in rows]


def attempt_of(row: Row) -> Attempt:
    """Read a row of webhook_attempt."""
    return Attempt(
        id=row["id"], event_id=row["event_id"], endpoint_id=row["endpoint_id"],
        message_id=message_id(row["event_id"], row["endpoint_id"]), number=row["number"], trigger=Trigger(row["trigger"]),
        at=row["at"], status_code=row["status_code"], error_code=row["error_code"], dns_us=row["dns_us"],
        connect_us=row["connect_us"], tls_us=row["tls_us"], first_byte_us=row["first_byte_us"], total_us=row["total_us"],
        remote_address=row["remote_address"],
        request_headers=msgspec.json.decode(row["request_headers"], type=dict[str, str]),
        response_headers=msgspec.json.decode(row["response_headers"], type=dict[str, str]),
        response_body=row["response_body"].decode(), truncated=row["truncated"],
    )  # fmt: skip


# Proof.


async def findings(tx: Tx, settled: timedelta) -> list[Row]:
    """Return every breach of the rules that hold at any moment, each with its endpoint and a detail."""
    return await tx.rows(
        """SELECT 'both live and final' AS finding, endpoint_id, 'event ' || d.event_id AS detail
             FROM webhook_delivery d JOIN webhook_result r USING (endpoint_id, event_seq)
           UNION ALL
           SELECT 'live or final are not what was enqueued', l.endpoint_id,
                  l.enqueued || ' enqueued, ' || live.n || ' live, ' || final.n || ' final'
             FROM webhook_lane l
            CROSS JOIN LATERAL (SELECT count(*) AS n FROM webhook_delivery d WHERE d.endpoint_id = l.endpoint_id) live
            CROSS JOIN LATERAL (SELECT count(*) AS n FROM webhook_result r WHERE r.endpoint_id = l.endpoint_id) final
            WHERE l.enqueued <> live.n + final.n
           UNION ALL
           SELECT 'never enqueued', p.id, 'event ' || e.event_id
             FROM webhook_endpoint p JOIN event_outbox e
                  ON e.partner_id = p.partner_id AND e.environment = p.environment AND e.seq IS NOT NULL
                 AND e.occurred_at > p.updated_at + $2::interval
            WHERE p.state <> 'deleted'
              AND CASE WHEN e.type = 'webhook_endpoint.ping' THEN e.subject = 'webhook_endpoint/' || p.id
                  ELSE (p.include_sensitive OR e.type !~ '^(fraud|compliance|audit|aml|kyc|case)[.]')
                       AND EXISTS (SELECT FROM unnest(p.event_types) t
                                    WHERE t IN ('*', e.type) OR (t LIKE '%.*' AND starts_with(e.type, left(t, -1)))) END
              AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = p.id AND d.event_seq = e.seq)
              AND NOT EXISTS (SELECT FROM webhook_result r WHERE r.endpoint_id = p.id AND r.event_seq = e.seq)
           UNION ALL
           SELECT 'attempts made are not attempts logged', endpoint_id,
                  concat('event number ', event_seq, ': ', coalesce(x.attempts, 0), ' made, ', coalesce(a.n, 0), ' logged')
             FROM (SELECT endpoint_id, event_seq, attempts FROM webhook_delivery
                   UNION ALL
                   SELECT endpoint_id, event_seq, attempts FROM webhook_result) x
             FULL JOIN (SELECT endpoint_id, event_seq, count(*) AS n, max(number) AS last FROM webhook_attempt
                         GROUP BY endpoint_id, event_seq) a USING (endpoint_id, event_seq)
            WHERE coalesce(x.attempts, -1) <> coalesce(a.n, 0) OR coalesce(a.n, 0) <> coalesce(a.last, 0)
           UNION ALL
           SELECT 'succeeded without an accepted attempt', r.endpoint_id, 'event ' || r.event_id
             FROM webhook_result r
            WHERE r.state = 'succeeded'
              AND NOT EXISTS (SELECT FROM webhook_attempt a WHERE a.endpoint_id = r.endpoint_id
                                 AND a.event_seq = r.event_seq AND a.error_code IS NULL)
           UNION ALL
           SELECT 'asleep over a due delivery', l.endpoint_id, 'lane due at ' || coalesce(l.due_at::text, 'never')
             FROM webhook_lane l
            WHERE NOT l.halted AND (l.due_at IS NULL OR l.due_at > $1) AND l.lease_until <= $1
              AND coalesce(l.breaker_until, $1) <= $1
              AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = l.endpoint_id AND d.due_at <= $1)
           UNION ALL
           SELECT 'a queue without a taker', p.id, p.state
             FROM webhook_endpoint p JOIN webhook_lane l ON l.endpoint_id = p.id
            WHERE l.halted <> (p.state <> 'enabled')
               OR (p.state IN ('disabled', 'deleted')
                   AND EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint_id = p.id))
           ORDER BY 1, 2, 3""",
        tx.now, settled,
    )  # fmt: skip
