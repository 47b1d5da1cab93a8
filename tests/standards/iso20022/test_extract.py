"""Payments come out of a message as records, each with what is wrong with it."""

from __future__ import annotations

import datetime as dt
import io

import pytest

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Extraction, Instruction
from tests.standards.iso20022.messages import DE_IBAN, KZ_IBAN, UETR, envelope

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
OPTIONS = {"residency_and_sector": {"type": "EKNP"}}


def extract(text: str, *, batch: int = 1000, profile: str = "iso") -> Extraction:
    return iso20022.extract_stream(io.BytesIO(text.encode()), profile=profile, as_of=NOW, options=OPTIONS, batch=batch)


def instructions(text: str, *, profile: str = "iso") -> list[Instruction]:
    return [each for batch in extract(text, profile=profile) for each in batch.instructions]


def test_an_order_is_read_with_its_block_and_its_head() -> None:
    [batch] = extract(envelope("pain.001.001.09"), profile="kz")
    first, second = batch.instructions

    assert (batch.head.definition, batch.head.message_id, batch.head.count) == ("pain.001.001.09", "M-1", "2")
    assert (batch.head.control_sum, batch.head.initiating_party) == ("30.50", "Tester")
    assert first.block is not None
    assert (first.block.number, first.block.block_id, first.block.method) == (1, "B-1", "TRF")
    assert (first.number, first.instruction_id, first.end_to_end_id, first.uetr) == (1, "I-1", "E-1", UETR)
    assert (first.amount, first.currency, first.day) == ("10.50", "KZT", "2026-03-03")
    assert (first.debtor.name, first.debtor.identifier, first.debtor.scheme) == ("Tester", "500412100219", "TXID")
    assert (first.debtor.account, first.debtor.account_currency) == (KZ_IBAN, "KZT")
    assert (first.debtor.agent_bic, first.creditor.agent_bic) == ("NBRKKZKX", "NBRKKZKX")
    assert (first.creditor.name, first.creditor.country, first.creditor.account) == ("Payee", "KZ", KZ_IBAN)
    assert (first.purpose, first.purpose_code, first.debtor_code, first.creditor_code) == ("710", "710", "19", "14")
    assert first.remittance == ("Rent",)
    assert (second.number, second.amount, second.creditor.account) == (2, "20", DE_IBAN)
    assert second.path.endswith("/PmtInf[1]/CdtTrfTxInf[2]")


def test_a_settlement_has_its_parties_itself() -> None:
    [only] = instructions(envelope("pacs.008.001.08"))

    assert only.block is None
    assert (only.transaction_id, only.amount, only.currency, only.day) == ("T-1", "100.00", "EUR", "2026-03-03")
    assert (only.instructed_amount, only.instructed_currency) == ("100.00", "EUR")
    assert (only.service_level, only.priority, only.charge_bearer) == ("G001", "NORM", "SHAR")
    assert (only.debtor.name, only.debtor.lei) == ("Tester", "7LTWFZYICNSX8D621K86")
    assert only.reference == "RF18539007547034"


def test_a_direct_debit_has_its_mandate() -> None:
    first, _ = instructions(envelope("pain.008.001.08"))

    assert (first.mandate_id, first.sequence_type, first.day) == ("N-1", "OOFF", "2026-03-10")
    assert first.debtor.account == DE_IBAN


def test_what_is_wrong_with_one_transaction_stands_there_and_in_the_report() -> None:
    wrong = envelope("pain.001.001.09").replace(DE_IBAN, DE_IBAN[:-1] + "9").replace("<CtrlSum>30.50", "<CtrlSum>31")

    extraction = extract(wrong)
    [first, second] = [each for batch in extraction for each in batch.instructions]

    assert first.reason == ""
    assert (second.valid, second.reason) == (False, "AC03")
    assert "iban" in {found.code for found in second.findings}
    assert {"iban", "sum_group"} <= {found.code for found in extraction.report.findings}
    assert "sum_group" not in {found.code for found in second.findings}


def test_batches_have_the_size_that_was_asked_for() -> None:
    batches = list(extract(envelope("pain.001.001.09"), batch=1))

    assert [[each.number for each in batch.instructions] for batch in batches] == [[1], [2]]


@pytest.mark.parametrize("text", ["", "<x", envelope("camt.053.001.08")])
def test_what_holds_no_payments_has_a_report_alone(text: str) -> None:
    extraction = extract(text)

    assert list(extraction) == []
    assert extraction.report.findings
