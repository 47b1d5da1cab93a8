"""Cleared card messages as pacs.009; what of them has no cain; no card number in any account."""

from __future__ import annotations

import pytest

from shanraq.core.iso4217 import ISO_4217, RETIRED
from shanraq.standards import iso20022, translate
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso20022.codes import currency_number, currency_of_number
from shanraq.standards.translate.cards import card_values, near_date, rate_digits, rate_of
from tests.standards.translate.cards import PAN, card
from tests.standards.translate.samples import CREATED


def settled(*messages: Message) -> translate.Translation[translate.Parts]:
    return translate.card_settlement(
        messages, issuer="NBRKKZKX", acquirer="DEUTDEFF", identifier="S1", system="TEST", created=CREATED
    )


def test_a_cleared_message_keeps_its_references_in_a_transfer_between_banks() -> None:
    message = card("0220", de39="00")

    done = settled(message)

    found = iso20022.view(done.result.document)
    transfer = found.CdtTrfTxInf[0]
    assert (transfer.PmtId.InstrId, transfer.PmtId.TxId) == ("000123", "632812000123")
    assert (str(transfer.IntrBkSttlmAmt.value), transfer.IntrBkSttlmAmt.Ccy) == ("2.50", "USD")
    assert str(transfer.IntrBkSttlmDt) == "2026-11-24"
    assert (found.GrpHdr.SttlmInf.SttlmMtd, found.GrpHdr.SttlmInf.ClrSys.Prtry) == ("CLRG", "TEST")
    assert iso20022.validate(done.result.to_xml(), as_of=CREATED).valid
    assert [(trace.path, trace.value) for trace in done.traces] == list(card_values(message))
    assert PAN not in str(done.to_dict())


def banks(done: translate.Translation[translate.Parts]) -> list[tuple[str, str]]:
    return [
        (each.Dbtr.FinInstnId.BICFI, each.Cdtr.FinInstnId.BICFI)
        for each in iso20022.view(done.result.document).CdtTrfTxInf
    ]


def test_refunds_and_reversals_flow_back() -> None:
    purchase, refund = card("0220"), card("0220", de3="200000")
    reversal, refund_reversed = card("0420"), card("0420", de3="200000")

    done = settled(purchase, refund, reversal, refund_reversed)

    forth, back = ("NBRKKZKX", "DEUTDEFF"), ("DEUTDEFF", "NBRKKZKX")
    assert banks(done) == [forth, back, back, forth]
    assert iso20022.view(done.result.document).GrpHdr.NbOfTxs == "4"


def test_the_amount_of_the_transaction_stands_in_where_none_was_settled() -> None:
    done = settled(card("0220", de5=None, de15=None))

    transfer = iso20022.view(done.result.document).CdtTrfTxInf[0]
    assert (str(transfer.IntrBkSttlmAmt.value), transfer.IntrBkSttlmAmt.Ccy) == ("123.45", "KZT")
    assert str(transfer.IntrBkSttlmDt) == "2026-11-23"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (card("0100"), "not_cleared"),
        (card("0210", de39="05"), "not_cleared"),
        (card("0220", de4=None, de5=None), "incomplete"),
        (card("0220", de50="000"), "currency"),
        (card("0220", de5="X"), "amount"),
        (card("0220", de15="1399"), "not_of_type"),
        (card("0220", de11=None, de37=None), "incomplete"),
    ],
)
def test_what_moved_no_money_is_refused(message: Message, code: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        settled(message)

    assert error.value.code == code


def test_totals_of_a_reconciliation_become_one_transfer() -> None:
    fields = {11: "000001", 15: "1124", 50: "398", 97: "D0000000000012345"}

    def net(**more: str) -> translate.Translation[translate.Parts]:
        own = fields | {int(name[2:]): value for name, value in more.items()}
        return translate.totals_settlement(
            Message("0520", own), debtor="NBRKKZKX", creditor="DEUTDEFF", identifier="N1", created=CREATED
        )

    assert str(iso20022.view(net().result.document).CdtTrfTxInf[0].IntrBkSttlmAmt.value) == "123.45"
    assert (banks(net()), banks(net(de97="C0000000000012345"))) == (
        [("NBRKKZKX", "DEUTDEFF")],
        [("DEUTDEFF", "NBRKKZKX")],
    )
    with pytest.raises(translate.TranslationError, match="net amount"):
        net(de97="12345")
    with pytest.raises(translate.TranslationError) as error:
        translate.totals_settlement(card("0220"), debtor="NBRKKZKX", creditor="DEUTDEFF", identifier="N1")
    assert error.value.code == "another_message"


def test_messages_without_a_cain_are_refused() -> None:
    for mti in ("0800", "0500", "2100", "0160"):
        with pytest.raises(translate.TranslationError) as error:
            translate.cain_of(Message(mti, {}))
        assert error.value.code == "another_message"
    with pytest.raises(iso20022.Iso20022Error, match=r"no definition of cain\.001\.001\.05"):
        translate.iso8583_to_cain(card("0100"))


def test_dates_without_a_year_are_near_the_moment() -> None:
    assert str(near_date("1231", CREATED.replace(month=1, day=2), "7")) == "2025-12-31"
    assert str(near_date("0101", CREATED.replace(month=12, day=31), "7")) == "2027-01-01"


def test_rates_have_their_decimals_first() -> None:
    assert (rate_of("60020251"), rate_of("00000002"), rate_of("80000001"), rate_of("X")) == (
        "0.020251",
        "2",
        None,
        None,
    )
    assert (rate_digits("0.020251"), rate_digits("2"), rate_digits("12345678"), rate_digits("")) == (
        "60020251", "00000002", None, None,
    )  # fmt: skip


def test_numbers_of_currencies_are_those_of_money() -> None:
    for code, (number, _) in {**RETIRED, **ISO_4217}.items():
        assert currency_number(code) == f"{number:03d}"
    assert currency_of_number("532") == "XCG"  # ANG had it before
    assert currency_of_number("000") is None
