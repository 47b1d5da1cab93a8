from __future__ import annotations

import asyncio

import pytest

from shanraq import accounts, credit_transfers, messages
from shanraq.core.actor import SYSTEM, Environment
from shanraq.core.db import Database
from shanraq.core.errors import ShanraqError
from shanraq.credit_transfers import CreditTransfer, Distrusted, NewRecall
from shanraq.standards.iso20022 import validate
from tests.credit_transfers.world import (
    OTHER_BANK,
    InterbankWorld,
    document_of,
    iban,
    instruction,
    payment_return,
    resolution,
    status_report,
)
from tests.money_world import Bank, partner

ELSEWHERE = iban("601", 77)
REPORT = "pacs.002.001.10"


@pytest.fixture
def world(database: Database) -> InterbankWorld:
    return InterbankWorld(Bank(database))


async def submitted(world: InterbankWorld, count: int = 1) -> tuple[accounts.Account, list[CreditTransfer]]:
    payer = await world.account(100_00, 1)
    new = [instruction(str(payer.iban), ELSEWHERE, position=n + 1, agent=OTHER_BANK) for n in range(count)]
    return payer, await world.submit(*new)


async def test_settled_money_has_left(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))

    await world.listen()

    done = await world.find(transfer)
    assert (done.status, done.iso_status) == ("settled", "ACSC")
    assert done.settled_at is not None
    assert await world.bank.balance(payer.id) == (90_00, 0, 0)
    assert (await world.bank.events())[-2:] == ["transaction.executed", "credit_transfer.settled"]
    assert await world.bank.verified()


async def test_rejected_money_is_free_again(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "RJCT", "AC04"))

    await world.listen()

    done = await world.find(transfer)
    assert (done.status, done.iso_status, done.reason) == ("rejected", "RJCT", "AC04")
    assert await world.bank.balance(payer.id) == (100_00, 0, 0)
    assert (await world.bank.events())[-2:] == ["transaction.rolled_back", "credit_transfer.rejected"]


async def test_a_status_on_the_way_changes_nothing_but_itself(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "PDNG"))

    await world.listen()

    assert (await world.find(transfer)).iso_status == "PDNG"
    assert await world.bank.balance(payer.id) == (100_00, 10_00, 0)


@pytest.mark.parametrize(("group", "expected"), [("ACSC", "settled"), ("RJCT", "rejected"), ("PDNG", "submitted")])
async def test_a_status_of_the_group_is_one_of_each(world: InterbankWorld, group: str, expected: str) -> None:
    _, transfers = await submitted(world, 3)
    world.clearing.say(REPORT, status_report(transfers, group, "MS03" if group == "RJCT" else "", group=group))

    await world.listen()

    assert {(await world.find(one)).status for one in transfers} == {expected}


async def test_a_message_that_comes_twice_counts_once(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "ACSC"), business_id="SAME")
    world.clearing.say(REPORT, status_report([transfer], "ACSC"), business_id="SAME")

    await world.listen()
    await world.listen()

    assert await world.bank.balance(payer.id) == (90_00, 0, 0)
    assert (await world.bank.events()).count("credit_transfer.settled") == 1
    assert await world.listen() == 0


async def test_what_contradicts_a_final_status_changes_nothing(world: InterbankWorld) -> None:
    payer, transfers = await submitted(world, 2)
    world.clearing.say(REPORT, status_report([transfers[0]], "ACSC"))
    world.clearing.say(REPORT, status_report([transfers[1]], "RJCT", "AC04"))
    world.clearing.say(REPORT, status_report([transfers[0]], "RJCT", "AC04"))
    world.clearing.say(REPORT, status_report([transfers[1]], "ACSC"))

    await world.listen()

    assert [(await world.find(one)).status for one in transfers] == ["settled", "rejected"]
    assert await world.bank.balance(payer.id) == (90_00, 0, 0)
    trace = await credit_transfers.trace_transfer(world.db, world.bank.actor, transfers[0].id)
    assert [step.status for step in trace.steps] == ["submitted", "ACSC", "RJCT"]


