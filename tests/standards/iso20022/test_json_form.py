"""JSON and plain Python: nothing is lost, and every wrong shape is named with its path."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.standards import iso20022
from tests.standards.iso20022.instances import content

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
IDS = iso20022.library().ids()


def payment() -> dict[str, Any]:
    agent = {"FinInstnId": {"BICFI": "NBRKKZKX"}}
    party = {"Nm": "Алма & <Со>"}
    transaction = {
        "PmtId": {"EndToEndId": "E1"},
        "Amt": {"InstdAmt": {"value": "100.50", "Ccy": "KZT"}},
        "Cdtr": party,
    }
    block = {
        "PmtInfId": "P1",
        "PmtMtd": "TRF",
        "ReqdExctnDt": {"Dt": "2026-11-23"},
        "Dbtr": party,
        "DbtrAcct": {"Id": {"IBAN": "KZ86125KZT5004100100"}},
        "DbtrAgt": agent,
        "CdtTrfTxInf": [transaction],
    }
    head = {"MsgId": "M1", "CreDtTm": "2026-11-23T06:00:00Z", "NbOfTxs": "1", "InitgPty": party}
    return {"CstmrCdtTrfInitn": {"GrpHdr": head, "PmtInf": [block]}}


def change(place: str, value: object) -> dict[str, Any]:
    """Return the payment with another value at a place such as CstmrCdtTrfInitn.GrpHdr.MsgId; ... takes it out."""
    whole = payment()
    current: Any = whole
    *steps, last = place.split(".")
    for step in steps:
        current = current[int(step)] if step.isdigit() else current[step]
    if value is ...:
        del current[last]
    else:
        current[last] = value
    return whole


TX = "CstmrCdtTrfInitn.PmtInf.0.CdtTrfTxInf.0"
TX_PATH = "/Document/CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf"


@pytest.mark.parametrize(
    ("place", "value", "code", "path"),
    [
        ("CstmrCdtTrfInitn.GrpHdr.MsgIdx", "1", "unknown_element", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgIdx"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", ..., "missing_element", "/Document/CstmrCdtTrfInitn/GrpHdr"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", "x" * 36, "too_long", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", "", "too_short", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", ["1"], "repeated_element", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", {"a": 1}, "not_a_value", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", None, "not_a_value", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.MsgId", "a\x00", "invalid_character", "/Document/CstmrCdtTrfInitn/GrpHdr/MsgId"),
        ("CstmrCdtTrfInitn.GrpHdr.CtrlSum", 1.5, "number", "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum"),
        ("CstmrCdtTrfInitn.GrpHdr.CtrlSum", Decimal("NaN"), "not_a_value", "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum"),
        ("CstmrCdtTrfInitn.GrpHdr", "text", "not_an_object", "/Document/CstmrCdtTrfInitn/GrpHdr"),
        ("CstmrCdtTrfInitn.GrpHdr.Authstn", [{"Cd": "AUTH"}] * 3, "repeated_element",
         "/Document/CstmrCdtTrfInitn/GrpHdr/Authstn[3]"),
        ("CstmrCdtTrfInitn.PmtInf", {}, "not_a_list", "/Document/CstmrCdtTrfInitn/PmtInf"),
        ("CstmrCdtTrfInitn.PmtInf", [], "missing_element", "/Document/CstmrCdtTrfInitn"),
        ("CstmrCdtTrfInitn.PmtInf.0.PmtMtd", "CASH", "enumeration", "/Document/CstmrCdtTrfInitn/PmtInf/PmtMtd"),
        (f"{TX}.Amt.InstdAmt", "100.50", "not_an_object", f"{TX_PATH}/Amt/InstdAmt"),
        (f"{TX}.Amt.InstdAmt", {"value": "1"}, "missing_attribute", f"{TX_PATH}/Amt/InstdAmt"),
        (f"{TX}.Amt.InstdAmt", {"Ccy": "KZT"}, "missing_attribute", f"{TX_PATH}/Amt/InstdAmt"),
        (f"{TX}.Amt.InstdAmt", {"value": "1", "Ccy": "KZT", "x": ""}, "unknown_attribute", f"{TX_PATH}/Amt/InstdAmt/@x"),
        (f"{TX}.Amt.InstdAmt", {"value": "1", "Ccy": "kzt"}, "pattern", f"{TX_PATH}/Amt/InstdAmt/@Ccy"),
        (f"{TX}.Amt.InstdAmt", {"value": "1e3", "Ccy": "KZT"}, "value", f"{TX_PATH}/Amt/InstdAmt"),
        (f"{TX}.Amt.EqvtAmt", {"Amt": {"value": "1", "Ccy": "KZT"}, "CcyOfTrf": "KZT"}, "choice_exceeded",
         f"{TX_PATH}/Amt/EqvtAmt"),
        (f"{TX}.SplmtryData", [{"Envlp": {"xml": "<a>"}}], "open_slot", f"{TX_PATH}/SplmtryData/Envlp"),
        (f"{TX}.SplmtryData", [{"Envlp": {"xml": "<!DOCTYPE a><a/>"}}], "open_slot", f"{TX_PATH}/SplmtryData/Envlp"),
        (f"{TX}.SplmtryData", [{"Envlp": {"xml": "<a/>", "b": ""}}], "open_slot", f"{TX_PATH}/SplmtryData/Envlp"),
        (f"{TX}.SplmtryData", [{"Envlp": {"xml": "<a>\ud800</a>"}}], "open_slot", f"{TX_PATH}/SplmtryData/Envlp"),
    ],
)  # fmt: skip
def test_wrong_shape_is_named_with_its_path(place: str, value: object, code: str, path: str) -> None:
    with pytest.raises(iso20022.Iso20022Error) as refused:
        iso20022.from_plain("pain.001.001.09", change(place, value))

    assert (refused.value.code, refused.value.path) == (code, path)


def test_order_is_the_definitions() -> None:
    turned = dict(reversed(payment()["CstmrCdtTrfInitn"].items()))
    turned["GrpHdr"] = dict(reversed(turned["GrpHdr"].items()))

    document = iso20022.from_plain("pain.001.001.09", {"CstmrCdtTrfInitn": turned})

    assert json.dumps(iso20022.to_plain(document)) == json.dumps(payment())


def test_python_values_are_written_exactly() -> None:
    whole = change("CstmrCdtTrfInitn.GrpHdr.CtrlSum", Decimal("1E+2"))
    block = whole["CstmrCdtTrfInitn"]["PmtInf"][0]
    block |= {"BtchBookg": True, "ReqdExctnDt": {"Dt": dt.date(2026, 11, 23)}, "NbOfTxs": 1}
    whole["CstmrCdtTrfInitn"]["GrpHdr"]["CreDtTm"] = dt.datetime(2026, 11, 23, 6, tzinfo=dt.UTC)

    plain = iso20022.to_plain(iso20022.from_plain("pain.001.001.09", whole))["CstmrCdtTrfInitn"]

    assert plain["GrpHdr"]["CtrlSum"] == "100"
    assert plain["GrpHdr"]["CreDtTm"] == "2026-11-23T06:00:00+00:00"
    assert (plain["PmtInf"][0]["BtchBookg"], plain["PmtInf"][0]["NbOfTxs"]) == ("true", "1")


def test_an_invalid_document_has_no_json() -> None:
    document = iso20022.parse(f'<Document xmlns="{NAMESPACE}"><CstmrCdtTrfInitn/></Document>'.encode())

    for form in (iso20022.to_json, iso20022.to_plain):
        with pytest.raises(iso20022.Iso20022Error, match="missing"):
            form(document)


def told(text: str) -> str:
    with pytest.raises(iso20022.Iso20022Error) as refused:
        iso20022.from_json(text)
    return refused.value.code


def form(**more: object) -> str:
    return json.dumps({"message": "pain.001.001.09", "Document": payment(), **more})


def test_json_that_is_no_message_is_refused() -> None:
    assert told("{") == "not_json"
    assert told("[" * 100_000) == "not_json"
    assert told("[]") == "not_json"
    assert told('{"message": 1}') == "not_json"
    assert told('{"message": "pain.001.001.99"}') == "unknown_version"
    assert told('{"message": "pain.001.001.09"}') == "missing_element"
    assert told(form(AppHdr={})) == "unknown_element"
    assert told(form().replace('"1"', "1.5")) == "number"
    assert told(form().replace('"1"', "NaN")) == "number"
    assert told('{"message": "pain.001.001.09", "message": ""}') == "duplicate_key"


@pytest.mark.parametrize(
    "layout",
    [1, {"x": 1}, {"prefix": 1}, {"prefix": "a b"}, {"indent": "x"}, {"indent": " " * 65}, {"gaps": []}, {"gaps": {"0": "x"}},
     {"gaps": {"9999": ""}}, {"gaps": {"a": ""}}, {"xsi": []}, {"xsi": {"nil": "true"}}, {"xsi": {"schemaLocation": 1}},
     {"xsi": {"schemaLocation": "\x00"}}],
)  # fmt: skip
def test_layout_is_white_space_and_prefix_only(layout: object) -> None:
    assert told(form(layout=layout)) == "layout"


def test_layout_keeps_the_digest() -> None:
    plain = iso20022.from_plain("pain.001.001.09", payment())
    text = iso20022.canonical(plain).decode()
    odd = (
        text.replace("<Document xmlns", '<p:Document xsi:schemaLocation="a b" xmlns:xsi="'
                     'http://www.w3.org/2001/XMLSchema-instance" xmlns:p')
        .replace("</Document", "</p:Document")
        .replace("<GrpHdr>", "\n\t<!-- c --> <GrpHdr>")
        .replace("</GrpHdr>", "\r</GrpHdr>")
    )  # fmt: skip
    for name in set(payment_names(payment())):
        odd = (
            odd.replace(f"<{name}>", f"<p:{name}>")
            .replace(f"</{name}>", f"</p:{name}>")
            .replace(f"<{name} ", f"<p:{name} ")
        )
    document = iso20022.parse(odd.encode())

    back = iso20022.from_json(iso20022.to_json(document))

    assert iso20022.canonical(back) == iso20022.canonical(document)
    assert b"layout" not in iso20022.to_json(plain)


def payment_names(whole: object) -> list[str]:
    if isinstance(whole, dict):
        return [name for key, value in whole.items() for name in (key, *payment_names(value))]
    return [name for each in whole for name in payment_names(each)] if isinstance(whole, list) else []


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(IDS), st.integers(0, 2**32))
def test_any_message_survives_the_round_trip(message_id: str, seed: int) -> None:
    plain = content(message_id, seed)

    document = iso20022.from_plain(message_id, plain)
    back = iso20022.from_json(iso20022.to_json(document))

    assert iso20022.to_plain(document) == plain
    assert iso20022.canonical(back) == iso20022.canonical(document)
