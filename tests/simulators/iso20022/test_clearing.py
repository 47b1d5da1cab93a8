from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingCredentials, ClearingSimulator
from tests.simulators.iso20022.participant import Order, Participant, inquiry, name_of, recall, statuses

CREDENTIALS = ClearingCredentials.generate()
OPENING = 10**15


@pytest.fixture
async def clearing() -> AsyncIterator[ClearingSimulator]:
    async with ClearingSimulator(ClearingConfiguration(credentials=CREDENTIALS, pending_seconds=600)) as simulator:
        yield simulator


@pytest.fixture
def bank(clearing: ClearingSimulator) -> Participant:
    return Participant(clearing)


async def later(bank: Participant, seconds: float = 601) -> None:
    answer = await bank.control("clock", {"advance_seconds": seconds})
    assert answer.status_code == 200


@pytest.mark.parametrize("definition", ["pacs.008.001.08", "pacs.009.001.08"])
async def test_payments_are_settled_at_once(clearing: ClearingSimulator, bank: Participant, definition: str) -> None:
    answer = await bank.pay(Order("A"), Order("B", "0.01"), business_id="M1", definition=definition)

    assert (answer.status_code, answer.json()) == (202, {"business_message_id": "M1", "duplicate": False})
    (report,) = await bank.hear()
    assert statuses(report) == [("A", "ACSC", ""), ("B", "ACSC", "")]
    assert report.findtext(".//{*}GrpSts") == "ACSC"
    assert clearing.books.balance("SHRQKZKX", "KZT") == OPENING - 10_01


@pytest.mark.parametrize(
    ("order", "first", "then"),
    [
        (Order("SIM-RJCT-AC04"), [("RJCT", "AC04")], []),
        (Order("SIM-RJCT"), [("RJCT", "MS03")], []),
        (Order("SIM-RJCT-invoice-7"), [("RJCT", "MS03")], []),
        (Order("SIM-RTRN-invoice-7"), [("ACSC", "")], []),
        (Order("E", bank="SHRQKZKXXXX"), [("RJCT", "AGNT")], []),
        (Order("E", bank=""), [("RJCT", "RC04")], []),
        (Order("SIM-PDNG-1"), [("PDNG", "")], [("ACSC", "")]),
        (Order("SIM-ACSP-1"), [("ACSP", "")], [("ACSC", "")]),
        (Order("SIM-LOST"), [], []),
        (Order("SIM-UNKN"), [], []),
        (Order("SIM-WHAT-EVER"), [("ACSC", "")], []),
        (Order("E", currency="USD"), [("RJCT", "AM03")], []),
        (Order("E", bank="UNKNKZKX"), [("RJCT", "RC04")], []),
        (Order("E", amount="99999999999999.00"), [("RJCT", "AM04")], []),
    ],
)
async def test_triggers(
    bank: Participant, order: Order, first: list[tuple[str, str]], then: list[tuple[str, str]]
) -> None:
    await bank.pay(order)

    assert [(status, reason) for _, status, reason in statuses(*await bank.hear())] == first
    await later(bank)
    assert [(status, reason) for _, status, reason in statuses(*await bank.hear())] == then


async def test_a_message_of_many_fates_is_part_accepted(bank: Participant) -> None:
    await bank.pay(Order("A"), Order("SIM-RJCT-AC04"), Order("SIM-LOST"))

    (report,) = await bank.hear()

    assert statuses(report) == [("A", "ACSC", ""), ("SIM-RJCT-AC04", "RJCT", "AC04")]


async def test_a_payment_with_a_known_uetr_is_refused(bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("A", uetr=uetr))
    await bank.pay(Order("B", uetr=uetr))

    assert statuses(*await bank.hear()) == [("A", "ACSC", ""), ("B", "RJCT", "DU03")]


async def test_a_cycle_settles_later() -> None:
    async with ClearingSimulator(ClearingConfiguration(credentials=CREDENTIALS, cycle_seconds=300)) as simulator:
        bank = Participant(simulator)
        await bank.pay(Order("A"))
        assert statuses(*await bank.hear()) == [("A", "PDNG", "")]
        await later(bank, 301)
        assert statuses(*await bank.hear()) == [("A", "ACSC", "")]


async def test_a_lost_status_comes_when_asked_for(bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("SIM-LOST", uetr=uetr), business_id="LOST1")

    await bank.say("pacs.028.001.03", inquiry("LOST1", uetr))

    assert statuses(*await bank.hear()) == [("SIM-LOST", "ACSC", "")]


async def test_an_undecided_payment_is_rejected_when_asked_for_twice(bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("SIM-UNKN", uetr=uetr), business_id="UNKN1")

    for _ in range(3):
        await bank.say("pacs.028.001.03", inquiry("UNKN1", uetr))

    assert [each[1:] for each in statuses(*await bank.hear())] == [("PDNG", ""), ("RJCT", "MS03"), ("RJCT", "MS03")]


async def test_what_never_came_is_said_to_be_unknown(bank: Participant) -> None:
    await bank.say("pacs.028.001.03", inquiry("NEVER", str(uuid.uuid4())))

    assert [each[1:] for each in statuses(*await bank.hear())] == [("RJCT", "NARR")]


