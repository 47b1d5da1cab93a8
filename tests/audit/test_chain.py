from __future__ import annotations

import asyncio

import asyncpg
import pytest

from shanraq import audit
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment
from shanraq.core.db import Database

PARTNER = Actor(
    kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2, request_id="req_1"
)


async def write(database: Database, count: int) -> None:
    async def one(n: int) -> None:
        async with database.begin(PARTNER) as tx:
            audit.record(tx, "payment.captured", f"pay_{n}", {"amount": n, "why": "тест"})
            audit.record(tx, "transaction.executed", f"trx_{n}", request_id="req_other")

    await asyncio.gather(*(one(n) for n in range(count)))


async def findings(database: Database) -> list[str]:
    async with database.begin(SYSTEM) as tx:
        return await audit.verify(tx)


async def tamper(owner_dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(owner_dsn)
    try:
        await connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        changed = await connection.execute(statement)
        await connection.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    finally:
        await connection.close()
    assert changed.endswith(" 1")


async def test_an_untouched_log_verifies(database: Database) -> None:
    await write(database, 40)
    seen: list[int] = []

    async with database.begin(SYSTEM) as tx:
        result = await audit.verify(tx, seen.append)

    assert result == []
    assert seen[-1] == 80


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entry SET details = set_byte(details, 0, get_byte(details, 0) # 1) WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET subject = 'pay_X' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET action = 'payment.capturec' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET actor = 'partner:key_2' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET request_id = 'req_2' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET partner_id = 'prt_2' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET environment = 'live' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET at = at + interval '1 microsecond' WHERE subject = 'pay_3'",
        "UPDATE audit_entry SET hash = set_byte(hash, 31, get_byte(hash, 31) # 1) WHERE subject = 'pay_3'",
        "DELETE FROM audit_entry WHERE subject = 'pay_3'",
        "DELETE FROM audit_entry WHERE (lane, seq) = (SELECT lane, max(seq) FROM audit_entry GROUP BY lane LIMIT 1)",
        "UPDATE audit_lane SET seq = seq + 1 WHERE lane = 5",
    ],
)
async def test_one_changed_byte_is_found(database: Database, owner_dsn: str, change: str) -> None:
    await write(database, 8)

    await tamper(owner_dsn, change)

    assert await findings(database)


async def test_the_application_cannot_change_the_log(database: Database) -> None:
    await write(database, 1)

    for statement in ("UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.begin(SYSTEM) as tx:
                await tx.execute(statement)


async def test_even_the_owner_meets_the_trigger(database: Database, owner_dsn: str) -> None:
    await write(database, 1)
    connection = await asyncpg.connect(owner_dsn)
    try:
        for statement in ("UPDATE audit_entry SET action = 'x'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_writers_side_by_side_take_different_lanes(database: Database) -> None:
    both = asyncio.Barrier(2)

    async def one(n: int) -> int:
        async with database.begin(PARTNER) as tx:
            lane = await tx.value(
                """INSERT INTO audit_entry
                   SELECT * FROM audit_link($1, 'prt_1', 'sandbox', 'partner:k', $2, $3, $4, $5) RETURNING lane""",
                tx.now, ["r"], ["a.b"], [f"s{n}"], [b"{}"],
            )  # fmt: skip
            await both.wait()
            return int(lane)

    lanes = await asyncio.wait_for(asyncio.gather(one(1), one(2)), 10)

    assert lanes[0] != lanes[1]
    assert await findings(database) == []