async def test_returned_money_comes_back(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "10.00"))

    await world.listen()

    done = await world.find(transfer)
    assert (done.status, done.reason, done.amount_returned) == ("returned", "AC04", 10_00)
    assert await world.bank.balance(payer.id) == (100_00, 0, 0)
    assert (await world.bank.events())[-1] == "credit_transfer.returned"
    assert await world.bank.verified()


async def test_a_return_may_bring_less_and_may_come_before_the_status(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "7.50000"))
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))

    await world.listen()

    done = await world.find(transfer)
    assert (done.status, done.amount_returned) == ("returned", 7_50)
    assert await world.bank.balance(payer.id) == (97_50, 0, 0)


async def test_a_second_return_brings_nothing(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "10.00"))
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "10.00"))

    await world.listen()

    assert await world.bank.balance(payer.id) == (100_00, 0, 0)


async def test_money_for_a_closed_account_is_kept_apart(world: InterbankWorld) -> None:
    payer = await world.account(10_00, 1)
    (transfer,) = await world.submit(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK))
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))
    await world.listen()
    await accounts.close_account(world.db, world.bank.actor, payer.id)
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "10.00"))

    await world.listen()

    assert (await world.find(transfer)).status == "returned"
    assert await world.bank.balance(payer.id) == (0, 0, 0)
    async with world.db.begin(world.bank.actor) as tx:
        unclaimed = await accounts.system_account(tx, accounts.SystemAccount.UNCLAIMED, payer.money)
    assert await world.bank.balance(unclaimed.id) == (10_00, 0, 0)


async def test_a_message_that_must_not_be_believed_is_only_kept(world: InterbankWorld) -> None:
    _, (transfer,) = await submitted(world)
    world.clearing.mailbox.append(Distrusted("1", "M1", "digest_mismatch: changed", b"<Envelope/>"))
    world.clearing.say(REPORT, status_report([transfer], "ACSC"), business_id="M1")

    await world.listen()

    assert (await world.find(transfer)).status == "settled"
    async with world.db.begin(SYSTEM) as tx:
        rows = await tx.rows("SELECT status, failure FROM iso_message WHERE direction = 'in' ORDER BY created_at")
    assert sorted(row["status"] for row in rows) == ["applied", "failed"]


async def test_a_message_about_nothing_of_ours_is_kept_as_failed(world: InterbankWorld) -> None:
    _, (transfer,) = await submitted(world)
    body = status_report([transfer], "ACSC").replace(transfer.id[4:], "01JDK7ZC3V0X2Q9M5R8T6W4Y1B")
    world.clearing.say(REPORT, body.replace(transfer.uetr, "eb6305c9-1f7f-49de-aed0-16487c27b42d"))

    await world.listen()

    assert (await world.find(transfer)).status == "submitted"
    async with world.db.begin(SYSTEM) as tx:
        row = await tx.row("SELECT status, failure, partner_id FROM iso_message WHERE direction = 'in'")
    assert row is not None
    assert (row["status"], row["failure"], row["partner_id"]) == ("failed", "it names no transfer of ours", "")


async def test_one_message_about_transfers_of_two_partners(database: Database) -> None:
    first = InterbankWorld(Bank(database))
    second = InterbankWorld(Bank(database, partner(2)), first.keyring, first.clearing)
    _, (one,) = await submitted(first)
    _, (other,) = await submitted(second)
    body = status_report([one, other], "ACSC")

    first.clearing.say(REPORT, body)
    await first.listen()

    assert (await first.find(one)).status == "settled"
    assert (await second.find(other)).status == "settled"


async def test_a_mailbox_is_read_by_one_process_at_a_time(world: InterbankWorld) -> None:
    payer, transfers = await submitted(world, 3)
    for transfer in transfers:
        world.clearing.say(REPORT, status_report([transfer], "ACSC"))

    await asyncio.gather(*(world.listen() for _ in range(5)))

    assert await world.bank.balance(payer.id) == (70_00, 0, 0)
    assert (await world.bank.events()).count("credit_transfer.settled") == 3


