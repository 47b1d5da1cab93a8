from __future__ import annotations

import asyncio

from shanraq.core.turns import Turns


async def test_a_burst_begins_a_few_in_each_turn_in_order() -> None:
    turns = Turns(3)
    begun: list[tuple[int, int]] = []
    turn = 0

    async def one(number: int) -> None:
        await turns.take()
        begun.append((turn, number))

    tasks = [asyncio.create_task(one(number)) for number in range(10)]
    while len(begun) < 10:
        await asyncio.sleep(0)
        turn += 1
        assert turn < 100

    assert [number for _, number in begun] == list(range(10))
    for start in range(0, 10, 3):
        assert len({at for at, _ in begun[start : start + 3]}) == 1, begun
    assert len({at for at, _ in begun}) == 4
    await asyncio.gather(*tasks)


async def test_one_alone_does_not_wait() -> None:
    turns = Turns(1)
    for _ in range(3):
        coroutine = turns.take()
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it waited")
        await asyncio.sleep(0)


async def test_who_gave_up_takes_no_place() -> None:
    turns = Turns(1)
    tasks = [asyncio.create_task(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    tasks[2].cancel()

    await asyncio.wait_for(tasks[3], 1)

    assert tasks[0].done() and tasks[1].cancelled() and tasks[2].cancelled()
