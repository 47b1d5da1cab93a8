"""Measure the statement of a day with many bookings, written while it is read from the ledger, and what memory it takes.

    .venv/bin/python benchmarks/account_reports.py [bookings]

The yardstick is lxml, which reads the same statement from beginning to end (iterparse), in the same run. Half of the bookings
belong to credit transfers, whose parties are sealed one by one.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from lxml import etree

from shanraq import accounts, credit_transfers, statements, transactions
from shanraq.core.actor import Actor, ActorKind, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.ids import new_id, new_number
from shanraq.core.money import Money
from shanraq.ops.bench.scratch import scratch
from shanraq.standards import iso20022

ROUNDS: Final = 3
BATCH: Final = 1000
NOON: Final = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
ACTOR: Final = Actor(
    kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2,
    scopes=frozenset({"accounts:read", "accounts:write"}),
)  # fmt: skip
DETAILS: Final = credit_transfers.Details(
    debtor_name="Debtor LLP", debtor_account="KZ86125KZT5004100100", creditor_name="Creditor LLP",
    creditor_account="KZ75125KZT1001300335", creditor_agent="HSBKKZKX", remittance="Invoice 4711 of November",
)  # fmt: skip


async def book(db: Database, keyring: Keyring, debit: str, credit: str, count: int) -> None:
    """Move money `count` times, every second time for a credit transfer."""
    for start in range(0, count, BATCH):
        async with db.begin(ACTOR) as tx:
            moved = await transactions.open_movements(
                tx,
                [
                    transactions.Movement(
                        kind=transactions.TransactionKind.TRANSFER, debit_account=debit, credit_account=credit,
                        amount=Money.of(100 + number, "KZT"), transfer_id=new_number(), reference=f"order-{number}",
                    )
                    for number in range(start, min(start + BATCH, count))
                ],
            )  # fmt: skip
            instructed = moved[::2]
            added = await credit_transfers.add_transfers(
                tx,
                keyring,
                new_id("pfl"),
                [
                    credit_transfers.NewTransfer(
                        position=position, block=1, block_id="BLOCK", instruction_id=f"I-{position}",
                        end_to_end_id=f"E-{start}-{position}", uetr=f"00000000-0000-4000-8000-{start + position:012x}",
                        amount=stored.transaction.amount, currency="KZT", execution_date=NOON.date(), details=DETAILS,
                    )
                    for position, stored in enumerate(instructed, 1)
                ],
            )  # fmt: skip
            await tx.execute(
                """UPDATE credit_transfer c SET status = 'settled', route = 'clearing', transaction_id = u.moved
                     FROM unnest($1::text[], $2::text[]) u(id, moved) WHERE c.id = u.id""",
                [one.id for one in added],
                [stored.transaction.id for stored in instructed],
            )


async def write(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Write a report to a file as it comes."""
    with path.open("wb") as file:
        async for piece in pieces:
            file.write(piece)


def read(path: Path) -> int:
    """Read a statement as lxml does and count its entries."""
    count = 0
    for _, element in etree.iterparse(path, tag="{*}Ntry"):
        count += 1
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]
    return count


def forget_peak() -> None:
    """Let the kernel begin anew with the highest memory of this process."""
    Path("/proc/self/clear_refs").write_text("5")


def memory(name: str) -> float:
    """Return a figure of this process's memory in MB: VmRSS now, VmHWM at most."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


async def main(count: int) -> None:
    """Make a day, state it, and print figures."""
    keyring = Keyring.generate()
    institution = statements.Institution(bic="HSBKKZKX")
    now = NOON
    async with scratch() as server:
        db = await Database.connect(server.dsn, clock=lambda: now)
        wanted = accounts.NewAccount(currency="KZT", allow_negative=True)
        debit, credit = [await accounts.open_account(db, ACTOR, wanted) for _ in range(2)]
        wishes = statements.ReportWishes(statements=True)
        await statements.set_reports(db, ACTOR, institution, debit.id, wishes)
        await book(db, keyring, debit.id, credit.id, count)
        now += timedelta(days=1)
        reader = statements.Reader(db, keyring, institution)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "statement.xml")
            written, parsed, peaks = [], [], []
            for _ in range(ROUNDS):
                forget_peak()
                before, began = memory("VmRSS"), time.perf_counter()
                await write(await reader.statement(ACTOR, debit.id, NOON.date()), path)
                written.append(time.perf_counter() - began)
                peaks.append(memory("VmHWM") - before)
                began = time.perf_counter()
                assert read(path) == count
                parsed.append(time.perf_counter() - began)
            size = path.stat().st_size / 1e6
            with path.open("rb") as file:  # noqa: ASYNC230
                assert iso20022.validate_stream(file, as_of=now).valid
        forget_peak()
        before, began = memory("VmRSS"), time.perf_counter()
        made = await statements.produce(db, keyring, institution)
        kept, peak = time.perf_counter() - began, memory("VmHWM") - before
        await db.close()
    one, yardstick = statistics.median(written), statistics.median(parsed)
    print(f"{count} bookings, {size:.0f} MB")
    print(f"read by lxml      {yardstick:6.2f} s   {[round(each, 2) for each in parsed]}")
    print(f"written           {one:6.2f} s   {one / yardstick:.1f} x lxml, memory + {max(peaks):.0f} MB")
    print(f"kept as {made:3} pages {kept:6.2f} s   {kept / yardstick:.1f} x lxml, memory + {peak:.0f} MB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
