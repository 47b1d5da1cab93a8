"""Reports as they are read: what they say of each booking, what is refused, and that they are final."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest

from shanraq import accounts, credit_transfers, ledger, messages, statements, transactions
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.errors import InvalidInputError, ShanraqError
from shanraq.core.ids import InvalidIdError, new_number, number_of
from shanraq.core.money import Currency
from shanraq.standards import iso20022
from tests.money_world import Bank, partner, unknown_id
from tests.statements.conftest import StillClock, balances, booked, joined, texts

DAY = date(2026, 11, 23)
IBAN = "KZ86125KZT5004100100"
OTHER_BANK = "KZ75125KZT1001300335"
ABROAD = "DE89370400440532013000"


async def stated(reader: statements.Reader, bank: Bank, account: accounts.Account, day: date = DAY) -> bytes:
    """Return the statement of a day, checked."""
    raw = await joined(await reader.statement(bank.actor, account.id, day))
    assert not (found := iso20022.validate(raw, as_of=bank.db.clock()).findings), found
    return raw


def one(raw: bytes, path: str) -> str:
    (found,) = texts(raw, path)
    return found


async def open_account(bank: Bank, name: str, iban: str | None = None) -> accounts.Account:
    return await accounts.open_account(
        bank.db, bank.actor, accounts.NewAccount(currency="KZT", name=name, iban=iban, allow_negative=True)
    )


async def test_a_statement_tells_who_and_what_and_how_much(
    bank: Bank, clock: StillClock, reader: statements.Reader
) -> None:
    account = await open_account(bank, "Alma & Co <Almaty>", IBAN)
    other = await open_account(bank, "Other")
    new = transactions.NewTransaction(
        debit_account=account.id, credit_account=other.id, amount=25_01, currency="KZT", reference="order-17",
        description="two\tlines\nand \x01 more " + "x" * 200,
    )  # fmt: skip
    moved = await transactions.create_transaction(bank.db, bank.actor, bank.request(transactions.OPERATION, new), new)
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert one(raw, "Stmt/Acct/Id/IBAN") == IBAN
    assert one(raw, "Stmt/Acct/Ownr/Nm") == "Alma & Co <Almaty>"
    assert one(raw, "Stmt/Acct/Svcr/FinInstnId/BICFI") == "HSBKKZKX"
    assert balances(raw) == {"OPBD": 0, "CLBD": -25_01}
    assert booked(raw) == [("1", -25_01)]
    assert one(raw, "Ntry/AcctSvcrRef") == one(raw, "Refs/TxId") == moved.value.id
    assert one(raw, "Refs/EndToEndId") == "NOTPROVIDED"
    assert one(raw, "Refs/AcctOwnrTxId") == "order-17"
    assert one(raw, "Domn/Fmly/Cd") == "ICDT"
    assert one(raw, "Fmly/SubFmlyCd") == "BOOK"
    assert one(raw, "RltdPties/Cdtr/Pty/Nm") == "Other"
    assert one(raw, "RltdPties/CdtrAcct/Id/Othr/Id") == other.id
    assert one(raw, "RltdPties/DbtrAcct/Id/IBAN") == IBAN
    lines = texts(raw, "RmtInf/Ustrd")
    assert [len(line) for line in lines] == [140, len("two lines and   more ") + 200 - 140]
    assert lines[0].startswith("two lines and   more xxx")
    assert not texts(raw, "Ntry/RvslInd")


async def test_a_day_without_bookings_has_a_statement(bank: Bank, clock: StillClock, reader: statements.Reader) -> None:
    account = await bank.account(70)
    clock.now += timedelta(days=3)

    raw = await stated(reader, bank, account, DAY + timedelta(days=2))

    assert balances(raw) == {"OPBD": 70, "CLBD": 70}
    assert one(raw, "Stmt/ElctrncSeqNb") == "3"
    assert one(raw, "TtlNtries/NbOfNtries") == "0"


async def test_a_currency_without_minor_units_is_written_so(
    bank: Bank, clock: StillClock, reader: statements.Reader
) -> None:
    assert Currency.of("JPY").exponent == 0
    account = await bank.account(70, "JPY")
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert one(raw, "Stmt/Ntry/Amt") == "70"


async def test_what_is_taken_back_is_a_reversal_of_the_same_family(
    bank: Bank, clock: StillClock, reader: statements.Reader
) -> None:
    account = await bank.account(100)
    moved = await bank.move(account.id, (await bank.source()).id, 40)
    await transactions.roll_back_transaction(bank.db, bank.actor, bank.request("transactions.roll_back"), moved.id)
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert booked(raw) == [("1", 100), ("2", -40), ("3", 40)]
    assert texts(raw, "Ntry/RvslInd") == ["true"]
    assert texts(raw, "Domn/Fmly/Cd") == ["RCDT", "ICDT", "ICDT"]


async def test_holds_are_on_no_statement_and_lessen_what_is_available_today(
    bank: Bank, clock: StillClock, reader: statements.Reader
) -> None:
    account = await bank.account(100)
    await bank.move(account.id, (await bank.source()).id, 40, hold=True, hold_seconds=10**6)

    raw = await joined(await reader.intraday(bank.actor, account.id))
    clock.now += timedelta(days=1)
    closed = await stated(reader, bank, account)

    assert not iso20022.validate(raw, as_of=clock.now).findings
    assert balances(raw) == {"OPBD": 0, "ITBD": 100, "ITAV": 60}
    assert booked(raw) == booked(closed) == [("1", 100)]
    assert balances(closed)["CLBD"] == 100


DETAILS = credit_transfers.Details(
    debtor_name="Alma",
    debtor_account=IBAN,
    creditor_name="Berik & Sons",
    creditor_account=OTHER_BANK,
    creditor_agent="KZKOKZKX",
    remittance="Invoice 7",
    carried={
        "Dbtr": "<Dbtr><Nm>Alma LLP</Nm><CtryOfRes>KZ</CtryOfRes></Dbtr>",
        "UltmtCdtr": "<UltmtCdtr><Nm>Berik</Nm></UltmtCdtr>",
        "Purp": "<Purp><Cd>SUPP</Cd></Purp>",
    },
)


async def instruct(
    bank: Bank, keyring: Keyring, moved: str, route: str = "clearing", details: credit_transfers.Details = DETAILS
) -> credit_transfers.CreditTransfer:
    """Write a settled credit transfer that a transaction was made for."""
    new = credit_transfers.NewTransfer(
        position=1, block=1, block_id="BLOCK-1", instruction_id="INSTR-1", end_to_end_id="E2E-1",
        uetr="4ba8dc21-3d9a-4a8e-9a6f-7d8a54e0f3b1", amount=40, currency="KZT", execution_date=DAY, details=details,
    )  # fmt: skip
    async with bank.db.begin(bank.actor) as tx:
        (transfer,) = await credit_transfers.add_transfers(tx, keyring, unknown_id("pfl"), [new])
        await tx.execute(
            "UPDATE credit_transfer SET status = 'settled', route = $2, transaction_id = $3 WHERE id = $1",
            transfer.id, route, moved,
        )  # fmt: skip
    return transfer


async def test_a_credit_transfer_is_told_with_its_references_and_parties(
    bank: Bank, clock: StillClock, reader: statements.Reader, keyring: Keyring
) -> None:
    account = await bank.account(100)
    moved = await bank.move(account.id, (await bank.source()).id, 40)
    transfer = await instruct(bank, keyring, moved.id)
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert one(raw, "Refs/PmtInfId") == "BLOCK-1"
    assert one(raw, "Refs/InstrId") == "INSTR-1"
    assert texts(raw, "Refs/EndToEndId") == ["NOTPROVIDED", "E2E-1"]
    assert one(raw, "Refs/UETR") == transfer.uetr
    assert texts(raw, "Refs/TxId")[1] == transfer.id
    assert one(raw, "RltdPties/Dbtr/Pty/CtryOfRes") == "KZ"
    assert one(raw, "RltdPties/Cdtr/Pty/Nm") == "Berik & Sons"
    assert one(raw, "RltdPties/UltmtCdtr/Pty/Nm") == "Berik"
    assert one(raw, "RltdPties/CdtrAcct/Id/IBAN") == OTHER_BANK
    assert one(raw, "RltdAgts/DbtrAgt/FinInstnId/BICFI") == "HSBKKZKX"
    assert one(raw, "RltdAgts/CdtrAgt/FinInstnId/BICFI") == "KZKOKZKX"
    assert one(raw, "TxDtls/Purp/Cd") == "SUPP"
    assert one(raw, "RmtInf/Ustrd") == "Invoice 7"
    assert texts(raw, "Fmly/SubFmlyCd") == ["BOOK", "DMCT"]


@pytest.mark.parametrize(
    ("route", "creditor", "code"),
    [("book", IBAN, "BOOK"), ("clearing", ABROAD, "XBCT"), ("clearing", "5004100100", "OTHR")],
)
async def test_the_code_tells_where_a_transfer_went(
    bank: Bank, clock: StillClock, reader: statements.Reader, keyring: Keyring, route: str, creditor: str, code: str
) -> None:
    account = await bank.account(100)
    moved = await bank.move(account.id, (await bank.source()).id, 40)
    details = msgspec.structs.replace(DETAILS, creditor_account=creditor, creditor_agent="125")
    await instruct(bank, keyring, moved.id, route, details)
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert texts(raw, "Fmly/SubFmlyCd")[1] == code
    assert one(raw, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId") == "125"


@pytest.mark.parametrize(("reason", "path"), [("AC04", "RtrInf/Rsn/Cd"), ("XX99", "RtrInf/Rsn/Prtry")])
async def test_a_transfer_that_came_back_is_a_return_with_its_reason(
    bank: Bank, clock: StillClock, reader: statements.Reader, keyring: Keyring, reason: str, path: str
) -> None:
    account, away = await bank.account(100), await bank.source()
    moved = await bank.move(account.id, away.id, 40)
    transfer = await instruct(bank, keyring, moved.id)
    back = await bank.move(away.id, account.id, 40)
    async with bank.db.begin(bank.actor) as tx:
        await tx.execute(
            """UPDATE credit_transfer SET status = 'returned', amount_returned = amount, return_transaction_id = $2,
                      reason = $3, reason_text = 'closed & gone' WHERE id = $1""",
            transfer.id, back.id, reason,
        )  # fmt: skip
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert texts(raw, "Fmly/SubFmlyCd") == ["BOOK", "DMCT", "RRTN"]
    assert texts(raw, "Domn/Fmly/Cd") == ["RCDT", "ICDT", "ICDT"]
    assert texts(raw, "Ntry/RvslInd") == ["true"]
    assert one(raw, path) == reason
    assert one(raw, "RtrInf/AddtlInf") == "closed & gone"
    assert texts(raw, "Refs/EndToEndId")[1:] == ["E2E-1", "E2E-1"]


async def test_a_day_is_final_once_it_was_stated(
    bank: Bank, clock: StillClock, reader: statements.Reader, database: Database
) -> None:
    account, other = await bank.account(100), await bank.source()
    night = datetime(2026, 11, 23, 18, 59, 59, tzinfo=UTC)
    clock.now = night
    outside = contextvars.copy_context()
    async with database.begin(bank.actor) as late:
        await ledger.post(late, [posting(other, account, 5)])
        clock.now = night + timedelta(seconds=6)
        reading = asyncio.create_task(stated(reader, bank, account), context=outside)
        # It waits for the transaction, which is dated into the day.
        done, _ = await asyncio.wait([reading], timeout=0.3)
        assert not done
    first = await reading
    clock.now = night
    await bank.move(other.id, account.id, 7)
    clock.now = night + timedelta(seconds=7)

    again = await stated(reader, bank, account)
    clock.now += timedelta(days=1)
    following = await stated(reader, bank, account, DAY + timedelta(days=1))

    assert balances(first) == {"OPBD": 0, "CLBD": 105}
    assert again == first
    # The process whose clock is behind booked the rest on the next day.
    assert balances(following) == {"OPBD": 105, "CLBD": 112}


def posting(debit: accounts.Account, credit: accounts.Account, amount: int) -> ledger.Transfer:
    """Return a transfer of the ledger without a transaction around it."""
    return ledger.Transfer(
        id=new_number(),
        debit_account_id=number_of("acc", debit.id),
        credit_account_id=number_of("acc", credit.id),
        amount=amount,
        user_data_128=new_number(),
        ledger=Currency.of(debit.currency).number,
        code=1,
    )


async def test_what_the_ledger_alone_knows_has_our_code_only(
    bank: Bank, clock: StillClock, reader: statements.Reader, database: Database
) -> None:
    account, other = await bank.account(), await bank.source()
    async with database.begin(bank.actor) as tx:
        await ledger.post(tx, [posting(other, account, 5)])
    clock.now += timedelta(days=1)

    raw = await stated(reader, bank, account)

    assert booked(raw) == [("1", 5)]
    assert texts(raw, "BkTxCd/Prtry/Cd") == ["ledger"]
    assert not texts(raw, "BkTxCd/Domn/Cd")


async def test_notifications_are_read_in_pieces_without_gap_or_repeat(
    bank: Bank, clock: StillClock, reader: statements.Reader
) -> None:
    account, other = await bank.account(100), await bank.source()
    for number in range(7):
        await bank.move(account.id, other.id, number + 1, hold=number % 3 == 0)

    read: list[tuple[str, int]] = []
    while True:
        after = int(read[-1][0]) if read else 0
        raw = await reader.notification(bank.actor, account.id, after_sequence=after, limit=2)
        assert not iso20022.validate(raw, as_of=clock.now).findings
        if not booked(raw):
            break
        assert len(booked(raw)) <= 2
        assert not balances(raw)
        read += booked(raw)

    assert read == [("1", 100), ("3", -2), ("4", -3), ("6", -5), ("7", -6)]


@pytest.mark.parametrize("version", ["camt.053.001.02", "camt.053.001.06", "camt.053.001.12", "camt.053.001.08"])
async def test_a_statement_in_another_version_is_valid(
    bank: Bank, clock: StillClock, reader: statements.Reader, version: str
) -> None:
    account = await bank.account(100)
    clock.now += timedelta(days=1)

    raw = await joined(await reader.statement(bank.actor, account.id, DAY, version=version))

    assert f'xsd:{version}"'.encode() in raw or f"xsd:{version}'".encode() in raw
    assert iso20022.validate(raw, as_of=clock.now).valid
    assert balances(raw) == {"OPBD": 0, "CLBD": 100}


async def test_refuses_what_there_is_no_report_of(bank: Bank, clock: StillClock, reader: statements.Reader) -> None:
    account = await bank.account(100)
    stranger = partner(2)
    clock.now += timedelta(days=1)

    async def refused(error: type[ShanraqError], field: str, **changes: object) -> None:
        asked = {"actor": bank.actor, "account_id": account.id, "day": DAY, "version": None} | changes
        with pytest.raises(error) as raised:
            await reader.statement(**asked)  # type: ignore[arg-type]
        assert raised.value.field == field

    await refused(statements.DayNotOverError, "day", day=DAY + timedelta(days=1))
    await refused(statements.DayNotOverError, "day", day=date.max)
    await refused(statements.StatementNotFoundError, "day", day=DAY - timedelta(days=1))
    await refused(statements.StatementNotFoundError, "day", day=date.min)
    await refused(accounts.AccountNotFoundError, "account_id", actor=stranger)
    await refused(accounts.AccountNotFoundError, "account_id", account_id=unknown_id("acc"))
    await refused(InvalidIdError, "account_id", account_id="acc_1")
    await refused(statements.UnknownVersionError, "version", version="camt.052.001.08")
    await refused(statements.UnknownVersionError, "version", version="camt.053.001.99")
    for limit in (0, 1001):
        with pytest.raises(InvalidInputError) as raised:
            await reader.notification(bank.actor, account.id, limit=limit)
        assert raised.value.field == "limit"
    with pytest.raises(accounts.AccountNotFoundError):
        await reader.intraday(stranger, account.id)


async def test_a_long_report_has_pages_that_chain_or_one_whole_in_its_own_version(
    bank: Bank, clock: StillClock, reader: statements.Reader, database: Database, keyring: Keyring
) -> None:
    account, other = await bank.source(), await bank.source()
    wishes = statements.ReportWishes(statements=True)
    await statements.set_reports(database, bank.actor, reader.institution, account.id, wishes)
    for _ in range(2):
        async with database.begin(bank.actor) as tx:
            await ledger.post(tx, [posting(other, account, 3) for _ in range(5001)])
    clock.now += timedelta(days=1)

    with pytest.raises(statements.ReportTooLongError):
        await reader.statement(bank.actor, account.id, DAY, version="camt.053.001.02")
    whole = await stated(reader, bank, account)
    made = await statements.produce(database, keyring, reader.institution)
    async with database.begin(bank.actor) as tx:
        rows = await tx.rows("SELECT id FROM iso_message ORDER BY id")
    pages = [await content(database, keyring, bank, row["id"]) for row in rows]

    assert made == len(pages) == 2
    assert [len(booked(page)) for page in pages] == [10_000, 2]
    assert booked(pages[0]) + booked(pages[1]) == booked(whole)
    assert [one(page, "StmtPgntn/PgNb") for page in pages] == ["1", "2"]
    assert [one(page, "StmtPgntn/LastPgInd") for page in pages] == ["false", "true"]
    assert [balances(page) for page in pages] == [{"OPBD": 0, "CLBD": 30_000}, {"OPBD": 30_000, "CLBD": 30_006}]
    assert [texts(page, "Bal/Tp/SubTp/Cd") for page in pages] == [["INTM"], ["INTM"]]
    assert len({one(raw, "GrpHdr/MsgId") for raw in [*pages, whole]}) == 3
    assert len({one(raw, "Stmt/Id") for raw in [*pages, whole]}) == 1
    clock.now += timedelta(days=1)
    following = await stated(reader, bank, account, DAY + timedelta(days=1))
    for before, page in zip([None, *pages], [*pages, following], strict=False):
        earlier = [] if before is None else [before]
        assert not iso20022.validate(page, as_of=clock.now, store=earlier).findings


async def content(db: Database, keyring: Keyring, bank: Bank, message_id: str) -> bytes:
    async with db.begin(bank.actor) as tx:
        return await messages.content(tx, keyring, message_id)


def test_days_of_a_zone_with_summer_time_have_23_or_25_hours() -> None:
    berlin = statements.Institution(zone=ZoneInfo("Europe/Berlin"))

    lengths = [
        berlin.end_of(day).astimezone(UTC) - berlin.start_of(day).astimezone(UTC)
        for day in (date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 23))
    ]

    assert lengths == [timedelta(hours=23), timedelta(hours=25), timedelta(hours=24)]
    assert berlin.day_of(datetime(2026, 11, 22, 23, 0, tzinfo=UTC)) == DAY
    assert berlin.day_of(datetime(2026, 11, 22, 22, 59, 59, tzinfo=UTC)) == date(2026, 11, 22)
