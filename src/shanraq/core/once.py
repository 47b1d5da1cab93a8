"""Idempotency: one key, one effect, one answer (draft-ietf-httpapi-idempotency-key-header-07).

The scope of a key is partner, environment and operation. The first statement of a money-moving transaction claims the key;
its answer is stored in the transaction that decides it. A retry with the same request gets the stored answer; with another
request it is refused; while the first still runs it is told to wait. Answers are kept 30 days; ledger transfer ids derive
from the key and are unique for ever, so even after that a key cannot move money twice.

A claim that commits before its answer (an operation that must talk to the outside world in between) names its subject: what
became of that operation is the answer, whether the first request lived to give it or not.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

import msgspec

from shanraq.core.actor import Actor
from shanraq.core.crypto import sha256
from shanraq.core.db import Database, Row, Tx
from shanraq.core.errors import ConflictError, InvalidInputError, RefusedError, ShanraqError
from shanraq.core.ids import derived_number

T = TypeVar("T")

RETENTION: Final = timedelta(days=30)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_RUNNING, _ANSWERED, _REFUSED = 0, 1, 2


class KeyMissingError(InvalidInputError, code="idempotency_key_missing", status=400):
    """This request moves money: it needs an Idempotency-Key header."""


class InvalidKeyError(InvalidInputError, code="invalid_idempotency_key", status=400):
    """The Idempotency-Key is not 1 to 255 visible ASCII characters."""


class KeyReusedError(RefusedError, code="idempotency_key_reused", status=422):
    """This Idempotency-Key was used for another request."""


class KeyInUseError(ConflictError, code="idempotency_key_in_use", status=409):
    """The first request with this Idempotency-Key is still running; repeat this one in a moment."""


class ReplayedRefusalError(ShanraqError, code="refused_before", status=422):
    """A refusal given before, replayed; its code and status are those of the first answer."""

    def __init__(self, code: str, status: int, detail: str, field: str | None) -> None:
        super().__init__(detail, field=field)
        self.code = code  # type: ignore[misc]  # an instance speaks for the class that refused first
        self.status = status  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Request:
    """A keyed request: the operation it is for, the client's key, the fingerprint of its canonical body."""

    operation: str
    key: str
    fingerprint: bytes

    @classmethod
    def of(cls, operation: str, key: str | None, body: msgspec.Struct | None, *path: str) -> Request:
        """Read the header value (bare, or quoted as a structured-field string) and fingerprint the typed body.

        `path` holds the ids of the resource acted on: the same key on another payment is another request.
        Raises KeyMissingError, InvalidKeyError.
        """
        if key is None:
            raise KeyMissingError(field="Idempotency-Key")
        if len(key) >= 2 and key[0] == key[-1] == '"':
            key = key[1:-1]
        if not _KEY.fullmatch(key):
            raise InvalidKeyError(field="Idempotency-Key")
        canonical = msgspec.json.encode((operation, path, body), order="deterministic")
        return cls(operation, key, sha256(canonical))

    def number(self, actor: Actor, step: str = "") -> int:
        """Derive the 128-bit number that stands for this request (and step) in the ledger, for ever."""
        return derived_number(actor.book, self.operation, self.key, step)


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """The value of a keyed request, and whether it had been given before."""

    value: T
    replayed: bool = False


async def claim(tx: Tx, request: Request) -> bytes | None:
    """Claim the key for this transaction; return the stored answer if there is one, None to go on.

    Waits for another transaction that holds the same key. Raises KeyReusedError (422), KeyInUseError (409), or the
    refusal that was stored.
    """
    partner_id, environment = tx.actor.scope
    claimed = await tx.execute(
        """INSERT INTO idempotency (partner_id, environment, operation, key, fingerprint, created_at)
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING""",
        partner_id, environment, request.operation, request.key, request.fingerprint, tx.now,
    )  # fmt: skip
    if claimed:
        return None
    found = (await _stored(tx, [request]))[0]
    assert found is not None, "a key in conflict is there"
    return answer_of(found, request)


async def lookup(tx: Tx, requests: Sequence[Request]) -> list[Row | None]:
    """Return what is stored for each request of one operation, position by position; read it with `answer_of`."""
    return await _stored(tx, requests)


def answer_of(row: Row, request: Request) -> bytes:
    """Return the stored answer; raise KeyReusedError, KeyInUseError or the stored refusal."""
    if row["fingerprint"] != request.fingerprint:
        raise KeyReusedError(field="Idempotency-Key")
    if row["state"] == _RUNNING:
        raise KeyInUseError(field="Idempotency-Key")
    answer: bytes = row["answer"]
    if row["state"] == _REFUSED:
        raise ReplayedRefusalError(**msgspec.json.decode(answer))
    return answer


async def finish(tx: Tx, request: Request, answer: bytes) -> None:
    """Store the answer of a claimed key."""
    await finish_key(tx, request.operation, request.key, answer)


async def finish_key(tx: Tx, operation: str, key: str, answer: bytes) -> None:
    """Store the answer of a claimed key by its name, as recovery does for a request that died."""
    partner_id, environment = tx.actor.scope
    await tx.execute(
        """UPDATE idempotency SET state = 1, answer = $5
            WHERE partner_id = $1 AND environment = $2 AND operation = $3 AND key = $4 AND state = 0""",
        partner_id, environment, operation, key, answer,
    )  # fmt: skip


