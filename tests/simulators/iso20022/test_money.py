"""Money of participants: what waits is not paid twice, what came in is returned once, and only by whom it came to."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import xmlschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.simulators.iso20022 import ClearingConfiguration, ClearingCredentials, ClearingSimulator
from shanraq.standards.iso20022 import definition
from tests.simulators.iso20022.participant import (
    Order,
    Participant,
    give_back,
    inquiry,
    name_of,
    recall,
    report_request,
    status_of,
    statuses,
)

CREDENTIALS = ClearingCredentials.generate(others=("TSESKZKA",))
OPENING = 15_00
US = "SHRQKZKX"


@pytest.fixture
async def clearing() -> AsyncIterator[ClearingSimulator]:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, pending_seconds=600, opening_balance=OPENING)
    async with ClearingSimulator(configuration) as simulator:
        yield simulator


@pytest.fixture
def bank(clearing: ClearingSimulator) -> Participant:
    return Participant(clearing)


@pytest.mark.parametrize("word", ["SIM-PDNG", "SIM-ACSP", "SIM-UNKN", "SIM-LOST"])
async def test_a_payment_that_waits_holds_its_money(clearing: ClearingSimulator, bank: Participant, word: str) -> None:
    await bank.pay(Order(word))
    await bank.pay(Order("E", "5.01"))
    await bank.pay(Order("E", "5.00"))

    assert [each[1:] for each in statuses(*await bank.hear())][-2:] == [("RJCT", "AM04"), ("ACSC", "")]
    assert clearing.books.available(US, "KZT") == 0


async def test_payments_of_one_message_share_what_there_is(bank: Participant) -> None:
    await bank.pay(Order("SIM-PDNG-1"), Order("SIM-PDNG-2"), Order("E", "5.00"))

    assert [each[1] for each in statuses(*await bank.hear())] == ["PDNG", "RJCT", "ACSC"]


async def test_a_rejected_payment_frees_its_money(clearing: ClearingSimulator, bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("SIM-UNKN", uetr=uetr), business_id="M1")
    for _ in range(2):
        await bank.say("pacs.028.001.03", inquiry("M1", uetr))

    assert clearing.books.available(US, "KZT") == OPENING


async def credited(bank: Participant, amount: int = 5_00) -> str:
    answer = await bank.control("credit", {"creditor_account": "1", "amount": amount, "participant": US})
    assert answer.status_code == 200
    await bank.hear()
    return str(answer.json()["uetr"])


async def test_what_came_in_is_returned_in_parts_and_once(clearing: ClearingSimulator, bank: Participant) -> None:
    uetr = await credited(bank)
    for amount in ("1.00", "4.01", "4.00", "0.01"):
        assert (await bank.say("pacs.004.001.09", give_back(uetr, amount))).status_code == 202

    said = [each[1:] for each in statuses(*await bank.hear())]

    assert said == [("ACSC", ""), ("RJCT", "AM09"), ("ACSC", ""), ("RJCT", "AM09")]
    assert clearing.books.balance(US, "KZT") == OPENING


async def test_a_return_needs_money(clearing: ClearingSimulator, bank: Participant) -> None:
    uetr = await credited(bank)
    await bank.pay(Order("E", "16.00"))
    await bank.hear()

    await bank.say("pacs.004.001.09", give_back(uetr, "5.00"))

    assert [each[1:] for each in statuses(*await bank.hear())] == [("RJCT", "AM04")]
    assert clearing.books.balance(US, "KZT") == 4_00


@pytest.mark.parametrize(("currency", "reason"), [("USD", "AM03"), ("KZT", "NARR")])
async def test_a_return_of_something_else_is_refused(
    clearing: ClearingSimulator, bank: Participant, currency: str, reason: str
) -> None:
    uetr = await credited(bank) if currency == "USD" else str(uuid.uuid4())

    await bank.say("pacs.004.001.09", give_back(uetr, "1.00", currency))

    assert [each[1:] for each in statuses(*await bank.hear())] == [("RJCT", reason)]


async def test_another_participant_cannot_touch_what_came_in(clearing: ClearingSimulator, bank: Participant) -> None:
    uetr = await credited(bank)
    other = Participant(clearing, "TSESKZKA")

    await other.say("pacs.004.001.09", give_back(uetr, "5.00"))
    await other.say("pacs.002.001.10", status_of(uetr, "RJCT", "AC04"))

    assert [each[1:] for each in statuses(*await other.hear())] == [("RJCT", "NARR")]
    (payment,) = (await bank.control(f"payments?uetr={uetr}")).json()["payments"]
    assert (payment["status"], payment["returned"], payment["answers"]) == ("ACSC", 0, [])


async def test_what_a_participant_says_of_a_payment_is_kept(bank: Participant) -> None:
    uetr = await credited(bank)

    await bank.say("pacs.002.001.10", status_of(uetr, "RJCT", "AC04"))

    (payment,) = (await bank.control(f"payments?uetr={uetr}")).json()["payments"]
    assert payment["answers"] == [["pacs.002.001.10", "RJCT", "AC04"]]
    assert payment["status"] == "ACSC"


async def test_a_whole_message_is_asked_about_and_asked_back(clearing: ClearingSimulator, bank: Participant) -> None:
    await bank.pay(Order("A", "1.00"), Order("B", "2.00"), business_id="M1")
    await bank.hear()
    whole = inquiry("M1", "").replace("<OrgnlUETR></OrgnlUETR>", "")
    await bank.say("pacs.028.001.03", whole)
    assert [each[:2] for each in statuses(*await bank.hear())] == [("A", "ACSC"), ("B", "ACSC")]

    answer = await bank.say("camt.056.001.08", recall("M1"))

    assert answer.status_code == 202, answer.text
    assert [name_of(each) for each in await bank.hear()] == ["camt.029", "pacs.004"] * 2
    assert clearing.books.balance(US, "KZT") == OPENING


async def test_a_payment_asked_back_twice_in_a_message_comes_back_once(
    clearing: ClearingSimulator, bank: Participant
) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("A", uetr=uetr), business_id="M1")
    await bank.hear()
    body = recall("M1", uetr)
    start, end = body.index("<Undrlyg>"), body.index("</FIToFIPmtCxlReq>")

    await bank.say("camt.056.001.08", body[:end] + body[start:end] + body[end:])

    said = [each.findtext(".//{*}TxCxlSts") or name_of(each) for each in await bank.hear()]
    assert said == ["ACCR", "pacs.004", "RJCR"]
    assert clearing.books.balance(US, "KZT") == OPENING


async def test_an_answer_names_the_message_of_the_payment(bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("A", uetr=uetr), business_id="M1", definition="pacs.009.001.08")
    await bank.hear()

    await bank.say("camt.056.001.08", recall("M1", uetr, definition="pacs.009.001.08"))

    assert {each.findtext(".//{*}OrgnlMsgNmId") for each in await bank.hear()} == {"pacs.009.001.08"}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"owner": "TSESKZKA"}, "rules_violated"),
        ({"definition": "camt.053.001.08"}, "unsupported_message"),
        ({"currency": "USD"}, "rules_violated"),
    ],
)
async def test_reports_of_others_are_refused(bank: Participant, request_: dict[str, str], code: str) -> None:
    answer = await bank.say("camt.060.001.05", report_request(**request_), "M1")

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert await bank.hear() == []
    # Nothing of it was kept: the identifier is free.
    assert (await bank.say("camt.060.001.05", report_request(), "M1")).json()["duplicate"] is False


KINDS = {"pacs.002", "pacs.004", "pacs.008", "camt.029", "camt.052", "camt.053", "camt.056"}


async def test_every_kind_of_message_is_valid_for_a_foreign_engine(bank: Participant) -> None:
    uetr = str(uuid.uuid4())
    await bank.pay(Order("A &amp; &lt;B&gt;", "1.00", uetr=uetr), Order("SIM-RJCT-AC04"), business_id="M &amp; 1")
    await bank.say("camt.056.001.08", recall("M &amp; 1", uetr, case="C &lt; 1"))
    came = (await bank.control("credit", {"creditor_account": "1", "amount": 1, "creditor": "A & <B>"})).json()["uetr"]
    await bank.control("recall", {"uetr": came, "reason": "DUPL"})
    await bank.say("camt.060.001.05", report_request())
    await bank.control("close-day", {})
    letters = {name_of(each): each for each in await bank.hear()}

    assert letters.keys() == KINDS
    for document in letters.values():
        found = definition(str(etree.QName(document).namespace).rpartition(":")[2])
        schema = xmlschema.XMLSchema10(found.xsd().decode(), validation="strict", build=True)
        schema.validate(etree.tostring(document, encoding="unicode"))


WORDS = ["E", "SIM-PDNG", "SIM-UNKN", "SIM-LOST", "SIM-RTRN-AC04", "SIM-RJCT", "SIM-RCLL-PDCR", "SIM-RCLL-RJCR"]
STEPS = st.one_of(
    st.tuples(st.just("pay"), st.sampled_from(WORDS), st.integers(1, 20_00)),
    st.tuples(st.sampled_from(["ask", "recall", "return"]), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("credit"), st.just(""), st.integers(1, 20_00)),
    st.tuples(st.just("give back"), st.integers(0, 9), st.integers(1, 20_00)),
    st.tuples(st.sampled_from(["wait", "close"]), st.just(""), st.just(0)),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=14))
async def test_money_adds_up_whatever_happens(steps: list[tuple[str, str | int, int]]) -> None:
    configuration = ClearingConfiguration(credentials=CREDENTIALS, pending_seconds=600, opening_balance=OPENING)
    async with ClearingSimulator(configuration) as simulator:
        bank = Participant(simulator)
        paid: list[str] = []
        came: list[str] = []
        closings: list[tuple[str, str]] = []
        for step, what, amount in [*steps, ("wait", "", 0), ("close", "", 0)]:
            money = f"{amount // 100}.{amount % 100:02d}"
            uetrs = came if step == "give back" else paid
            uetr = uetrs[int(what) % len(uetrs)] if isinstance(what, int) and uetrs else str(uuid.uuid4())
            match step:
                case "pay":
                    await bank.pay(Order(str(what), money, uetr=uetr))
                    paid.append(uetr)
                case "ask":
                    await bank.say("pacs.028.001.03", inquiry("", uetr).replace(
                        "<OrgnlGrpInf><OrgnlMsgId></OrgnlMsgId><OrgnlMsgNmId>pacs.008.001.08</OrgnlMsgNmId></OrgnlGrpInf>", ""
                    ))  # fmt: skip
                case "recall":
                    known = simulator.books.by_uetr(uetr)
                    await bank.say("camt.056.001.08", recall(known[0].message_id if known else "NONE", uetr))
                case "return":
                    await bank.control("return", {"uetr": uetr, "reason": "AC04"})
                case "credit":
                    came.append(await credited(bank, amount))
                case "give back":
                    await bank.say("pacs.004.001.09", give_back(uetr, money))
                case "wait":
                    await bank.control("clock", {"advance_seconds": 601})
                case "close":
                    await bank.hear(limit=500)
                    await bank.control("close-day", {})
                    statement = (await bank.hear(limit=500))[-1]
                    closings += [(each.findtext("{*}Amt") or "", each.findtext("{*}CdtDbtInd") or "")
                                 for each in statement.iter("{*}Bal")]  # fmt: skip
            assert simulator.books.available(US, "KZT") >= 0

        payments = [one for uetr in (*paid, *came) for one in simulator.books.by_uetr(uetr)]
        gone = sum(one.amount - one.returned for one in payments if not one.incoming and one.status == "ACSC")
        kept = sum(one.amount - one.returned for one in payments if one.incoming)
        assert all(0 <= one.returned <= one.amount for one in payments)
        assert simulator.books.balance(US, "KZT") == OPENING - gone + kept
        # Each statement begins where the one before it ended; every one was found to balance when it was read.
        assert closings[2::2] == closings[1:-1:2]
