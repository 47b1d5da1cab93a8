"""Work at payment files: validate, turn transactions into credit transfers, watch these until the last has its outcome.

Any number of processes may do it. A file is leased to one of them, under a name that every step checks: who lost its lease
changes nothing more. A crash at any point leaves the file where its last transaction put it, and the next worker goes on.
"""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, Protocol, TypeVar, assert_never

import asyncpg
import structlog

from shanraq import audit, credit_transfers, events, messages
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Tx
from shanraq.core.ids import new_id
from shanraq.credit_transfers import Rejection
from shanraq.payment_files import store
from shanraq.payment_files.instructions import FORM, Batch, File, read_batches
from shanraq.payment_files.judge import judge, read_heading
from shanraq.payment_files.model import KEPT_FINDINGS, FileFinding, FileStatus, PaymentFile, Verdict
from shanraq.payment_files.pieces import PieceReader
from shanraq.payment_files.status_report import default_version, write_report
from shanraq.payment_files.store import Taken
from shanraq.standards import iso20022

log = structlog.get_logger(__name__)

T = TypeVar("T")

LEASE: Final = timedelta(seconds=30)
_LOOK: Final = (timedelta(seconds=0.5), timedelta(seconds=60))
"""How soon and how late transfers are looked at again: a tenth of the time since anything changed."""
_DUPLICATE: Final = Rejection("DU01", "another file has this message identification")


class _Run(Protocol):
    """Run something in the reading thread."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Return what `work` returns."""


class _LeaseLostError(Exception):
    """Somebody else works at the file now."""


async def advance(db: Database, keyring: Keyring, *, lease: timedelta = LEASE) -> int:
    """Take the file that is due longest a step further; returns 0 when none is due.

    A step is the validation, the whole loading, or one look at the transfers.
    """
    async with db.begin(SYSTEM) as tx:
        taken = await store.take(tx, new_id("wrk"), lease)
    if taken is None:
        return 0
    work = _Work(db, keyring, taken, lease)
    try:
        match taken.file.status:
            case FileStatus.RECEIVED:
                await work.validate()
            case FileStatus.LOADING:
                await work.load()
            case FileStatus.PROCESSING:
                await work.look()
            case FileStatus.COMPLETED | FileStatus.REJECTED:
                raise AssertionError("what has ended is never due")
            case _:
                assert_never(taken.file.status)
    except _LeaseLostError:
        log.warning("payment_files.lease_lost", file=taken.file.id)
    except Exception:
        # Taken up again when its lease is over; other files go on.
        log.exception("payment_files.step_failed", file=taken.file.id, status=taken.file.status)
    return 1


