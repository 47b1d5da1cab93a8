from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from shanraq import messages
from shanraq.core.actor import Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.messages import Direction, Message, MessageStatus, NewMessage, Party
from tests.money_world import partner

LEASE = timedelta(minutes=1)
KEYRING = Keyring.generate()
XML = "<Document>Қазақ</Document>".encode() * 100


def new(
    business_id: str = "B1", status: MessageStatus = MessageStatus.QUEUED, party: Party = Party.CLEARING
) -> NewMessage:
    return NewMessage(
        content=XML,
        direction=Direction.OUT,
        party=party,
        definition="pacs.008.001.08",
        message_id=business_id,
        business_id=business_id,
        sender="SHRQKZKX",
        receiver="KISCKZKX",
        status=status,
    )


async def kept(database: Database, message: NewMessage) -> Message:
    async with database.begin(partner()) as tx:
        return await messages.keep(tx, KEYRING, message)


async def take(database: Database, limit: int = 10) -> list[messages.Queued]:
    async with database.begin(messages.system(Environment.SANDBOX)) as tx:
        return await messages.take_queued(tx, Environment.SANDBOX, MessageStatus.QUEUED, limit=limit, lease=LEASE)


async def test_a_message_is_kept_sealed_and_given_back_as_it_was(database: Database) -> None:
    message = await kept(database, new())

    async with database.begin(partner()) as tx:
        assert await messages.content(tx, KEYRING, message.id) == XML
        stored = await tx.value("SELECT content FROM iso_message")
        assert await messages.of_message_id(tx, "B1") == [message]
    assert b"Document" not in stored
    assert message.size == len(XML)


async def test_another_partner_does_not_see_it(database: Database) -> None:
    message = await kept(database, new())

    async with database.begin(partner(2)) as tx:
        with pytest.raises(messages.MessageNotFoundError):
            await messages.content(tx, KEYRING, message.id)
        assert await messages.of_message_id(tx, "B1") == []


async def test_a_clearing_message_is_kept_once(database: Database) -> None:
    await kept(database, new())

    async with database.begin(partner()) as tx:
        assert await messages.keep_once(tx, KEYRING, new()) is None


async def test_a_partner_may_have_many_messages_of_one_name(database: Database) -> None:
    first = await kept(database, new(party=Party.PARTNER, status=MessageStatus.KEPT))
    second = await kept(database, new(party=Party.PARTNER, status=MessageStatus.KEPT))

    async with database.begin(partner()) as tx:
        assert await messages.of_message_id(tx, "B1") == [first, second]


async def test_a_queued_message_is_taken_by_one_until_its_lease_ends(database: Database) -> None:
    for number in range(6):
        await kept(database, new(f"B{number}"))

    taken = await asyncio.gather(*(take(database, 2) for _ in range(5)))

    assert sorted(item.message.business_id for some in taken for item in some) == [f"B{n}" for n in range(6)]
    assert await take(database) == []
    now = database.clock()
    database.clock = lambda: now + 2 * LEASE
    assert [item.attempts for item in await take(database)] == [2] * 6


async def test_what_was_sent_is_not_taken_again(database: Database) -> None:
    sent, refused, given_up, later = [await kept(database, new(name)) for name in "ABCD"]
    async with database.begin(partner()) as tx:
        await messages.mark_sent(tx, sent.id)
        await messages.refuse(tx, refused.id, "schema_invalid")
        await messages.give_up(tx, given_up.id, "no answer")
        await messages.postpone(tx, later.id, timedelta(seconds=30), "timeout")

    assert await take(database) == []
    async with database.begin(partner()) as tx:
        found = [await messages.find(tx, one.id) for one in (sent, refused, given_up, later)]
    assert [(one.status, one.failure) for one in found] == [
        ("sent", ""), ("refused", "schema_invalid"), ("given_up", "no answer"), ("queued", "timeout"),
    ]  # fmt: skip


async def test_a_queued_message_knows_its_owner(database: Database) -> None:
    await kept(database, new())

    (item,) = await take(database)

    assert (item.actor.partner_id, item.actor.environment, item.actor.book) == ("prt_1", Environment.SANDBOX, 2)
    assert item.content(KEYRING) == XML


async def test_a_mailbox_is_read_by_one(database: Database) -> None:
    async with messages.reading(database, Environment.SANDBOX, "ics") as first:
        async with messages.reading(database, Environment.SANDBOX, "ics") as second:
            assert (first, second) == ("", None)
        async with messages.reading(database, Environment.LIVE, "ics") as live:
            assert live == ""
        async with database.begin(messages.system(Environment.SANDBOX)) as tx:
            await messages.advance(tx, Environment.SANDBOX, "ics", "7")

    async with messages.reading(database, Environment.SANDBOX, "ics") as after:
        assert after == "7"
