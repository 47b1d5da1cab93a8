"""One transaction for several callers: each does its own work, and statements that read alike travel together.

Callers of one actor that come while a transaction is under way share the next one. Every one of them runs its function as if
alone. What they ask of the database meanwhile waits until all of them ask; then statements that read alike become one
(core.manifold), reads first, what changes rows last, so that as many as possible meet. `Tx.pooled` runs once for all.

What one of them refuses, or a statement that fails, rolls the whole transaction back. Those that had no part in it begin anew
together; the others run alone, where the error is theirs. So nobody's outcome hangs on the company, except in time.

Locks in the database do not keep callers of one transaction apart. So `run` is told what each one changes (`touches`) and never
puts two of one thing into one transaction; a row locked twice, an advisory lock, and `Tx.alone` send a caller out to run alone.

One transaction at a time is at work for an actor; the next one begins while it commits, and touches nothing that it touches.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeVar, cast

import structlog

from shanraq.core.actor import Actor
from shanraq.core.batch import OverloadedError
from shanraq.core.db import CommitUnknownError, ContendedError, Database, DatabaseUnavailableError, Row, Tx, work_in
from shanraq.core.manifold import Kind, are_apart, kind_of, locks, row_form, set_form

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[Tx], Awaitable[T]]

_MOST: Final = 64
_BEGINNINGS: Final = 4
_QUEUE: Final = 10_000
_PATIENCE_SECONDS: Final = 3.0
# Whoever holds a lock for longer than this makes one caller wait, not all of them. And single rows are wanted, by their keys: a
# plan made while a table was small must not read all of it later on.
_SETTINGS: Final = (
    "SET LOCAL lock_timeout = '2s'; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
    "SET LOCAL enable_seqscan = off"
)


class ApartError(Exception):
    """This caller runs alone."""


class _Order(IntEnum):
    READ = 0
    INSERT = 1
    POOLED = 2
    CHANGE = 3


@dataclass(slots=True, eq=False)
class _Caller:
    actor: Actor
    touches: frozenset[str]
    work: Work[Any]
    context: contextvars.Context
    answer: asyncio.Future[Any]


class Together:
    """Shared transactions on a database, those of one actor one after the other."""

    def __init__(self, db: Database, *, queue_limit: int = _QUEUE) -> None:
        self._db: Final = db
        self._queue: Final = queue_limit
        self._waiting: dict[Actor, deque[_Caller]] = {}
        self._running: dict[Actor, asyncio.Task[None]] = {}
        # Somebody has to hold a task, also while it waits for its COMMIT and nobody else comes.
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, actor: Actor, touches: Collection[str], work: Work[T]) -> T:
        """Run `work` as `Database.run` does, in a transaction that others may share who touch nothing of `touches`.

        `touches` are ids of what `work` reads to decide on and changes. Raises what `Database.run` raises, and OverloadedError.
        """
        group = actor.with_request("")
        waiting = self._waiting.setdefault(group, deque())
        if len(waiting) >= self._queue:
            raise OverloadedError
        loop = asyncio.get_running_loop()
        caller = _Caller(actor, frozenset(touches), work, contextvars.copy_context(), loop.create_future())
        waiting.append(caller)
        if group not in self._running:
            self._running[group] = loop.create_task(self._drain(group), name="together", context=contextvars.Context())
        try:
            return cast(T, await caller.answer)
        except ApartError:
            return await self._db.run(actor, work)

    async def _drain(self, group: Actor) -> None:
        waiting = self._waiting[group]
        # The transaction before, which may be at its COMMIT yet, and what its callers touch.
        ending: asyncio.Task[None] | None = None
        touched: frozenset[str] = frozenset()
        try:
            while waiting:
                # One turn of the loop, so that all callers of this turn get in.
                await asyncio.sleep(0)
                callers = _compatible(waiting, touched)
                if not callers:
                    if ending is not None:
                        await asyncio.wait([ending], timeout=_PATIENCE_SECONDS)
                    ending, touched = None, frozenset()
                    continue
                at_commit = asyncio.Event()
                task = asyncio.get_running_loop().create_task(
                    self._alone(callers[0], at_commit) if len(callers) == 1 else self._share(group, callers, at_commit)
                )
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
                try:
                    async with asyncio.timeout(_PATIENCE_SECONDS):
                        await at_commit.wait()
                        if ending is not None:
                            await asyncio.wait([ending])
                except TimeoutError:
                    # It waits for somebody's lock, or the database is slow: the next ones do not wait for it.
                    log.warning("together.slow", callers=len(callers))
                ending, touched = task, frozenset().union(*(caller.touches for caller in callers))
        finally:
            del self._running[group]
            # Nobody is left here, unless this task was cancelled.
            for caller in self._waiting.pop(group):
                caller.answer.cancel()

    async def _alone(self, caller: _Caller, at_commit: asyncio.Event) -> None:
        async def work(tx: Tx) -> Any:
            result = await caller.work(tx)
            at_commit.set()
            return result

        task = asyncio.get_running_loop().create_task(self._db.run(caller.actor, work), context=caller.context)
        await asyncio.wait([task])
        at_commit.set()
        _settle(caller, task)

    async def _share(self, group: Actor, callers: list[_Caller], at_commit: asyncio.Event) -> None:
        """Answer all callers, or send them out to run alone."""
        try:
            for _ in range(_BEGINNINGS):
                tasks: list[asyncio.Task[Any]] = []
                try:
                    async with self._db.begin(group) as tx:
                        tasks = await _Shared(tx, callers).run()
                        at_commit.set()
                except ContendedError:
                    continue
                except _PartedError as parted:
                    for caller in parted.callers:
                        _give(caller, ApartError())
                    callers = [caller for caller in callers if caller not in parted.callers]
                    if len(callers) < 2:
                        break
                    continue
                for caller, task in zip(callers, tasks, strict=True):
                    _settle(caller, task)
                return
        except (DatabaseUnavailableError, CommitUnknownError) as error:
            for caller in callers:
                _give(caller, error)
        except Exception as error:
            # Somebody's statement failed, nobody knows whose: alone it is theirs.
            log.info("together.parted", callers=len(callers), error=type(error).__name__)
        except BaseException as error:
            for caller in callers:
                _give(caller, error)
            raise
        finally:
            at_commit.set()
        for caller in callers:
            _give(caller, ApartError())


def _compatible(waiting: deque[_Caller], touched_before: Collection[str]) -> list[_Caller]:
    """Take the callers of the next transaction, in their order, and leave those that touch what an earlier one touches."""
    taken: list[_Caller] = []
    left: list[_Caller] = []
    touched = set(touched_before)
    while waiting and len(taken) < _MOST:
        caller = waiting.popleft()
        if caller.answer.done():
            continue  # it went away before anything was done
        if touched.isdisjoint(caller.touches):
            taken.append(caller)
        else:
            left.append(caller)
        # One that is left also holds back those that come after it and touch the same.
        touched |= caller.touches
    waiting.extendleft(reversed(left))
    return taken


def _settle(caller: _Caller, task: asyncio.Task[Any]) -> None:
    if caller.answer.done():
        return
    if task.cancelled():
        caller.answer.cancel()
    elif (error := task.exception()) is not None:
        caller.answer.set_exception(error)
    else:
        caller.answer.set_result(task.result())


def _is_well(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


def _give(caller: _Caller, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        caller.answer.cancel()
    elif not caller.answer.done():
        caller.answer.set_exception(error)


class _PartedError(Exception):
    """Some callers cannot go on in this transaction."""

    def __init__(self, callers: Sequence[_Caller]) -> None:
        super().__init__()
        self.callers = callers


@dataclass(slots=True)
class _Asked:
    """What a caller waits for: a statement, or a piece of pooled work on its items."""

    caller: int
    order: _Order
    statement: str | Callable[[Tx, Sequence[Any]], Awaitable[Sequence[Any]]]
    args: Sequence[Any]
    counted: bool
    answer: asyncio.Future[Any]


class _Shared:
    """The callers of one transaction, from its beginning to before its COMMIT."""

    def __init__(self, tx: Tx, callers: Sequence[_Caller]) -> None:
        self.tx: Final = tx
        self._callers = callers
        self._busy = len(callers)
        self._quiet = asyncio.Event()
        self._asked: list[_Asked] = []
        self._writes: dict[str, list[tuple[object, ...]]] = {}
        self._locked: dict[tuple[str, str], int] = {}
        self._parted: set[int] = set()

    async def run(self) -> list[asyncio.Task[Any]]:
        """Run the callers to their end and return their tasks. Raises _PartedError, and errors of the database."""
        await self.tx.execute(_SETTINGS)
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(self._one(number, caller), context=caller.context.copy())
            for number, caller in enumerate(self._callers)
        ]
        try:
            while True:
                while self._busy:
                    self._quiet.clear()
                    await self._quiet.wait()
                failed = self._parted | {
                    number for number, task in enumerate(tasks) if task.done() and not _is_well(task)
                }
                if failed:
                    raise _PartedError([self._callers[number] for number in failed])
                if self._writes:
                    await self._write_out()
                if not self._asked:
                    assert all(task.done() for task in tasks)
                    return tasks
                await self._answer()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, number: int, caller: _Caller) -> Any:
        tx = _SharedTx(self, number, caller.actor)
        try:
            with work_in(tx):
                return await caller.work(tx)
        finally:
            self._is_quiet()

    def _is_quiet(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._quiet.set()

    def part(self, caller: int) -> ApartError:
        """Note that a caller has to run alone, whatever it makes of the error."""
        self._parted.add(caller)
        return ApartError()

    def write(self, insert: str, args: tuple[object, ...]) -> None:
        """Keep an insert for the next statement."""
        self._writes.setdefault(insert, []).append(args)

    async def ask(self, caller: int, order: _Order, statement: Any, args: Sequence[Any], *, counted: bool) -> Any:
        """Wait until everybody asks, and return what the database answers."""
        if isinstance(statement, str) and locks(statement):
            first = self._locked.setdefault((statement, repr(args)), caller)
            if first != caller or "advisory" in statement:
                raise self.part(caller)
        answer = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(caller, order, statement, args, counted, answer))
        self._is_quiet()
        return await answer

    async def _write_out(self) -> None:
        writes, self._writes = self._writes, {}
        for insert, many in writes.items():
            await self.tx.execute_many(insert, many)

    async def _answer(self) -> None:
        """Send what comes first in the order, equal statements together, and let those go on who asked for it."""
        first = min(asked.order for asked in self._asked)
        groups: dict[tuple[Any, bool], list[_Asked]] = {}
        for asked in self._asked:
            if asked.order is first:
                groups.setdefault((asked.statement, asked.counted), []).append(asked)
        self._asked = [asked for asked in self._asked if asked.order is not first]
        for (statement, counted), group in groups.items():
            if isinstance(statement, str):
                answers = await self._ask_database(statement, [asked.args for asked in group], counted=counted)
            else:
                answers = await self._pooled(statement, [asked.args for asked in group])
            self._busy += len(group)
            for asked, answer in zip(group, answers, strict=True):
                if asked.answer.done():
                    self._is_quiet()
                else:
                    asked.answer.set_result(answer)

    async def _ask_database(self, statement: str, args: list[Sequence[Any]], *, counted: bool) -> list[Any]:
        """Return the rows, or their number, for each of `args`."""
        tx = self.tx
        if len(args) > 1 and not counted and kind_of(statement) is Kind.READ and not locks(statement):
            # Nobody changes anything meanwhile: who asks the same is told the same.
            different = {repr(one): one for one in args}
            if len(different) < len(args):
                told = await self._ask_database(statement, list(different.values()), counted=False)
                by_args = dict(zip(different, told, strict=True))
                return [by_args[repr(one)] for one in args]
        if len(args) > 1:
            form = set_form(statement, await tx.types_of(statement), counted=counted)
            if form is not None and are_apart(form, args):
                rows = await tx.rows(form.sql, *map(list, zip(*args, strict=True)))
                if not form.gives:
                    return [1] * len(args)
                return _sorted_out(rows, len(args), 1, counted=counted)
            if together := row_form(statement, counted=counted):
                rows = await tx.rows_of_many(together, [(*one, number) for number, one in enumerate(args)])
                if counted:
                    return [row[0] for row in rows]
                return _sorted_out(rows, len(args), 0, counted=False)
        if counted:
            return [await tx.execute(statement, *one) for one in args]
        return [await tx.rows(statement, *one) for one in args]

    async def _pooled(self, work: Any, items: list[Sequence[Any]]) -> list[Sequence[Any]]:
        results = await work(self.tx, [item for one in items for item in one])
        ends = 0
        answers = []
        for one in items:
            begins, ends = ends, ends + len(one)
            answers.append(results[begins:ends])
        assert ends == len(results), "one result for every item"
        return answers


class _SharedTx(Tx):
    """What one caller sees of a shared transaction.

    Its rows have one column more than was asked for, the last one.
    """

    __slots__ = ("_caller", "_shared")

    def __init__(self, shared: _Shared, caller: int, actor: Actor) -> None:
        super().__init__(None, actor, shared.tx.now)
        self._shared = shared
        self._caller = caller

    async def rows(self, sql: str, *args: object) -> list[Row]:
        rows: list[Row] = await self._shared.ask(self._caller, _order_of(sql), sql, args, counted=False)
        return rows

    async def row(self, sql: str, *args: object) -> Row | None:
        rows = await self.rows(sql, *args)
        return rows[0] if rows else None

    async def value(self, sql: str, *args: object) -> Any:
        rows = await self.rows(sql, *args)
        return rows[0][0] if rows else None

    async def execute(self, sql: str, *args: object) -> int:
        count: int = await self._shared.ask(self._caller, _order_of(sql), sql, args, counted=True)
        return count

    def write(self, insert: str, *args: object) -> None:
        assert insert.startswith("INSERT "), insert
        self._shared.write(insert, args)

    def defer(self, flush: Any, item: object) -> None:
        self._shared.tx.defer(flush, item)

    async def pooled(self, work: Any, items: Sequence[Any]) -> Sequence[Any]:
        results: Sequence[Any] = await self._shared.ask(self._caller, _Order.POOLED, work, items, counted=False)
        return results

    def alone(self) -> None:
        raise self._shared.part(self._caller)

    async def savepoint(self, work: Callable[[], Awaitable[T]]) -> T:
        raise self._shared.part(self._caller)

    async def cursor(self, sql: str, *args: object, prefetch: int = 1000) -> AsyncIterator[Row]:
        raise self._shared.part(self._caller)
        yield


def _sorted_out(rows: Sequence[Row], callers: int, first: int, *, counted: bool) -> list[Any]:
    """Return the rows of each, or how many there are; the last column says whose one is."""
    answers: list[list[Row]] = [[] for _ in range(callers)]
    for row in rows:
        answers[row[-1] - first].append(row)
    return [len(one) for one in answers] if counted else answers


def _order_of(sql: str) -> _Order:
    match kind_of(sql):
        case Kind.READ:
            return _Order.READ
        case Kind.INSERT:
            return _Order.INSERT
        case Kind.CHANGE:
            return _Order.CHANGE
