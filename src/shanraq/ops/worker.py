"""The worker: number events, deliver webhooks, recover and settle payments, carry out reversals and files, report, forget.

Any number of workers run side by side; each loop takes what no other has. A loop that fails is logged and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from shanraq import credit_transfers, events, partners, payment_files, payments, settlement, transactions, webhooks
from shanraq.adapters.cardhost import CardHostAdapter
from shanraq.core import once
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database
from shanraq.switch import carry_out_reversals

log = structlog.get_logger(__name__)

SEQUENCE_BATCH: Final = 1000
_BUSY_SECONDS: Final = 0.005
# Under load a round of the sequencer is worth the more the more events it takes: it rests three times as long as it works.
_REST: Final = 3.0
_IDLE_SECONDS: Final = 0.05
_LAST_DELIVERIES_SECONDS: Final = 10.0
_FAILED_SECONDS: Final = (0.1, 5.0)
_FORWARD_SECONDS: Final = 0.5
_REVERSALS_SECONDS: Final = 0.5
_PROBE_SECONDS: Final = 5.0
_EXECUTE_SECONDS: Final = 0.5
_SEND_SECONDS: Final = 0.5
_MAILBOX_WAIT_SECONDS: Final = 20.0
_ASK_SECONDS: Final = 5.0
_PAYMENT_FILES_SECONDS: Final = 0.5
_PAYMENT_FILES_AT_ONCE: Final = 2  # a small file need not wait for a large one
_REPORTS_SECONDS: Final = 1.0
_REVIEWS_SECONDS: Final = 5.0
_AUTHORIZATIONS_SECONDS: Final = 5.0


class Worker:
    """The loops of one worker process; `run` ends when cancelled.

    `recover_interval_seconds` is how often operations without an outcome are looked for; `produce_reports` makes the account
    reports that are due and returns how many.
    """

    def __init__(
        self,
        db: Database,
        acquiring: payments.Acquiring,
        courier: webhooks.Courier,
        registry: CollectorRegistry,
        *,
        card_hosts: Sequence[CardHostAdapter] = (),
        interbank: credit_transfers.Interbank | None = None,
        recover_interval_seconds: float = 5.0,
        produce_reports: Callable[[], Awaitable[int]] | None = None,
        settlement_sources: settlement.Sources | None = None,
        settle_interval_seconds: float = 10.0,
        card_retention: payments.CardRetention | None = None,
        notices_kept: timedelta | None = payments.NOTICES_KEPT,
    ) -> None:
        self._db = db
        self._card_hosts = card_hosts
        self._interbank = interbank or credit_transfers.Interbank(db, acquiring.keyring)
        self._acquiring = acquiring
        self._courier = courier
        self._recover_interval_seconds = recover_interval_seconds
        self._produce_reports = produce_reports
        self._settlement_sources = settlement_sources or settlement.Sources()
        self._settle_interval_seconds = settle_interval_seconds
        self._card_retention = card_retention or payments.CardRetention()
        self._notices_kept = notices_kept
        self._enqueued = asyncio.Event()
        self._stop = asyncio.Event()
        self._events = Counter("shanraq_events_sequenced", "Events numbered by this process.", registry=registry)
        self._failures = Counter("shanraq_worker_failures", "Rounds that failed.", ("loop",), registry=registry)
        self._unstamped = Gauge("shanraq_outbox_unstamped", "Events that wait for their number.", registry=registry)
        self._unknown = Gauge(
            "shanraq_payments_oldest_unknown_seconds",
            "Age of the oldest operation without an outcome; alert above 900.",
            registry=registry,
        )
        self._overdue = Gauge(
            "shanraq_payments_overdue",
            "Operations without an outcome for more than 15 minutes; alert above 0.",
            registry=registry,
        )
        self._attempts = Gauge(
            "shanraq_payment_attempts_last_hour",
            "Attempts at payment systems by their outcome, in the last hour.",
            ("environment", "adapter", "scheme", "outcome"),
            registry=registry,
        )
        self._queued = Gauge(
            "shanraq_card_host_queued", "Messages that must reach a card host.", ("link", "state"), registry=registry
        )
        self._queued_seconds = Gauge(
            "shanraq_card_host_oldest_queued_seconds",
            "Age of the oldest message that must reach a card host; alert above 300.",
            ("link",),
            registry=registry,
        )
        self._unanswered = Gauge(
            "shanraq_credit_transfers_oldest_unanswered_seconds",
            "Age of the oldest credit transfer that a clearing system has not decided on.",
            registry=registry,
        )
        self._exceptions = Gauge(
            "shanraq_settlement_exceptions", "Exceptions of settlement that wait for a person.", registry=registry
        )
        self._online = Gauge("shanraq_card_host_connections", "Connections that are up.", ("link",), registry=registry)

    async def run(self) -> None:
        """Run all loops until cancelled; deliveries under way are then given ten seconds to end."""
        delivering = asyncio.create_task(self._courier.run(self._stop, self._enqueued), name="deliver")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_ended(delivering), name="delivering")
                group.create_task(self._sequence(), name="sequence")
                group.create_task(self._every(self._recover_interval_seconds, "recover", self._recover), name="recover")
                group.create_task(self._every(_PROBE_SECONDS, "probe", self._probe), name="probe")
                group.create_task(self._every(1.0, "expire", self._expire), name="expire")
                group.create_task(self._every(_REVIEWS_SECONDS, "reviews", self._look_at_reviews), name="reviews")
                group.create_task(
                    self._every(_AUTHORIZATIONS_SECONDS, "authorizations", self._expire_authorizations),
                    name="authorizations",
                )
                group.create_task(self._every(_REVERSALS_SECONDS, "reversals", self._take_back), name="reversals")
                for number in range(_PAYMENT_FILES_AT_ONCE):
                    name = f"payment files {number}"
                    group.create_task(self._every(_PAYMENT_FILES_SECONDS, "payment_files", self._advance), name=name)
                group.create_task(self._every(3600.0, "forget", self._forget), name="forget")
                group.create_task(self._every(5.0, "observe", self._observe), name="observe")
                group.create_task(self._every(_EXECUTE_SECONDS, "execute", self._execute), name="execute")
                group.create_task(self._every(self._settle_interval_seconds, "settle", self._settle), name="settle")
                for environment in self._interbank.clearings:
                    self._clear(group, environment)
                if self._produce_reports is not None:
                    group.create_task(self._every(_REPORTS_SECONDS, "reports", self._produce_reports), name="reports")
                for host in self._card_hosts:
                    name = f"forward {host.link.configuration.name}"
                    group.create_task(self._every(_FORWARD_SECONDS, name, host.forward), name=name)
        finally:
            self._stop.set()
            # What does not end in time is cut off: its lease runs out, and it is sent again with the same id.
            await asyncio.wait([delivering], timeout=_LAST_DELIVERIES_SECONDS)
            delivering.cancel()

    @staticmethod
    async def _until_ended(task: asyncio.Task[None]) -> None:
        await asyncio.shield(task)

    async def sequence_once(self) -> int:
        """Number a batch of events and lay out their deliveries, in one transaction; returns how many."""
        async with self._db.begin(SYSTEM) as tx:
            numbered = await events.stamp(tx, limit=SEQUENCE_BATCH)
            woken = await webhooks.enqueue(tx, numbered)
        self._events.inc(len(numbered))
        if woken:
            self._enqueued.set()
        return len(numbered)

    async def _sequence(self) -> None:
        pause = _BUSY_SECONDS
        while True:
            began = time.perf_counter()
            count = await self._guarded("sequence", self.sequence_once)
            if count:
                pause = min(max(_BUSY_SECONDS, _REST * (time.perf_counter() - began)), _IDLE_SECONDS)
            else:
                pause = min(pause * 1.5, _IDLE_SECONDS)
            if count < SEQUENCE_BATCH:
                await asyncio.sleep(pause)

    async def _recover(self) -> int:
        return await payments.recover(self._acquiring)

    async def _look_at_reviews(self) -> int:
        return await payments.look_at_reviews(self._acquiring)

    async def _expire_authorizations(self) -> int:
        return await payments.expire_authorizations(self._db)

    async def _probe(self) -> int:
        await payments.probe(self._acquiring.gateways)
        return 0

    async def _take_back(self) -> int:
        return await carry_out_reversals(self._acquiring)

    async def _execute(self) -> int:
        return await credit_transfers.execute(self._interbank)

    def _clear(self, group: asyncio.TaskGroup, environment: Environment) -> None:
        bank = self._interbank
        for verb, seconds, work in (
            ("send", _SEND_SECONDS, partial(credit_transfers.send_queued, bank, environment)),
            ("listen", _SEND_SECONDS,
             partial(credit_transfers.take_news, bank, environment, wait_seconds=_MAILBOX_WAIT_SECONDS)),
            ("ask", _ASK_SECONDS, partial(credit_transfers.ask, bank, environment)),
        ):  # fmt: skip
            name = f"{verb} {bank.clearings[environment].terms.name}"
            group.create_task(self._every(seconds, name, work), name=name)

    async def _advance(self) -> int:
        return await payment_files.advance(self._db, self._acquiring.keyring)

    async def _settle(self) -> int:
        return await settlement.settle(self._db, self._settlement_sources)

    async def _expire(self) -> int:
        return await transactions.expire_holds(self._db)

    async def _forget(self) -> int:
        async with self._db.begin(SYSTEM) as tx:
            forgotten = await once.forget(tx, tx.now - once.RETENTION)
            forgotten += await credit_transfers.forget(tx)
            forgotten += await payments.forget_authentications(tx)
            forgotten += await payments.forget(tx)
        for host in self._card_hosts:
            forgotten += await host.forget()
        forgotten += await payment_files.sweep(self._db)
        forgotten += await payments.purge_cards(self._db, self._card_retention)
        forgotten += await payments.purge_notices(self._db, self._notices_kept)
        return forgotten + await partners.prune_nonces(self._db)

    async def _observe(self) -> int:
        async with self._db.begin(SYSTEM) as tx:
            self._unstamped.set(await events.unstamped(tx))
        self._exceptions.set(await settlement.open_exceptions(self._db, SYSTEM))
        self._unanswered.set(await credit_transfers.oldest_unanswered_seconds(self._db))
        self._overdue.set(await payments.overdue_operations(self._db))
        self._unknown.set(await payments.oldest_unknown_seconds(self._db))
        self._attempts.clear()
        for environment, adapter, scheme, outcome, count in await payments.recent_outcomes(self._db):
            self._attempts.labels(environment, adapter, scheme, outcome).set(count)
        for host in self._card_hosts:
            link, backlog = host.link.configuration.name, await host.backlog()
            self._queued.labels(link, "waiting").set(backlog.waiting)
            self._queued.labels(link, "given_up").set(backlog.given_up)
            self._queued_seconds.labels(link).set(backlog.oldest_seconds)
            self._online.labels(link).set(host.link.status.online)
        return 0

    async def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[int]]) -> None:
        while True:
            if not await self._guarded(name, work):
                await asyncio.sleep(seconds)

    async def _guarded(self, name: str, work: Callable[[], Awaitable[int]]) -> int:
        pause, longest = _FAILED_SECONDS
        while True:
            try:
                return await work()
            except Exception:
                self._failures.labels(name).inc()
                log.exception("worker.loop_failed", loop=name, again_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
