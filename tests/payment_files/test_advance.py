"""What becomes of a file: validated, loaded, watched; refused as a whole, by block, by transaction."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime, timedelta

import pytest

from shanraq import credit_transfers, messages, payment_files
from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.standards import iso20022
from tests.money_world import Bank
from tests.payment_files.files import ALMATY, DEBTOR_IBAN, Office, Order, order, transaction, uploader

ANOTHER_MESSAGE = (
    b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt><GrpHdr><MsgId>M</MsgId>'
    b"<CreDtTm>2026-11-26T10:00:00Z</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>A</OrgnlMsgId><OrgnlMsgNmId>"
    b"pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>"
)


async def reasons(office: Office, file_id: str) -> list[tuple[str, str]]:
    return [(one.status.value, one.reason) for one in await office.transfers(file_id)]


async def test_every_transaction_of_a_valid_file_becomes_a_transfer(office: Office) -> None:
    file = await office.loaded(order(5))

    assert (file.status, file.definition, file.message_id) == ("processing", "pain.001.001.09", "MSG-1")
    assert (file.transactions, file.control_sum, file.findings) == (5, "500.00", file.findings)
    assert (file.progress.loaded, file.progress.by_status) == (5, {"received": 5})
    found = await office.transfers(file.id)
    assert [one.end_to_end_id for one in found] == ["E1", "E2", "E3", "E4", "E5"]
    assert {(one.amount, one.currency, one.block_id) for one in found} == {(10_000, "KZT", "BLOCK-1")}
    assert {one.execution_date for one in found} == {datetime.now(ALMATY).date()}
    assert {uuid.UUID(one.uetr).version for one in found} == {4}
    assert await office.events() == ["payment_file.accepted"]


async def test_a_file_is_complete_when_its_last_transfer_has_an_outcome(office: Office, database: Database) -> None:
    file = await office.loaded(order(3))
    await office.step()
    assert (await office.find(file.id)).status == "processing"
    # Nobody has an account here: every transfer is refused.
    await credit_transfers.execute(credit_transfers.Interbank(office.db, office.keyring))
    await due(office)

    await office.step()

    done = await office.find(file.id)
    assert (done.status, done.progress.by_status) == ("completed", {"rejected": 3})
    assert done.completed_at is not None
    assert (await office.events())[-1] == "payment_file.completed"
    async with database.begin(office.actor) as tx:
        (kept,) = await messages.related(tx, file.id)
        content = await messages.content(tx, office.keyring, kept.id)
    assert (kept.definition, kept.direction, kept.party) == ("pain.002.001.10", "out", "partner")
    assert content.count(b"<Cd>AC02</Cd>") == 3
    assert iso20022.validate(content).valid
    assert await office.step() == 0


async def due(office: Office) -> None:
    """Let the time until the next look pass."""
    async with office.db.begin(SYSTEM) as tx:
        await tx.execute("UPDATE payment_file SET next_at = $1 WHERE next_at IS NOT NULL", tx.now)


async def test_the_money_of_a_file_moves_once(office: Office, database: Database) -> None:
    bank = Bank(database)
    source = await bank.account(100_000)
    async with database.begin(SYSTEM) as tx:
        await tx.execute("UPDATE account SET iban = $2 WHERE id = $1", source.id, DEBTOR_IBAN)
        other = (await tx.rows("SELECT id FROM account WHERE id <> $1 AND kind = 'partner'", source.id))[0]["id"]
        await tx.execute("UPDATE account SET iban = 'KZ82722TEST000000001' WHERE id = $1", other)
    plain = transaction(1).replace("<CdtrAgt><FinInstnId><BICFI>CASPKZKA</BICFI></FinInstnId></CdtrAgt>", "")
    file = await office.loaded(Order([[plain, plain.replace("E1", "E2").replace("I1", "I2")]]).xml())

    await credit_transfers.execute(credit_transfers.Interbank(office.db, office.keyring))
    await due(office)
    await office.step()

    done = await office.find(file.id)
    assert (done.status, done.progress.by_status) == ("completed", {"settled": 2})
    assert await bank.balance(source.id) == (80_000, 0, 0)
    report = await payment_files.report(office.db, office.actor, file.id)
    assert b"<GrpSts>ACCC</GrpSts>" in report.head
    assert b"<DtldCtrlSum>200.00</DtldCtrlSum>" in report.head


# A document type declaration in UTF-7, which is declared behind more spaces than anyone looks at.
HIDDEN = b'<?xml version="1.0"' + b" " * 1100 + b'encoding="UTF-7"?>+ADw-!DOCTYPE x+AD4-+ADw-x/+AD4-'


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"no xml at all", "FF01", "does not begin with an element"),
        (b"<!DOCTYPE x><x/>", "FF01", "document type declaration"),
        (HIDDEN, "FF01", "XML declaration"),
        (order(1)[:-20], "FF01", "not well-formed"),
        (order(1).replace(b"<PmtMtd>TRF", b"<PmtMtd>XXX"), "CH16", "one of"),
        (order(1).replace(b'Ccy="KZT"', b""), "AM11", "attribute is missing"),
        (order(1).replace(b"pain.001.001.09", b"pain.001.001.99"), "FF01", "no definition"),
        (ANOTHER_MESSAGE, "FF01", "this is pain.002.001.10"),
        (Order([[transaction(1)]], count="2").xml(), "AM18", "1 transactions"),
        (Order([[transaction(1)]], total="99.00").xml(), "AM10", "sum"),
    ],
)
async def test_a_broken_file_is_rejected_as_a_whole(office: Office, content: bytes, reason: str, words: str) -> None:
    given = await office.upload(content)

    await office.step()

    file = await office.find(given.value.id)
    assert (file.status, file.reason) == ("rejected", reason), file
    assert words in file.reason_text
    assert (file.progress.loaded, await office.count("credit_transfer")) == (0, 0)
    assert await office.events() == ["payment_file.rejected"]
    async with office.db.begin(office.actor) as tx:
        (kept,) = await messages.related(tx, file.id)
        report = await messages.content(tx, office.keyring, kept.id)
    assert b"<GrpSts>RJCT</GrpSts><StsRsnInf><Rsn><Cd>" + reason.encode() in report
    assert iso20022.validate(report).findings == ()
    assert await office.step() == 0


async def test_a_rejected_file_may_come_again(office: Office) -> None:
    content = order(1)[:-1]
    first = await office.upload(content, "a")
    await office.step()

    second = await office.upload(content, "b")
    good = await office.loaded(order(1), "c")

    assert first.value.id != second.value.id
    assert good.status == "processing"


async def test_a_message_id_is_used_once(office: Office) -> None:
    first = await office.loaded(order(1, message_id="M"), "a")
    second = await office.upload(order(2, message_id="M", prefix="F"), "b")
    other = replace_partner(office, 2)
    theirs = await other.upload(order(3, message_id="M"), "c")

    while "received" in {(await office.find(second.value.id)).status, (await other.find(theirs.value.id)).status}:
        await office.step()

    refused = await office.find(second.value.id)
    assert (first.status, refused.status, refused.reason) == ("processing", "rejected", "DU01")
    assert (await other.find(theirs.value.id)).status != "rejected"


async def test_of_two_files_with_one_message_id_at_once_one_is_accepted(office: Office) -> None:
    given = [await office.upload(order(1, message_id="M", prefix=f"P{n}-"), f"k{n}") for n in range(4)]

    await asyncio.gather(*(office.step() for _ in range(4)))

    statuses = sorted([(await office.find(one.value.id)).status.value for one in given])
    assert statuses == ["loading", "rejected", "rejected", "rejected"]


def replace_partner(office: Office, number: int) -> Office:
    return Office(office.db, office.keyring, uploader(number))


async def test_end_to_end_ids_in_use_are_refused_in_later_files(office: Office) -> None:
    await office.loaded(order(3, message_id="A"), "a")

    second = await office.loaded(
        Order([[transaction(1, end_to_end_id="E2"), transaction(2, end_to_end_id="N")]], message_id="B").xml(), "b"
    )

    assert await reasons(office, second.id) == [("rejected", "DU04"), ("received", "")]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (transaction(2, currency="QQQ"), "AM11"),
        (transaction(2, amount="1.001"), "CH20"),
        (transaction(2, amount="0.00"), "AM01"),
        (transaction(2, iban="KZ82722TEST000000002"), "AC03"),
        (
            transaction(2).replace(
                '<InstdAmt Ccy="KZT">100.00</InstdAmt>',
                '<EqvtAmt><Amt Ccy="KZT">100.00</Amt><CcyOfTrf>USD</CcyOfTrf></EqvtAmt>',
            ),
            "CH17",
        ),
    ],
)
async def test_an_error_in_a_transaction_refuses_that_one(office: Office, made: str, reason: str) -> None:
    file = await office.loaded(Order([[transaction(1), made, transaction(3)]]).xml())

    assert file.status == "processing"
    assert [one[0] for one in await reasons(office, file.id)] == ["received", "rejected", "received"]
    report = b"".join((await payment_files.report(office.db, office.actor, file.id)).chunks())
    assert b"<GrpSts>PART</GrpSts>" in report
    assert iso20022.validate(report).valid
    found = (await office.transfers(file.id))[1]
    accepted = {reason, "AM12"} if reason == "CH20" else {reason}
    assert found.reason in accepted
    assert found.reason_text


async def test_an_error_of_a_block_refuses_its_transactions(office: Office) -> None:
    blocks = [[transaction(1), transaction(2)], [transaction(3)]]
    xml = Order(blocks).xml().decode()
    second = xml.index("<PmtInfId>BLOCK-2")
    past = (datetime.now(ALMATY) - timedelta(days=60)).date().isoformat()
    today = datetime.now(ALMATY).date().isoformat()
    late = xml[:second] + xml[second:].replace(f"<Dt>{today}</Dt>", f"<Dt>{past}</Dt>")

    file = await office.loaded(late.encode())

    assert await reasons(office, file.id) == [("received", ""), ("received", ""), ("rejected", "CH04")]


async def test_other_payment_methods_are_not_offered(office: Office) -> None:
    file = await office.loaded(Order([[transaction(1)]], method="CHK").xml())

    assert await reasons(office, file.id) == [("rejected", "AG03")]


async def test_workers_that_believe_to_have_the_same_file_store_it_once(office: Office) -> None:
    given = await office.upload(order(2500))
    await office.step()

    # Their leases end at once: each takes the file while others are at it.
    await asyncio.gather(
        *(payment_files.advance(office.db, office.keyring, lease=timedelta(milliseconds=1)) for _ in range(4))
    )
    while (await office.find(given.value.id)).status == "loading":
        await office.step()

    file = await office.find(given.value.id)
    assert (file.status, file.progress.loaded, file.transactions) == ("processing", 2500, 2500)
    positions = [one.position for one in await office.transfers(file.id)]
    assert positions == list(range(1, 2501))