class _Work:
    """One step at a file that was taken."""

    def __init__(self, db: Database, keyring: Keyring, taken: Taken, lease: timedelta) -> None:
        self._db = db
        self._keyring = keyring
        self._taken = taken
        self._lease = lease

    async def validate(self) -> None:
        """Judge the file: refuse it, or let its transactions be loaded."""
        file = self._taken.file
        async with self._reading() as (run, read):
            report = await run(
                lambda: iso20022.validate_stream(read(), profile=file.profile.value, as_of=file.created_at)
            )
            heading = await run(lambda: read_heading(read()))
        verdict = judge(report, heading)
        try:
            await self._db.run(self._taken.actor, lambda tx: self._judge(tx, verdict))
        except asyncpg.UniqueViolationError:
            # Another file with this message id was accepted at the same moment.
            await self._db.run(self._taken.actor, lambda tx: self._judge(tx, verdict))

    async def _judge(self, tx: Tx, verdict: Verdict) -> None:
        heading = verdict.heading
        if verdict.rejection is None and await store.message_taken(tx, self._taken.file.id, heading.message_id):
            verdict = _refused_by(verdict, _DUPLICATE)
        status = FileStatus.RECEIVED.to(FileStatus.LOADING if verdict.rejection is None else FileStatus.REJECTED)
        digits = heading.transactions.isascii() and heading.transactions.isdigit() and len(heading.transactions) < 10
        file = await store.judge(tx, self._taken, verdict, status, int(heading.transactions) if digits else 0)
        if file is None:
            raise _LeaseLostError
        if file.status is FileStatus.REJECTED:
            tell(tx, file, "rejected")
            await self._keep_report(tx, file)
        else:
            tell(tx, file, "accepted")

    async def load(self) -> None:
        """Store the transactions of the file as credit transfers, from where loading stopped."""
        file = self._taken.file
        async with self._db.begin(self._taken.actor) as tx:
            rejections = await store.load_rejections(tx, file.id)
            losses = Counter(await store.load_losses(tx, file.id))
        loaded = file.progress.loaded
        known = File(file.id, file.definition, file.created_at.date(), rejections)
        async with self._reading() as (run, read):
            batches = read_batches(read(), known, after=loaded)
            batch = await run(lambda: next(batches, None))
            while batch is not None:
                # While one batch is stored, the next is read.
                following = asyncio.ensure_future(run(lambda: next(batches, None)))
                losses.update(batch.losses)
                try:
                    await self._store(batch, loaded, losses)
                except BaseException:
                    following.cancel()
                    raise
                loaded += len(batch.transfers)
                batch = await following
        async with self._db.begin(self._taken.actor) as tx:
            if not await store.end_loading(tx, self._taken, _with_losses(file, losses)):
                raise _LeaseLostError

    async def _store(self, batch: Batch, loaded: int, losses: Counter[str]) -> None:
        async def work(tx: Tx) -> None:
            after = loaded + len(batch.transfers)
            if not await store.move_loaded(tx, self._taken, loaded, after, losses, self._lease):
                raise _LeaseLostError
            await credit_transfers.add_transfers(tx, self._keyring, self._taken.file.id, batch.transfers)

        await self._db.run(self._taken.actor, work)

    async def look(self) -> None:
        """Complete the file if all its transfers have their outcome."""
        file = self._taken.file

        async def work(tx: Tx) -> None:
            totals = await credit_transfers.totals(tx, file.id)
            counts = {status.value: n for status, n in totals.counts.items()}
            if totals.open:
                soonest, latest = _LOOK
                await store.look_again(
                    tx, self._taken, counts, min(max((tx.now - file.updated_at) / 10, soonest), latest)
                )
                return
            done = await store.complete(tx, self._taken, counts)
            if done is None:
                raise _LeaseLostError
            tell(tx, done, "completed")
            await self._keep_report(tx, done)

        await self._db.run(self._taken.actor, work)

    async def _keep_report(self, tx: Tx, file: PaymentFile) -> None:
        """Keep the last status report beside the file: the file is the record of the pain.001, the report is related to it."""
        report = await write_report(tx, file.id, default_version(file.definition))
        await messages.keep(
            tx,
            self._keyring,
            messages.NewMessage(
                content=b"".join(report.chunks()),
                direction=messages.Direction.OUT,
                party=messages.Party.PARTNER,
                definition=report.definition,
                message_id=report.message_id,
                related_id=file.id,
            ),
        )

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[tuple[_Run, Callable[[], io.BufferedReader]]]:
        """Give a thread of its own for reading, and readers of the file for it; the lease is renewed meanwhile."""
        loop = asyncio.get_running_loop()
        taken = self._taken
        opened: list[PieceReader] = []

        def read() -> io.BufferedReader:
            reader = PieceReader(loop, self._db, self._keyring, taken.actor, taken.file.id, taken.pieces)
            opened.append(reader)
            return io.BufferedReader(reader)

        async def run(work: Callable[[], T]) -> T:
            return await loop.run_in_executor(thread, work)

        thread = ThreadPoolExecutor(1, thread_name_prefix="payment-file")
        renewing = asyncio.create_task(self._renew(), name="renew")
        try:
            yield run, read
        finally:
            renewing.cancel()
            for reader in opened:
                reader.stop()
            thread.shutdown(wait=False, cancel_futures=True)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            try:
                async with self._db.begin(self._taken.actor) as tx:
                    await store.renew(tx, self._taken, self._lease)
            except Exception:
                log.exception("payment_files.renew_failed", file=self._taken.file.id)


def _refused_by(verdict: Verdict, rejection: Rejection) -> Verdict:
    return Verdict(
        definition=verdict.definition, heading=verdict.heading, findings=verdict.findings, rejection=rejection
    )


def _with_losses(file: PaymentFile, losses: Counter[str]) -> list[FileFinding]:
    """Return the findings of a file and, at the end, what its conversion cost."""
    if not losses:
        return file.findings
    places = "; ".join(f"{path} ({n})" for path, n in losses.most_common(10))
    words = f"{losses.total()} values were left out or changed in the form of {FORM}: {places}"
    told = FileFinding("converted", "info", "cross", "", 0, words, "")
    return [*file.findings[: KEPT_FINDINGS - 1], told]


def tell(tx: Tx, file: PaymentFile, what: str) -> None:
    """Emit the event and the audit entry of a step."""
    events.emit(tx, events.Event(f"payment_file.{what}", f"payment_file/{file.id}", file))
    audit.record(tx, f"payment_file.{what}", file.id, {"reason": file.reason, "transactions": file.transactions})