async def test_a_returned_payment_brings_its_money_back(clearing: ClearingSimulator, bank: Participant) -> None:
    await bank.pay(Order("SIM-RTRN-AC06"))
    await later(bank)

    report, back = await bank.hear()

    assert statuses(report) == [("SIM-RTRN-AC06", "ACSC", "")]
    assert (name_of(back), back.findtext(".//{*}RtrRsnInf/{*}Rsn/{*}Cd")) == ("pacs.004", "AC06")
    assert clearing.books.balance("SHRQKZKX", "KZT") == OPENING


@pytest.mark.parametrize(
    ("word", "answers", "balance"),
    [
        ("E", [("ACCR", None), ("pacs.004", "FOCR")], OPENING),
        ("SIM-RCLL-ACCR", [("ACCR", None), ("pacs.004", "FOCR")], OPENING),
        ("SIM-RCLL-RJCR-NOAS", [("RJCR", "NOAS")], OPENING - 10_00),
        ("SIM-RCLL-RJCR-invoice-7", [("RJCR", "CUST")], OPENING - 10_00),
        ("SIM-UNKN", [("ACCR", None), ("pacs.002", "CUST")], OPENING),
        ("SIM-RCLL-PDCR", [("PDCR", None), ("RJCR", "NOAS")], OPENING - 10_00),
        ("SIM-RJCT", [("RJCR", "NOOR")], OPENING),
    ],
)
async def test_recalls(
    clearing: ClearingSimulator, bank: Participant, word: str, answers: list[tuple[str, str | None]], balance: int
) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order(word, uetr=uetr), business_id="R1")
    await bank.hear()
    await bank.say("camt.056.001.08", recall("R1", uetr))
    await later(bank)

    heard = [
        (each.findtext(".//{*}TxCxlSts") or name_of(each), each.findtext(".//{*}Rsn/{*}Cd"))
        for each in await bank.hear()
    ]

    assert heard == answers
    assert clearing.books.balance("SHRQKZKX", "KZT") == balance


async def test_a_recall_stops_what_is_not_settled_yet(clearing: ClearingSimulator, bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("SIM-PDNG", uetr=uetr), business_id="R1")
    await bank.hear()
    await bank.say("camt.056.001.08", recall("R1", uetr))
    await later(bank)

    answer, report = await bank.hear()

    assert answer.findtext(".//{*}TxCxlSts") == "ACCR"
    assert statuses(report) == [("SIM-PDNG", "RJCT", "CUST")]
    assert clearing.books.balance("SHRQKZKX", "KZT") == OPENING


async def test_a_recall_of_nothing_is_rejected(bank: Participant) -> None:
    await bank.say("camt.056.001.08", recall("NEVER", str(uuid.uuid4())))

    (answer,) = await bank.hear()

    assert (answer.findtext(".//{*}TxCxlSts"), answer.findtext(".//{*}Rsn/{*}Cd")) == ("RJCR", "NOOR")


async def test_another_bank_pays_and_asks_it_back(clearing: ClearingSimulator, bank: Participant) -> None:
    answer = await bank.control("credit", {"creditor_account": "KZ306010000000000077", "amount": 500})
    assert answer.status_code == 200
    await bank.control("recall", {"uetr": answer.json()["uetr"], "reason": "DUPL"})

    credit, asked = await bank.hear()

    assert (name_of(credit), credit.findtext(".//{*}IntrBkSttlmAmt")) == ("pacs.008", "5.00")
    assert (name_of(asked), asked.findtext(".//{*}OrgnlUETR")) == ("camt.056", answer.json()["uetr"])
    assert clearing.books.balance("SHRQKZKX", "KZT") == OPENING + 500


async def test_a_report_is_given_when_asked_for(bank: Participant) -> None:
    await bank.pay(Order("A", "3.00"))
    await bank.hear()
    body = (
        "<AcctRptgReq><GrpHdr><MsgId>MSGID</MsgId><CreDtTm>2026-11-26T08:00:00Z</CreDtTm></GrpHdr><RptgReq>"
        "<ReqdMsgNmId>camt.052.001.08</ReqdMsgNmId><AcctOwnr><Agt><FinInstnId><BICFI>SHRQKZKX</BICFI></FinInstnId></Agt>"
        "</AcctOwnr></RptgReq></AcctRptgReq>"
    )

    answer = await bank.say("camt.060.001.05", body)

    assert answer.status_code == 202, answer.text
    (report,) = await bank.hear()
    assert name_of(report) == "camt.052"
    assert [each.text for each in report.findall(".//{*}Ntry/{*}Amt")] == ["3.00"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    days=st.lists(
        st.lists(
            st.tuples(st.integers(1, 10**7), st.sampled_from(["E", "SIM-RTRN-AC04", "SIM-RJCT", "SIM-PDNG"])),
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
async def test_statements_balance_and_follow_one_another(days: list[list[tuple[int, str]]]) -> None:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, opening_balance=10**12)
    async with ClearingSimulator(configuration) as simulator:
        bank = Participant(simulator)
        before = ("", "")
        for number, day in enumerate(days, 1):
            for amount, word in day:
                await bank.pay(Order(word, f"{amount / 100:.2f}"))
            await later(bank, 10)
            await bank.control("close-day", {})
            statement = (await bank.hear())[-1]
            opening, closing = (
                (each.findtext("{*}Amt") or "", each.findtext("{*}CdtDbtInd") or "")
                for each in statement.iter("{*}Bal")
            )
            assert statement.findtext(".//{*}ElctrncSeqNb") == str(number)
            assert opening == before or number == 1
            before = closing
        assert round(float(before[0]) * 100) == simulator.books.balance("SHRQKZKX", "KZT")
