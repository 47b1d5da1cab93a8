"""Read transactions out of a pain.001: what becomes of each of its parts, in every version, from any position."""

from __future__ import annotations

import io
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.core.money import Currency, Money
from shanraq.credit_transfers import NewTransfer, Rejection
from shanraq.payment_files.instructions import Batch, File, read_batches
from shanraq.standards import iso20022
from tests.payment_files.files import NAMESPACE, Order, transaction

TODAY = date(2026, 11, 26)
REJECTIONS: dict[tuple[int, int], Rejection] = {}


def read(xml: bytes, *, version: str = "pain.001.001.09", after: int = 0, size: int = 1000) -> list[Batch]:
    file = File("pmf_1", version, TODAY, REJECTIONS)
    return list(read_batches(io.BytesIO(xml), file, after=after, size=size))


def transfers(batches: list[Batch]) -> list[NewTransfer]:
    return [transfer for batch in batches for transfer in batch.transfers]


def only(xml: bytes, version: str = "pain.001.001.09") -> NewTransfer:
    (found,) = transfers(read(xml, version=version))
    return found


FULL = (
    "<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId><UETR>3b0b2a5e-1f5e-4c8e-9b1a-2d6f1a7c9e01</UETR></PmtId>"
    "<PmtTpInf><LclInstrm><Prtry>L</Prtry></LclInstrm></PmtTpInf>"
    '<Amt><InstdAmt Ccy="KZT">12.5</InstdAmt></Amt>\n <UltmtDbtr><Nm>Real &amp; Payer</Nm></UltmtDbtr>'
    "<IntrmyAgt1><FinInstnId><BICFI>DEUTDEFF</BICFI></FinInstnId></IntrmyAgt1>"
    "<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>722</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>"
    "<Cdtr><Nm>A &lt;B&gt; \u04d8</Nm>\n  <PstlAdr><Ctry>KZ</Ctry></PstlAdr></Cdtr>"
    "<CdtrAcct><Id><Othr><Id>4711</Id></Othr></Id></CdtrAcct>"
    "<InstrForCdtrAgt><Cd>PHOB</Cd></InstrForCdtrAgt><InstrForCdtrAgt><InstrInf>Call</InstrInf></InstrForCdtrAgt>"
    "<InstrForDbtrAgt>Fast</InstrForDbtrAgt><Purp><Prtry>311</Prtry></Purp>"
    "<RmtInf><Ustrd>one</Ustrd><Ustrd>two</Ustrd></RmtInf></CdtTrfTxInf>"
)
BLOCK = (
    "<PmtTpInf><InstrPrty>HIGH</InstrPrty><SvcLvl><Cd>URGP</Cd></SvcLvl>"
    "<LclInstrm><Prtry>BLOCK</Prtry></LclInstrm></PmtTpInf>"
)


def test_every_part_of_a_transaction_is_carried_on() -> None:
    found = only(Order([[FULL]], block_more=BLOCK).xml())

    details = found.details
    assert (found.amount, found.currency, found.instruction_id) == (1250, "KZT", "")
    assert found.uetr == "3b0b2a5e-1f5e-4c8e-9b1a-2d6f1a7c9e01"
    assert (details.debtor_name, details.debtor_account) == ("Payer LLP", "KZ86125KZT5004100100")
    assert (details.creditor_name, details.creditor_account, details.creditor_agent) == ("A <B> \u04d8", "4711", "722")
    assert (details.remittance, details.purpose) == ("one two", "311")
    assert details.carried == {
        "Dbtr": "<Dbtr><Nm>Payer LLP</Nm></Dbtr>",
        "DbtrAcct": "<DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></DbtrAcct>",
        "DbtrAgt": "<DbtrAgt><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></DbtrAgt>",
        "UltmtDbtr": "<UltmtDbtr><Nm>Real &amp; Payer</Nm></UltmtDbtr>",
        "IntrmyAgt1": "<IntrmyAgt1><FinInstnId><BICFI>DEUTDEFF</BICFI></FinInstnId></IntrmyAgt1>",
        "CdtrAgt": "<CdtrAgt><FinInstnId><ClrSysMmbId><MmbId>722</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>",
        "Cdtr": "<Cdtr><Nm>A &lt;B&gt; \u04d8</Nm><PstlAdr><Ctry>KZ</Ctry></PstlAdr></Cdtr>",
        "CdtrAcct": "<CdtrAcct><Id><Othr><Id>4711</Id></Othr></Id></CdtrAcct>",
        "InstrForCdtrAgt": "<InstrForCdtrAgt><Cd>PHOB</Cd></InstrForCdtrAgt>"
        "<InstrForCdtrAgt><InstrInf>Call</InstrInf></InstrForCdtrAgt>",
        "InstrForDbtrAgt": "<InstrForDbtrAgt>Fast</InstrForDbtrAgt>",
        "Purp": "<Purp><Prtry>311</Prtry></Purp>",
        "RmtInf": "<RmtInf><Ustrd>one</Ustrd><Ustrd>two</Ustrd></RmtInf>",
        "PmtTpInf": "<PmtTpInf><InstrPrty>HIGH</InstrPrty><SvcLvl><Cd>URGP</Cd></SvcLvl>"
        "<LclInstrm><Prtry>L</Prtry></LclInstrm></PmtTpInf>",
    }