def store(
    tx: Tx, answered: Sequence[tuple[Request, bytes]], refused: Sequence[tuple[Request, ShanraqError]] = ()
) -> None:
    """Store claims with answers and refusals of a whole batch at once.

    A key taken meanwhile fails the transaction (asyncpg.UniqueViolationError). Refusals that decided nothing are left out.
    """
    partner_id, environment = tx.actor.scope
    rows = [(request, _ANSWERED, answer) for request, answer in answered]
    rows += [(request, _REFUSED, _refusal(error)) for request, error in refused if _decides(error)]
    if not rows:
        return
    operation = rows[0][0].operation
    assert all(request.operation == operation for request, _, _ in rows), "a batch is of one operation"
    tx.write(
        """INSERT INTO idempotency (partner_id, environment, operation, key, fingerprint, state, answer, created_at)
           SELECT $1, $2, $3, u.key, u.fingerprint, u.state, u.answer, $8
             FROM unnest($4::text[], $5::bytea[], $6::smallint[], $7::bytea[]) u(key, fingerprint, state, answer)""",
        partner_id,
        environment,
        operation,
        [request.key for request, _, _ in rows],
        [request.fingerprint for request, _, _ in rows],
        [state for _, state, _ in rows],
        [answer for _, _, answer in rows],
        tx.now,
    )


def _decides(error: ShanraqError) -> bool:
    # A malformed request, wrong credentials, a conflict of the moment (409) and any 5xx decided nothing for good.
    return error.status in (404, 422) and not isinstance(error, KeyReusedError | ReplayedRefusalError)


def _refusal(error: ShanraqError) -> bytes:
    return msgspec.json.encode(
        {"code": error.code, "status": error.status, "detail": error.detail, "field": error.field}
    )


async def refuse(db: Database, actor: Actor, request: Request, error: ShanraqError) -> bytes | None:
    """Remember a refusal by a rule of ours (404, 422), so that a retry cannot turn it into a payment.

    Returns the answer another request with the same key got in between, if any.
    """
    if not _decides(error):
        return None
    async with db.begin(actor) as tx:
        partner_id, environment = actor.scope
        written = await tx.execute(
            """INSERT INTO idempotency (partner_id, environment, operation, key, fingerprint, state, answer, created_at)
               VALUES ($1, $2, $3, $4, $5, 2, $6, $7) ON CONFLICT DO NOTHING""",
            partner_id, environment, request.operation, request.key, request.fingerprint, _refusal(error), tx.now,
        )  # fmt: skip
        if written:
            return None
        found = (await _stored(tx, [request]))[0]
        return answer_of(found, request) if found is not None else None


async def block(tx: Tx, operation: str, key: str, error: ShanraqError) -> bool:
    """Refuse whatever may come under a key, unless something came already; tell whether nothing had."""
    partner_id, environment = tx.actor.scope
    return bool(
        await tx.execute(
            """INSERT INTO idempotency (partner_id, environment, operation, key, fingerprint, state, answer, created_at)
               VALUES ($1, $2, $3, $4, '', 2, $5, $6) ON CONFLICT DO NOTHING""",
            partner_id, environment, operation, key, _refusal(error), tx.now,
        )
    )  # fmt: skip


async def perform(
    db: Database, actor: Actor, request: Request, kind: type[T], work: Callable[[Tx], Awaitable[T]]
) -> Given[T]:
    """Do `work` once for this request, in one database transaction, and remember its value or refusal.

    Raises what `work` raises, KeyReusedError, KeyInUseError, or the refusal given before.
    """

    async def claimed(tx: Tx) -> Given[T]:
        answer = await claim(tx, request)
        if answer is not None:
            return Given(msgspec.json.decode(answer, type=kind), replayed=True)
        value = await work(tx)
        await finish(tx, request, msgspec.json.encode(value))
        return Given(value)

    try:
        return await db.run(actor, claimed)
    except ShanraqError as error:
        answer = await refuse(db, actor, request, error)
        if answer is None:
            raise
        return Given(msgspec.json.decode(answer, type=kind), replayed=True)


async def forget(tx: Tx, before: datetime, *, limit: int = 10_000) -> int:
    """Delete answers older than `before` (see RETENTION); returns how many. Unanswered claims stay."""
    return await tx.execute(
        """DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
               SELECT ctid FROM idempotency WHERE created_at < $1 AND state > 0 LIMIT $2))""",
        before, limit,
    )  # fmt: skip


async def _stored(tx: Tx, requests: Sequence[Request]) -> list[Row | None]:
    partner_id, environment = tx.actor.scope
    rows = await tx.rows(
        # One look by the primary key for each: a join may turn into a scan of the whole table while it is not analysed.
        """SELECT i.operation, i.key, i.fingerprint, i.state, i.answer
             FROM unnest($3::text[], $4::text[]) AS wanted(operation, key)
            CROSS JOIN LATERAL (
                SELECT * FROM idempotency i
                 WHERE i.partner_id = $1 AND i.environment = $2 AND i.operation = wanted.operation AND i.key = wanted.key
                 LIMIT 1) i""",
        partner_id,
        environment,
        [request.operation for request in requests],
        [request.key for request in requests],
    )
    by_key = {(row["operation"], row["key"]): row for row in rows}
    return [by_key.get((request.operation, request.key)) for request in requests]
