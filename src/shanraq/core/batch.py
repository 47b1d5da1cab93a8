"""Natural batching: callers that wait for one thing each share a transaction, without a timer.

While one batch is being written the next one gathers; it starts the moment the first is done. One caller alone pays no
delay; under load the batch grows by itself to the number of callers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

from shanraq.core.errors import UnavailableError

Item = TypeVar("Item")
Result = TypeVar("Result")

Work = Callable[[Hashable, Sequence[Item]], Awaitable[Sequence[Result | BaseException]]]


class OverloadedError(UnavailableError, code="overloaded", status=503):
    """Too many requests are waiting; nothing was done, try again in a moment."""


class Batcher(Generic[Item, Result]):
    """Gather items by group (a partner and environment) and have `work(group, items)` do each batch.

    `work` returns one result or exception an item, in order. Groups run side by side, batches of one group one after the
    other. Raises OverloadedError when more than `queue_limit` items of a group wait.
    """

    def __init__(self, work: Work[Item, Result], *, batch_limit: int = 500, queue_limit: int = 10_000) -> None:
        self._work: Final = work
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._waiting: dict[Hashable, deque[tuple[Item, asyncio.Future[Result]]]] = {}
        self._running: dict[Hashable, asyncio.Task[None]] = {}

    async def do(self, group: Hashable, item: Item) -> Result:
        """Put the item into the next batch of its group and return its own result."""
        waiting = self._waiting.setdefault(group, deque())
        if len(waiting) >= self._queue_limit:
            raise OverloadedError
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiting.append((item, future))
        if group not in self._running:
            self._running[group] = asyncio.create_task(self._drain(group), name=f"batch {group}")
        return await future

    async def close(self) -> None:
        """Wait until every batch under way is done."""
        while self._running:
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _drain(self, group: Hashable) -> None:
        waiting = self._waiting[group]
        try:
            while waiting:
                # One turn of the loop, so that all callers of this turn get in.
                await asyncio.sleep(0)
                # A caller that went away before its batch began wants nothing any more.
                batch = [waiting.popleft() for _ in range(min(len(waiting), self._batch_limit))]
                batch = [(item, future) for item, future in batch if not future.done()]
                if batch:
                    await self._do_batch(group, batch)
        finally:
            del self._running[group]
            if not waiting:
                self._waiting.pop(group, None)

    async def _do_batch(self, group: Hashable, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        results: Sequence[Result | BaseException]
        try:
            results = await self._work(group, [item for item, _ in batch])
            assert len(results) == len(batch), "one result for every item"
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
