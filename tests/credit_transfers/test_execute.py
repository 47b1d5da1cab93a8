from __future__ import annotations

import asyncio
from datetime import date

import pytest

from shanraq import accounts, credit_transfers
from shanraq.core.actor import Environment
from shanraq.core.db import Database
from shanraq.credit_transfers import Refused, Rejection, Unconfirmed
from shanraq.standards.iso20022 import validate
from tests.credit_transfers.world import FILE, OTHER_BANK, OURS, InterbankWorld, document_of, iban, instruction
from tests.money_world import Bank

ELSEWHERE = iban("601", 77)


@pytest.fixture
def world(database: Database) -> InterbankWorld:
    return InterbankWorld(Bank(database))


async def test_money_to_an_account_here_moves_at_once(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)

    (done,) = await world.submit(instruction(str(payer.iban), str(payee.iban), 40_00))

    assert (done.status, done.route, done.iso_status) == ("settled", "book", "ACCC")
    assert await world.bank.balance(payer.id) == (60_00, 0, 0)
    assert await world.bank.balance(payee.id) == (40_00, 0, 0)
    assert not world.clearing.sent
    assert (await world.bank.events())[-3:] == [
        "transaction.created",
        "transaction.executed",
        "credit_transfer.settled",
    ]


async def test_money_to_another_bank_is_held_and_a_message_goes_out(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)

    (done,) = await world.submit(instruction(str(payer.iban), ELSEWHERE, 40_00, agent=OTHER_BANK))

    assert (done.status, done.route, done.iso_status) == ("submitted", "clearing", "ACSP")
    assert await world.bank.balance(payer.id) == (100_00, 40_00, 0)
    report = validate(world.clearing.sent[0])
    assert report.valid, report.findings
    document = document_of(world.clearing.sent[0])
    assert document.findtext(".//{*}CdtTrfTxInf/{*}PmtId/{*}UETR") == done.uetr
    assert document.findtext(".//{*}Cdtr/{*}Nm") == "Азамат & Co <ТОО>"
    assert document.findtext(".//{*}RmtInf/{*}Ustrd") == "Invoice 7"


async def test_the_bank_follows_from_a_kazakh_account(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)

    await world.submit(instruction(str(payer.iban), ELSEWHERE))

    assert document_of(world.clearing.sent[0]).findtext(".//{*}CdtrAgt//{*}BICFI") == OTHER_BANK


async def test_transfers_of_a_file_go_out_in_as_few_messages_as_the_clearing_allows(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)

    done = await world.submit(
        *(instruction(str(payer.iban), ELSEWHERE, 1_00 + n, position=n + 1, agent=OTHER_BANK) for n in range(7))
    )

    assert {one.status for one in done} == {"submitted"}
    assert [len(document_of(sent).findall(".//{*}CdtTrfTxInf")) for sent in world.clearing.sent] == [3, 3, 1]
    assert all(validate(sent).valid for sent in world.clearing.sent)


async def test_money_is_given_out_in_the_order_of_the_file(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)

    done = await world.submit(
        instruction(str(payer.iban), str(payee.iban), 60_00, position=1),
        instruction(str(payer.iban), ELSEWHERE, 50_00, position=2, agent=OTHER_BANK),
        instruction(str(payer.iban), str(payee.iban), 40_00, position=3),
    )

    assert [(one.status, one.reason) for one in done] == [("settled", ""), ("rejected", "AM04"), ("settled", "")]
    assert await world.bank.balance(payer.id) == (0, 0, 0)
    assert (await world.bank.events())[-3:] == [
        "credit_transfer.settled", "credit_transfer.rejected", "credit_transfer.settled",
    ]  # fmt: skip


async def test_what_is_not_due_waits(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)

    (waiting,) = await world.submit(instruction(str(payer.iban), str(payee.iban), day=date(2999, 1, 1)))

    assert (waiting.status, waiting.iso_status) == ("received", "ACTC")


@pytest.mark.parametrize(
    ("debtor", "creditor", "agent", "currency", "name", "reason"),
    [
        (iban("125", 9), ELSEWHERE, OTHER_BANK, "KZT", "N", "AC02"),
        ("PAYER", ELSEWHERE, OTHER_BANK, "USD", "N", "AM03"),
        ("PAYER", iban("125", 9), OURS, "KZT", "N", "AC03"),
        ("PAYER", "PAYER", "", "KZT", "N", "AC03"),
        ("PAYER", ELSEWHERE, OTHER_BANK, "KZT", "", "BE22"),
        ("PAYER", "", OTHER_BANK, "KZT", "N", "AC03"),
        ("PAYER", iban("601", 77)[:-1] + "8", OTHER_BANK, "KZT", "N", "AC03"),
        ("PAYER", "DE89370400440532013000", "", "KZT", "N", "RC04"),
        ("PAYER", "SUSPENDED", "", "KZT", "N", "AC06"),
        ("PAYER", "CLOSED", "", "KZT", "N", "AC07"),
        ("SUSPENDED", ELSEWHERE, OTHER_BANK, "KZT", "N", "AC06"),
        ("CLOSED", ELSEWHERE, OTHER_BANK, "KZT", "N", "AC05"),
    ],
)
async def test_a_transfer_is_refused_with_the_reason(
    world: InterbankWorld, debtor: str, creditor: str, agent: str, currency: str, name: str, reason: str
) -> None:
    named = {
        "PAYER": await world.account(100_00, 1),
        "SUSPENDED": await world.account(0, 2),
        "CLOSED": await world.account(0, 3),
    }
    await accounts.suspend_account(world.db, world.bank.actor, named["SUSPENDED"].id)
    await accounts.close_account(world.db, world.bank.actor, named["CLOSED"].id)
    debtor, creditor = (str(named[number].iban) if number in named else number for number in (debtor, creditor))

    (done,) = await world.submit(instruction(debtor, creditor, agent=agent, currency=currency, name=name))

    assert (done.status, done.reason) == ("rejected", reason)
    assert done.reason_text
    assert await world.bank.balance(named["PAYER"].id) == (100_00, 0, 0)


