from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence

import pytest

from shanraq.core.batch import Batcher, OverloadedError


async def test_callers_of_one_moment_share_a_batch_and_get_their_own_result() -> None:
    batches: list[Sequence[int]] = []

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        batches.append(items)
        await asyncio.sleep(0.001)
        return [ValueError(item) if item == 3 else item * 10 for item in items]

    batcher = Batcher(work)
    results = await asyncio.gather(*(batcher.do("g", n) for n in range(6)), return_exceptions=True)

    assert [results[n] for n in (0, 1, 2, 4, 5)] == [0, 10, 20, 40, 50]
    assert isinstance(results[3], ValueError)
    assert batches == [[0, 1, 2, 3, 4, 5]]


async def test_what_comes_during_a_batch_is_the_next_batch() -> None:
    batches: list[Sequence[int]] = []
    running, go = asyncio.Event(), asyncio.Event()

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        batches.append(items)
        running.set()
        await go.wait()
        return list(items)

    batcher = Batcher(work, batch_limit=2)
    first = asyncio.create_task(batcher.do("g", 1))
    await running.wait()
    later = [asyncio.create_task(batcher.do("g", n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(first, *later)

    assert batches == [[1], [2, 3], [4]]


async def test_groups_do_not_wait_for_each_other() -> None:
    both = asyncio.Barrier(2)

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        await both.wait()
        return list(items)

    batcher = Batcher(work)

    done = await asyncio.wait_for(asyncio.gather(batcher.do("a", 1), batcher.do("b", 2)), 5)

    assert list(done) == [1, 2]


async def test_a_failed_batch_fails_its_callers_and_the_next_one_works() -> None:
    fail = True

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        if fail:
            raise RuntimeError("down")
        return list(items)

    batcher = Batcher(work)
    failed = await asyncio.gather(batcher.do("g", 1), batcher.do("g", 2), return_exceptions=True)
    fail = False

    assert [type(error) for error in failed] == [RuntimeError, RuntimeError]
    assert await batcher.do("g", 3) == 3


async def test_a_caller_that_went_away_is_left_out() -> None:
    batches: list[Sequence[int]] = []

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        batches.append(items)
        await asyncio.sleep(0.01)
        return list(items)

    batcher = Batcher(work)
    first = asyncio.create_task(batcher.do("g", 1))
    await asyncio.sleep(0.002)
    gone = asyncio.create_task(batcher.do("g", 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(first, batcher.do("g", 3), gone, return_exceptions=True)

    assert batches == [[1], [3]]


async def test_too_long_a_queue_is_refused() -> None:
    go = asyncio.Event()

    async def work(group: Hashable, items: Sequence[int]) -> list[int | BaseException]:
        await go.wait()
        return list(items)

    batcher = Batcher(work, batch_limit=1, queue_limit=2)
    tasks = [asyncio.create_task(batcher.do("g", 0))]
    await asyncio.sleep(0.001)
    tasks += [asyncio.create_task(batcher.do("g", n)) for n in (1, 2)]
    await asyncio.sleep(0.001)

    with pytest.raises(OverloadedError):
        await batcher.do("g", 3)
    go.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2]
    await batcher.close()
