"""The worker: number events, deliver webhooks, recover payments, let holds run out, forget old answers.

Any number of workers run side by side; each loop takes what no other has. A loop that fails is logged and goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from shanraq import events, partners, payments, transactions, webhooks
from shanraq.core import once
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.http import HttpClient

log = structlog.get_logger(__name__)

SEQUENCE_BATCH: Final = 1000
_BUSY_SECONDS: Final = 0.005
_IDLE_SECONDS: Final = 0.05
_FAILED_SECONDS: Final = (0.1, 5.0)


@dataclass(slots=True)
class Worker:
    """The loops of one worker process; `run` ends when cancelled."""

    db: Database
    acquiring: payments.Acquiring
    deliveries: webhooks.Deliverer
    recover_interval_seconds: float = 5.0
    sequenced: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run all loops until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sequence(), name="sequence")
            group.create_task(self.deliveries.run(self.sequenced), name="deliver")
            group.create_task(self._every(self.recover_interval_seconds, self._recover), name="recover")
            group.create_task(self._every(1.0, self._expire), name="expire")
            group.create_task(self._every(3600.0, self._forget), name="forget")

    async def sequence_once(self) -> int:
        """Number a batch of events and lay out their deliveries, in one transaction; returns how many."""
        async with self.db.begin(SYSTEM) as tx:
            stamped = await events.stamp(tx, limit=SEQUENCE_BATCH)
            if stamped:
                await webhooks.enqueue(tx, stamped)
        if stamped:
            self.sequenced.set()
        return len(stamped)

    async def _sequence(self) -> None:
        pause = _BUSY_SECONDS
        while True:
            count = await self._guarded("sequence", self.sequence_once)
            pause = _BUSY_SECONDS if count else min(pause * 1.5, _IDLE_SECONDS)
            if count < SEQUENCE_BATCH:
                await asyncio.sleep(pause)

    async def _recover(self) -> int:
        return await payments.recover(self.acquiring)

    async def _expire(self) -> int:
        return await transactions.expire_holds(self.db)

    async def _forget(self) -> int:
        async with self.db.begin(SYSTEM) as tx:
            return await once.forget(tx, tx.now - once.RETENTION)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[int]]) -> None:
        while True:
            if not await self._guarded(work.__name__.strip("_"), work):
                await asyncio.sleep(seconds)

    async def _guarded(self, name: str, work: Callable[[], Awaitable[int]]) -> int:
        pause, longest = _FAILED_SECONDS
        while True:
            try:
                return await work()
            except Exception:
                log.exception("worker.loop_failed", loop=name, again_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