async def test_an_end_to_end_id_is_paid_once(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)
    first = instruction(str(payer.iban), str(payee.iban), position=1, end_to_end_id="ONE")
    again = instruction(str(payer.iban), str(payee.iban), position=2, end_to_end_id="ONE")
    free = [
        instruction(str(payer.iban), str(payee.iban), position=position, end_to_end_id="NOTPROVIDED")
        for position in (3, 4)
    ]

    done = await world.submit(first, again, *free)

    assert [(one.status, one.reason) for one in done] == [
        ("settled", ""), ("rejected", "DU04"), ("settled", ""), ("settled", ""),
    ]  # fmt: skip


async def test_a_uetr_is_paid_once_also_in_another_file(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)
    first = instruction(str(payer.iban), str(payee.iban), end_to_end_id="A")
    again = instruction(str(payer.iban), str(payee.iban), end_to_end_id="B", uetr=first.uetr)

    await world.add(first)
    (refused,) = await world.add(again, file=FILE[:-1] + "2")

    assert (refused.status, refused.reason) == ("rejected", "DU03")


async def test_a_rejected_transfer_gives_its_identifiers_back(world: InterbankWorld) -> None:
    payer, payee = await world.account(5_00, 1), await world.account(0, 2)
    dear = instruction(str(payer.iban), str(payee.iban), 10_00, end_to_end_id="A")
    flawed = instruction(
        str(payer.iban), str(payee.iban), 1_00, position=2, end_to_end_id="B", rejection=Rejection("AC03", "wrong")
    )
    await world.submit(dear, flawed)

    done = await world.submit(
        instruction(str(payer.iban), str(payee.iban), 1_00, position=3, end_to_end_id="A", uetr=dear.uetr),
        instruction(str(payer.iban), str(payee.iban), 1_00, position=4, end_to_end_id="B", uetr=flawed.uetr),
    )

    assert [one.status for one in done] == ["settled", "settled"]


async def test_many_executors_carry_each_transfer_out_once(world: InterbankWorld) -> None:
    payer, payee = await world.account(100_00, 1), await world.account(0, 2)
    await world.add(*(instruction(str(payer.iban), str(payee.iban), 1_00, position=n + 1) for n in range(40)))

    while any(await asyncio.gather(*(credit_transfers.execute(world.interbank, limit=7) for _ in range(4)))):
        pass

    assert await world.bank.balance(payee.id) == (40_00, 0, 0)
    assert (await world.bank.events()).count("credit_transfer.settled") == 40


async def test_a_message_whose_fate_is_unknown_is_sent_again_as_it_is(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)
    world.clearing.answers = [Unconfirmed("read_timeout")]

    (waiting,) = await world.submit(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK))
    assert waiting.status == "submitted"
    world.wait(3)
    while await credit_transfers.send_queued(world.interbank, Environment.SANDBOX):
        pass

    assert len(world.clearing.sent) == 2
    assert len(set(world.clearing.sent)) == 1
    assert await world.bank.balance(payer.id) == (100_00, 10_00, 0)


async def test_what_the_clearing_refuses_was_not_paid(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)
    world.clearing.answers = [Refused("schema_invalid", "CdtrAcct")]

    (done,) = await world.submit(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK, end_to_end_id="X"))

    assert (done.status, done.reason) == ("rejected", "FF01")
    assert await world.bank.balance(payer.id) == (100_00, 0, 0)
    (again,) = await world.submit(
        instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK, end_to_end_id="X", position=2)
    )
    assert again.status == "submitted"


async def test_without_a_clearing_nothing_goes_to_other_banks(world: InterbankWorld) -> None:
    payer = await world.account(100_00, 1)
    alone = credit_transfers.Interbank(world.db, world.keyring)
    (added,) = await world.add(instruction(str(payer.iban), ELSEWHERE, agent=OTHER_BANK))

    await credit_transfers.execute(alone)

    done = await world.find(added)
    assert (done.status, done.reason) == ("rejected", "AC03")