def test_prefixes_comments_and_indentation_change_nothing() -> None:
    plain = Order([[FULL, transaction(2)]], block_more=BLOCK).xml()
    root = etree.fromstring(plain)
    indented = etree.tostring(root, pretty_print=True).replace(b"<Purp>", b"<!-- why --><Purp>")
    prefixed = (
        plain.replace(b"</", b"</p:").replace(b"<?xml", b"\x00").replace(b"<", b"<p:").replace(b"<p:/p:", b"</p:")
    )
    prefixed = prefixed.replace(b"\x00", b"<?xml").replace(b"xmlns=", b"xmlns:p=")
    assert etree.fromstring(prefixed) is not None

    assert transfers(read(indented)) == transfers(read(plain)) == transfers(read(prefixed))


def test_without_a_uetr_it_is_always_given_the_same() -> None:
    xml = Order([[transaction(1), transaction(2)]]).xml()

    first, second = (transfers(read(xml)) for _ in range(2))
    later = transfers(read(xml, after=1))

    assert first == second
    assert later == first[1:]
    assert first[0].uetr != first[1].uetr
    assert [transfer.uetr[14] for transfer in first] == ["4", "4"]


@given(
    st.lists(st.integers(1, 240), min_size=1, max_size=4),
    st.integers(0, 500),
    st.integers(1, 300),
)
@settings(max_examples=25, deadline=None)
def test_reading_on_gives_what_reading_through_would_have(counts: list[int], after: int, size: int) -> None:
    number = iter(range(1, 2000))
    xml = Order([[transaction(next(number)) for _ in range(count)] for count in counts]).xml()

    whole = transfers(read(xml))
    batches = read(xml, after=after, size=size)

    assert [transfer.position for transfer in whole] == list(range(1, sum(counts) + 1))
    assert [transfer.block for transfer in whole] == [b for b, count in enumerate(counts, 1) for _ in range(count)]
    assert [transfer.end_to_end_id for transfer in whole] == [f"E{n}" for n in range(1, sum(counts) + 1)]
    assert transfers(batches) == whole[after:]
    assert {len(batch.transfers) for batch in batches[:-1]} <= {size}


@given(st.integers(1, 10**13), st.sampled_from(["KZT", "JPY", "BHD", "USD"]))
@settings(max_examples=50, deadline=None)
def test_amounts_are_exact(minor: int, code: str) -> None:
    money = Money(minor, Currency.of(code))

    found = only(Order([[transaction(1, amount=money.decimal_text(), currency=code)]]).xml())

    assert (found.amount, found.currency, found.rejection) == (minor, code, None)


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        ("1.005", "KZT", "CH20"), ("0.5", "JPY", "CH20"), ("0", "KZT", "AM01"), ("5", "XXX", "AM11"), ("5", "ABC", "AM11"),
        ("999999999999999999", "BHD", "AM12"),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_are_refused(amount: str, currency: str, reason: str) -> None:
    found = only(Order([[transaction(1, amount=amount, currency=currency)]]).xml())

    assert found.rejection is not None
    assert (found.rejection.reason, found.amount, found.currency) == (reason, 0, currency)


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("<Dt>2026-12-01</Dt>", date(2026, 12, 1)),
        ("<Dt>2026-12-01Z</Dt>", date(2026, 12, 1)),
        ("<DtTm>2026-12-01T23:30:00+05:00</DtTm>", date(2026, 12, 1)),
    ],
)
def test_the_day_of_execution_is_the_one_that_is_written(written: str, day: date) -> None:
    found = only(Order([[transaction(1)]], day=written).xml())

    assert (found.execution_date, found.rejection) == (day, None)