async def test_the_clearing_is_asked_until_it_answers(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    assert await credit_transfers.ask(world.interbank, Environment.SANDBOX) == 0
    world.wait(61)

    assert await credit_transfers.ask(world.interbank, Environment.SANDBOX) == 1
    await credit_transfers.send_queued(world.interbank, Environment.SANDBOX)

    asked = world.clearing.sent[-1]
    report = validate(asked)
    assert report.valid, report.findings
    assert document_of(asked).findtext(".//{*}OrgnlUETR") == transfer.uetr
    assert await world.bank.balance(payer.id) == (100_00, 10_00, 0)
    assert await credit_transfers.ask(world.interbank, Environment.SANDBOX) == 0
    assert await credit_transfers.oldest_unanswered_seconds(world.db) > 60


async def test_a_message_still_on_its_way_is_not_asked_for(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)
    await world.add(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK))
    await credit_transfers.execute(world.interbank)
    world.wait(61)

    assert await credit_transfers.ask(world.interbank, Environment.SANDBOX) == 0


async def test_a_recall_is_asked_and_answered(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))
    await world.listen()

    given = await credit_transfers.recall_transfer(
        world.interbank, world.bank.actor, "k", transfer.id, NewRecall(reason="DUPL", text="paid twice")
    )
    await credit_transfers.send_queued(world.interbank, Environment.SANDBOX)
    report = validate(world.clearing.sent[-1])
    assert report.valid, report.findings
    world.clearing.say("camt.029.001.09", resolution(transfer, given.value.id, "PDCR"))
    world.clearing.say("camt.029.001.09", resolution(transfer, given.value.id, "ACCR"))
    world.clearing.say("pacs.004.001.09", payment_return(transfer, "10.00", "FOCR"))
    await world.listen()

    found = await credit_transfers.find_recall(world.db, world.bank.actor, given.value.id)
    assert found.status == "accepted"
    assert (await world.find(transfer)).status == "returned"
    assert await world.bank.balance(payer.id) == (100_00, 0, 0)
    assert (await world.bank.events()).count("recall.answered") == 2


async def test_a_refused_recall_leaves_the_money_where_it_is(world: InterbankWorld) -> None:
    payer, (transfer,) = await submitted(world)
    world.clearing.say(REPORT, status_report([transfer], "ACSC"))
    await world.listen()
    given = await credit_transfers.recall_transfer(
        world.interbank, world.bank.actor, "k", transfer.id, NewRecall(reason="FRAD")
    )
    world.clearing.say("camt.029.001.09", resolution(transfer, given.value.id, "RJCR", "NOAS"))

    await world.listen()

    (found,) = await credit_transfers.recalls_of_transfer(world.db, world.bank.actor, transfer.id)
    assert (found.status, found.answer_reason) == ("rejected", "NOAS")
    assert await world.bank.balance(payer.id) == (90_00, 0, 0)


@pytest.mark.parametrize(
    ("reason", "code"),
    [("ZZZZ", "invalid_reason"), ("AC04", "invalid_reason"), ("DUPL", "credit_transfer_not_recallable")],
)
async def test_what_cannot_be_recalled(world: InterbankWorld, reason: str, code: str) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)
    (here,) = await world.submit(instruction(str(payer.iban), str(payee.iban)))

    with pytest.raises(ShanraqError) as refused:
        await credit_transfers.recall_transfer(
            world.interbank, world.bank.actor, "k", here.id, NewRecall(reason=reason)
        )

    assert refused.value.code == code


async def test_one_recall_at_a_time(world: InterbankWorld) -> None:
    _, (transfer,) = await submitted(world)
    await credit_transfers.recall_transfer(
        world.interbank, world.bank.actor, "k", transfer.id, NewRecall(reason="DUPL")
    )

    with pytest.raises(ShanraqError) as refused:
        await credit_transfers.recall_transfer(
            world.interbank, world.bank.actor, "k2", transfer.id, NewRecall(reason="DUPL")
        )

    assert refused.value.code == "recall_open"


async def test_another_partner_sees_nothing(world: InterbankWorld) -> None:
    _, (transfer,) = await submitted(world)
    stranger = partner(9)

    with pytest.raises(ShanraqError) as refused:
        await credit_transfers.trace_transfer(world.db, stranger, transfer.id)
    assert refused.value.code == "credit_transfer_not_found"
    async with world.db.begin(stranger) as tx:
        with pytest.raises(messages.MessageNotFoundError):
            await messages.find(tx, str(transfer.message_id))
