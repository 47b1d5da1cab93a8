from __future__ import annotations

import asyncpg
import pytest

from shanraq import credit_transfers
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from tests.credit_transfers.world import (
    OTHER_BANK,
    InterbankWorld,
    iban,
    instruction,
    payment_return,
    status_report,
)
from tests.money_world import Bank


@pytest.fixture
async def world(database: Database) -> InterbankWorld:
    """Transfers of every status."""
    world = InterbankWorld(Bank(database))
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)
    elsewhere = iban("601", 7)
    done = await world.submit(
        instruction(str(payer.iban), str(payee.iban), position=1),
        *(instruction(str(payer.iban), elsewhere, position=n, agent=OTHER_BANK) for n in (2, 3, 4, 5)),
        instruction(str(payer.iban), str(payee.iban), 999_00, position=6),
    )
    await world.add(instruction(str(payer.iban), str(payee.iban), position=7))
    world.clearing.say("pacs.002.001.10", status_report([done[1]], "ACSC"))
    world.clearing.say("pacs.002.001.10", status_report([done[2]], "RJCT", "AC04"))
    world.clearing.say("pacs.002.001.10", status_report([done[3]], "ACSC"))
    world.clearing.say("pacs.004.001.09", payment_return(done[3], "4.00"))
    await world.listen()
    return world


async def findings(world: InterbankWorld) -> list[str]:
    async with world.db.begin(SYSTEM) as tx:
        return await credit_transfers.verify(tx)


async def test_transfers_of_every_status_agree_with_their_money(world: InterbankWorld) -> None:
    assert await findings(world) == []
    async with world.db.begin(SYSTEM) as tx:
        statuses = {row["status"] for row in await tx.rows("SELECT DISTINCT status FROM credit_transfer")}
    assert statuses == {"received", "submitted", "settled", "rejected", "returned"}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE credit_transfer SET status = 'settled', next_check_at = NULL WHERE position = 5",
        "UPDATE credit_transfer SET status = 'submitted', next_check_at = now() WHERE position = 2",
        "UPDATE transaction SET amount = amount + 1 WHERE id = (SELECT transaction_id FROM credit_transfer WHERE position = 1)",
        "UPDATE credit_transfer SET amount_returned = 500 WHERE position = 4",
    ],
)
async def test_what_does_not_agree_is_found(world: InterbankWorld, owner_dsn: str, change: str) -> None:
    connection = await asyncpg.connect(owner_dsn)
    await connection.execute(change)
    await connection.close()

    assert len(await findings(world)) == 1
