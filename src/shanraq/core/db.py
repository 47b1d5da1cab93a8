"""The database: one transaction, one actor, one instant.

    async with db.begin(actor) as tx:            # BEGIN, and row-level security for this actor
        row = await tx.row("SELECT ...", payment_id)
        await store.move(tx, before, after)      # COMMIT at the end, ROLLBACK on any exception

A verb that takes `tx` never begins one; a verb that takes `db` begins its own; they do not nest. What must be written
once, at the end (events, audit), is collected with `tx.defer` and flushed just before COMMIT. What is only written, and read
by nobody in the same transaction, goes through `tx.write`: neighbours share a round trip.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

import asyncpg
import msgspec

from shanraq.core.actor import Actor, ActorKind
from shanraq.core.errors import ConflictError, InvalidInputError, UnavailableError

T = TypeVar("T")
Item = TypeVar("Item")
Result = TypeVar("Result")
Row = asyncpg.Record

_PARAMETER: Final = re.compile(r"\$(\d+)")
_QUOTABLE: Final = re.compile(r"[A-Za-z0-9_]*")
# Of statements of the code, so there are not many.
_types: Final[dict[str, tuple[str, ...]]] = {}
_current: ContextVar[Tx | None] = ContextVar("tx", default=None)

# All that asyncpg raises when a server goes away, shuts down, recovers or has no connection to spare.
CONNECTION_ERRORS: Final = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    OSError,
    asyncio.TimeoutError,
)
_FATAL: Final = (asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)
_UNSTORABLE: Final = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)
_RERUN: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class DatabaseUnavailableError(UnavailableError, code="database_unavailable", status=503):
    """The database cannot be reached; nothing was changed."""


class UnstorableTextError(InvalidInputError, code="unstorable_text", status=400):
    """A text holds U+0000, which cannot be stored or looked for; nothing was changed."""


class CommitUnknownError(UnavailableError, code="outcome_unknown", status=503):
    """The connection was lost during commit: repeat the request with the same Idempotency-Key to learn the outcome."""


class ContendedError(ConflictError, code="contended", status=409):
    """Too many requests changed the same thing at once; nothing was changed, try again."""


Flush = Callable[["Tx", Sequence[Any]], Awaitable[None]]


class Clock(Protocol):
    """The time source of transactions; tests pass their own."""

    def __call__(self) -> datetime:
        """Return the present instant, aware, UTC."""


def utc_now() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


class Tx:
    """One transaction: `actor` says for whom, `now` is its one instant."""

    __slots__ = ("_connection", "_deferred", "_writes", "actor", "now")

    def __init__(self, connection: Any, actor: Actor, now: datetime) -> None:
        self._connection = connection
        self._deferred: dict[Flush, list[Any]] = {}
        self._writes: list[tuple[str, tuple[object, ...]]] = []
        self.actor = actor
        self.now = now

    async def rows(self, sql: str, *args: object) -> list[Row]:
        """Run a statement and return its rows."""
        if self._writes:
            await self._write_out()
        return await self._connection.fetch(sql, *args)  # type: ignore[no-any-return]

    async def row(self, sql: str, *args: object) -> Row | None:
        """Run a statement and return its first row, or None."""
        if self._writes:
            await self._write_out()
        return await self._connection.fetchrow(sql, *args)  # type: ignore[no-any-return]

    async def value(self, sql: str, *args: object) -> Any:
        """Run a statement and return the first column of its first row, or None."""
        if self._writes:
            await self._write_out()
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Run a statement and return the number of rows it touched."""
        if self._writes:
            await self._write_out()
        tag: str = await self._connection.execute(sql, *args)
        last = tag.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def rows_of_many(self, sql: str, args: Sequence[Sequence[object]]) -> list[Row]:
        """Run a statement once for each of `args`, in one round trip, and return the rows of all."""
        if self._writes:
            await self._write_out()
        return await self._connection.fetchmany(sql, args)  # type: ignore[no-any-return]

    async def types_of(self, sql: str) -> tuple[str, ...]:
        """Return the types of a statement's parameters."""
        types = _types.get(sql)
        if types is None:
            statement = await self._connection.prepare(sql)
            types = _types[sql] = tuple([kind.name for kind in statement.get_parameters()])
        return types

    async def execute_many(self, sql: str, args: Sequence[Sequence[object]]) -> None:
        """Run a statement once for each of `args`, in one round trip."""
        if self._writes:
            await self._write_out()
        await self._connection.executemany(sql, args)

    async def pooled(
        self, work: Callable[[Tx, Sequence[Item]], Awaitable[Sequence[Result]]], items: Sequence[Item]
    ) -> Sequence[Result]:
        """Return `work(tx, items)`, one result an item; where callers share a transaction, `work` runs once for all of them."""
        return await work(self, items)

    def alone(self) -> None:
        """Say that what follows hangs on a lock that callers who share this transaction would not keep each other from."""

    def write(self, insert: str, *args: object) -> None:
        """Run an INSERT (without RETURNING) before the next statement, at the latest at the end, in one with its neighbours.

        Its error is raised then, wherever that is. Neighbours run in order, but see nothing of each other.
        """
        assert insert.startswith("INSERT "), insert
        self._writes.append((insert, args))

    async def _write_out(self) -> None:
        writes, self._writes = self._writes, []
        if len(writes) == 1:
            insert, args = writes[0]
            await self._connection.execute(insert, *args)
        elif writes:
            statement = _together(tuple(insert for insert, _ in writes))
            await self._connection.execute(statement, *(arg for _, args in writes for arg in args))

    def defer(self, flush: Flush, item: object) -> None:
        """Collect `item`; just before COMMIT `flush(tx, items)` is called once with all items of that function."""
        self._deferred.setdefault(flush, []).append(item)

    async def savepoint(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` so that its failure undoes its own statements and deferred items only."""
        await self._write_out()
        before = {flush: list(items) for flush, items in self._deferred.items()}
        # One name is enough: an inner savepoint hides the outer one until it is released.
        await self._connection.execute("SAVEPOINT piece")
        try:
            result = await work()
            await self._write_out()
        except Exception:
            self._deferred = before
            self._writes.clear()
            await self._connection.execute("ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece")
            raise
        await self._connection.execute("RELEASE SAVEPOINT piece")
        return result

    async def cursor(self, sql: str, *args: object, prefetch: int = 1000) -> AsyncIterator[Row]:
        """Yield the rows of a long result a piece at a time."""
        await self._write_out()
        async for row in self._connection.cursor(sql, *args, prefetch=prefetch):
            yield row

    async def _flush(self) -> None:
        while self._deferred:
            flush, items = next(iter(self._deferred.items()))
            del self._deferred[flush]
            await flush(self, items)
        await self._write_out()


@lru_cache(maxsize=256)
def _together(inserts: tuple[str, ...]) -> str:
    """Return one statement that runs inserts in their order, with their parameters one after the other."""
    parts: list[str] = []
    offset = 0
    for number, insert in enumerate(inserts):
        own = [int(found) for found in _PARAMETER.findall(insert)]
        moved = _PARAMETER.sub(lambda found, by=offset: f"${int(found[1]) + by}", insert)  # type: ignore[misc]
        parts.append(f"w{number} AS ({moved} RETURNING 1)")
        offset += max(own, default=0)
    # Read one after the other, they run one after the other: locks are taken in the order the code says.
    counts = ", ".join([f"(SELECT count(*) FROM w{number})" for number in range(len(inserts))])  # noqa: S608
    return f"WITH {', '.join(parts)} SELECT {counts}"


def assert_no_transaction() -> None:
    """Fail if called inside a transaction: the network is outside, always."""
    assert _current.get() is None, "no network call inside a database transaction"


@contextmanager
def work_in(tx: Tx) -> Iterator[None]:
    """Let what runs inside know that it is in a transaction."""
    token = _current.set(tx)
    try:
        yield
    finally:
        _current.reset(token)


def _begin_statement(actor: Actor) -> str:
    partner = actor.partner_id or "*"
    environment = actor.environment.value if actor.environment else "*"
    assert _QUOTABLE.fullmatch(actor.partner_id), "partner ids are checked before they come here"
    assert partner != "*" or actor.kind is not ActorKind.PARTNER
    return (
        f"BEGIN; SET LOCAL shanraq.partner_id = '{partner}'; "
        f"SET LOCAL shanraq.environment = '{environment}'; SET LOCAL shanraq.book = '{int(actor.book)}'"
    )


class Database:
    """A pool of connections to one PostgreSQL database (15 to 18), acting as the application role."""

    def __init__(self, pool: Any, clock: Clock = utc_now) -> None:
        self._pool = pool
        self.clock: Clock = clock

    @classmethod
    async def connect(
        cls,
        dsn: str,
        *,
        role: str | None = "shanraq_app",
        min_size: int = 1,
        max_size: int = 16,
        command_timeout_seconds: float = 30.0,
        clock: Clock = utc_now,
    ) -> Database:
        """Open the pool; every session takes `role`, which owns nothing and is bound by row-level security.

        Raises DatabaseUnavailableError.
        """
        settings = {"application_name": "shanraq", "jit": "off", "timezone": "UTC"}
        if role:
            settings["role"] = role
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=min_size,
                max_size=max_size,
                command_timeout=command_timeout_seconds,
                server_settings=settings,
                init=_prepare_connection,
                reset=_keep_session,
            )
        except CONNECTION_ERRORS as error:
            raise DatabaseUnavailableError(f"cannot connect to PostgreSQL: {type(error).__name__}") from error
        return cls(pool, clock)

    async def close(self, timeout_seconds: float = 10.0) -> None:
        """Close the pool; connections still in use after the timeout are cut."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a bare connection, for LISTEN and session-level advisory locks only."""
        async with self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def begin(self, actor: Actor) -> AsyncIterator[Tx]:
        """Open a transaction for `actor`; commit at the end, roll back on an exception.

        Raises DatabaseUnavailableError before anything is done, CommitUnknownError when COMMIT got no answer,
        ContendedError when PostgreSQL asked for a re-run, UnstorableTextError for a text with U+0000.
        """
        assert _current.get() is None, "transactions do not nest"
        try:
            connection = await self._pool.acquire(timeout=10.0)
        except CONNECTION_ERRORS as error:
            raise DatabaseUnavailableError from error
        token = None
        try:
            try:
                await connection.execute(_begin_statement(actor))
            except CONNECTION_ERRORS as error:
                raise DatabaseUnavailableError from error
            tx = Tx(connection, actor, self.clock())
            token = _current.set(tx)
            try:
                yield tx
                await tx._flush()  # noqa: SLF001 (the two classes are one mechanism)
            except _RERUN as error:
                raise ContendedError from error
            except _UNSTORABLE as error:
                raise UnstorableTextError from error
            except CONNECTION_ERRORS as error:
                if _is_lost(connection) or isinstance(error, _FATAL):
                    raise DatabaseUnavailableError from error
                raise
            try:
                outcome = await connection.execute("COMMIT")
            except _RERUN as error:
                raise ContendedError from error
            except CONNECTION_ERRORS as error:
                raise CommitUnknownError from error
            # PostgreSQL answers ROLLBACK to the COMMIT of a transaction in which a statement failed.
            if outcome != "COMMIT":
                raise AssertionError("the error of a statement was swallowed: what may fail belongs in a savepoint")
        except BaseException:
            await _roll_back(connection)
            raise
        finally:
            if token is not None:
                _current.reset(token)
            await asyncio.shield(self._pool.release(connection))

    async def run(self, actor: Actor, work: Callable[[Tx], Awaitable[T]], *, attempts: int = 5) -> T:
        """Run `work` in a transaction, again from the start when PostgreSQL reports a deadlock or serialization failure.

        `work` must change nothing but through its `tx`. Raises ContendedError after `attempts`.
        """
        for attempt in range(1, attempts + 1):
            try:
                async with self.begin(actor) as tx:
                    return await work(tx)
            except ContendedError as error:
                if attempt == attempts or error.__cause__ is None:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 (spreads retries, no secret)
        raise AssertionError("unreachable")


async def _roll_back(connection: Any) -> None:
    if _is_lost(connection):
        return
    try:
        await asyncio.shield(connection.execute("ROLLBACK", timeout=5.0))
    except BaseException as error:
        if not _is_lost(connection):
            connection.terminate()
        if not isinstance(error, Exception):  # a cancellation is never swallowed
            raise


def _is_lost(connection: Any) -> bool:
    # The pool takes a connection that broke out of our hands, and then every call on it is refused.
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _keep_session(connection: Any) -> None:
    # Every transaction ends with COMMIT or ROLLBACK and sets its variables LOCAL: there is nothing to reset.
    if connection.is_in_transaction():
        connection.terminate()


async def _prepare_connection(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )
    await connection.set_type_codec(
        "uuid",
        schema="pg_catalog",
        format="binary",
        encoder=lambda number: number.to_bytes(16, "big"),
        decoder=lambda raw: int.from_bytes(raw, "big"),
    )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _decode_jsonb(raw: bytes) -> Any:
    return msgspec.json.decode(raw[1:])


def chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
