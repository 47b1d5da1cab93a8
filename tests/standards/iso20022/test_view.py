"""Typed reading by the names of the definition."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from shanraq.standards import iso20022
from tests.standards.iso20022.test_json_form import change, payment


def read() -> iso20022.View:
    return iso20022.view(iso20022.from_plain("pain.001.001.09", change("CstmrCdtTrfInitn.PmtInf.0.BtchBookg", True)))


def test_values_have_the_type_of_their_definition() -> None:
    message = read()

    block = message.PmtInf[0]
    assert message.GrpHdr.MsgId == "M1"
    assert message.GrpHdr.CreDtTm == dt.datetime(2026, 11, 23, 6, tzinfo=dt.UTC)
    assert message.GrpHdr.CtrlSum is None
    assert block.ReqdExctnDt.Dt == dt.date(2026, 11, 23)
    assert block.BtchBookg is True
    assert block.CdtTrfTxInf[0].Amt.InstdAmt == iso20022.Amount(Decimal("100.50"), "KZT")
    assert block.CdtTrfTxInf[0].RgltryRptg == ()


def test_find_stops_where_nothing_is() -> None:
    message = read()

    assert message.find("PmtInf/DbtrAgt/FinInstnId/BICFI") == "NBRKKZKX"
    assert message.find("PmtInf/UltmtDbtr/Nm") is None
    assert message.find("PmtInf/CdtTrfTxInf/RgltryRptg/Dtls") is None
    assert message.find("PmtInf/CdtTrfTxInf/RgltryRptg") is None
    assert message.find("PmtInf/CdtTrfTxInf/Amt/InstdAmt").Ccy == "KZT"
    assert message.find("PmtInf/CdtTrfTxInf/Amt/InstdAmt/value") == Decimal("100.50")


def test_a_name_that_is_not_defined_is_an_error() -> None:
    message = read()

    with pytest.raises(AttributeError, match=r"GrpHdr has no MsgID, only MsgId, CreDtTm, Authstn"):
        _ = message.GrpHdr.MsgID
    with pytest.raises(AttributeError):
        message.find("PmtInf/Dbtr/Name")
    assert "PmtInf" in dir(message)
    assert repr(message.GrpHdr) == "<GrpHdr: MsgId, CreDtTm, NbOfTxs, InitgPty>"


def test_a_value_of_another_type_is_refused() -> None:
    document = iso20022.from_plain("pain.001.001.09", payment())
    amount = next(document.iter("{*}InstdAmt"))

    for text in ("1_0", "NaN", "1e3", ""):
        amount.text = text
        with pytest.raises(ValueError, match="no decimal number"):
            _ = iso20022.view(document).PmtInf[0].CdtTrfTxInf[0].Amt.InstdAmt


def test_a_date_may_have_a_zone() -> None:
    place = "CstmrCdtTrfInitn.PmtInf.0.ReqdExctnDt"
    message = iso20022.view(iso20022.from_plain("pain.001.001.09", change(place, {"Dt": "2026-11-23+05:00"})))

    assert message.PmtInf[0].ReqdExctnDt.Dt == dt.date(2026, 11, 23)


def test_an_open_slot_is_xml() -> None:
    envelope = {"Envlp": {"xml": '<a xmlns="urn:x"><b/></a>'}}
    message = iso20022.view(iso20022.from_plain("pain.001.001.09", change("CstmrCdtTrfInitn.SplmtryData", [envelope])))

    assert message.SplmtryData[0].Envlp.xml == '<a xmlns="urn:x"><b/></a>'
    with pytest.raises(AttributeError, match="foreign"):
        _ = message.SplmtryData[0].Envlp.a


def test_a_document_without_its_message_is_refused() -> None:
    empty = iso20022.parse(b'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"/>')

    with pytest.raises(iso20022.Iso20022Error, match="CstmrCdtTrfInitn"):
        iso20022.view(empty)