def test_a_day_that_cannot_be_read_is_refused() -> None:
    found = only(Order([[transaction(1)]], day="<Dt>12026-12-01</Dt>").xml())

    assert found.rejection == Rejection("DT01", "the requested execution date cannot be read")
    assert found.execution_date == TODAY


def test_what_validation_refused_comes_first() -> None:
    xml = Order([[transaction(1), transaction(2, amount="0")], [transaction(3)]]).xml()
    file = File("pmf_1", "pain.001.001.09", TODAY, {(1, 2): Rejection("AC01"), (2, 0): Rejection("DT01")})

    found = transfers(list(read_batches(io.BytesIO(xml), file)))

    assert [transfer.rejection for transfer in found] == [None, Rejection("AC01"), Rejection("DT01")]


OLD = (
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId>'
    "<CreDtTm>2026-11-26T10:00:00</CreDtTm><NbOfTxs>2</NbOfTxs><InitgPty><Nm>P</Nm></InitgPty></GrpHdr>"
    "<PmtInf><PmtInfId>B</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt>2026-11-27</ReqdExctnDt><Dbtr><Nm>P</Nm></Dbtr>"
    "<DbtrAcct><Id><IBAN>KZ86125KZT5004100100</IBAN></Id></DbtrAcct>"
    "<DbtrAgt><FinInstnId><BIC>HSBKKZKX</BIC></FinInstnId></DbtrAgt>{}</PmtInf></CstmrCdtTrfInitn></Document>"
)
OLD_TRANSACTION = (
    "<CdtTrfTxInf><PmtId><EndToEndId>E{}</EndToEndId></PmtId><Amt><InstdAmt Ccy=\"KZT\">10.00</InstdAmt></Amt>"
    "<CdtrAgt><FinInstnId><BIC>CASPKZKA</BIC></FinInstnId></CdtrAgt><Cdtr><Nm>C</Nm></Cdtr>"
    "<CdtrAcct><Id><IBAN>KZ82722TEST000000001</IBAN></Id></CdtrAcct></CdtTrfTxInf>"
)  # fmt: skip


def test_an_older_version_is_read_in_the_present_form() -> None:
    xml = OLD.format("".join(OLD_TRANSACTION.format(n) for n in range(1, 251))).encode()

    batches = read(xml, version="pain.001.001.03")

    found = transfers(batches)
    assert [transfer.end_to_end_id for transfer in found] == [f"E{n}" for n in range(1, 251)]
    assert {transfer.details.creditor_agent for transfer in found} == {"CASPKZKA"}
    assert {transfer.execution_date for transfer in found} == {date(2026, 11, 27)}
    assert found[0].details.carried["DbtrAgt"] == "<DbtrAgt><FinInstnId><BICFI>HSBKKZKX</BICFI></FinInstnId></DbtrAgt>"
    assert not batches[0].losses


def test_what_a_conversion_leaves_out_is_counted() -> None:
    more = "<MndtRltdInf><MndtId>X</MndtId></MndtRltdInf>"
    made = transaction(1).replace("<CdtrAgt>", f"{more}<CdtrAgt>"), transaction(2)
    xml = Order([made], version="pain.001.001.13").xml()
    assert iso20022.validate(xml, layers=()).valid

    (batch,) = read(xml, version="pain.001.001.13")

    assert [transfer.rejection for transfer in batch.transfers] == [None, None]
    assert batch.losses == {"/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf/MndtRltdInf/MndtId": 1}


@pytest.mark.parametrize("version", iso20022.library().versions("pain.001"))
def test_every_version_there_is_can_be_read(version: str) -> None:
    definition = iso20022.definition(version)
    built = etree.fromstring(OLD.format(OLD_TRANSACTION.format(1)).encode())
    if version == "pain.001.001.02":
        text = etree.tostring(built).replace(b"CstmrCdtTrfInitn", version.encode())
        text = text.replace(b"<NbOfTxs>2</NbOfTxs>", b"<NbOfTxs>2</NbOfTxs><Grpg>SNGL</Grpg>")
        text = text.replace(b"pain.001.001.03", version.encode())
    else:
        text = etree.tostring(iso20022.convert(built, to=version).document)
    assert definition.namespace == f"{NAMESPACE}{version}"

    found = only(text, version)

    assert (found.amount, found.currency, found.details.creditor_agent) == (1000, "KZT", "CASPKZKA")
    assert (found.execution_date, found.rejection) == (date(2026, 11, 27), None)
