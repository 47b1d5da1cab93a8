"""Card messages as cain and back, valid for the official schemas, which an operator adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from shanraq.standards import iso20022, translate
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso20022.convert import values
from shanraq.standards.iso20022.definition import dump
from shanraq.standards.translate.cards import card_values
from tests.conformance.iso20022_official import schemas, with_schemas
from tests.ops.test_iso20022_convert import shanraq
from tests.ops.test_iso20022_translate import NOW, written
from tests.standards.translate.cards import PAN, card
from tests.standards.translate.samples import CREATED

IDS = [f"cain.00{number}.001.05" for number in range(1, 7)]
TYPES = {
    "0100": 1, "0101": 1, "0110": 2, "0120": 1, "0130": 2, "0200": 3, "0210": 4, "0220": 3, "0230": 4, "0400": 5, "0410": 6,
    "0420": 5, "0430": 6,
}  # fmt: skip
LOST = {22, 35, 43, 48, 52, 60, 15}


def to_cain(message: Message, **supply: str) -> translate.Translation[translate.Parts]:
    return translate.iso8583_to_cain(message, created=CREATED, supply=supply, definitions=with_schemas(*IDS))


def back(done: translate.Translation[translate.Parts], **supply: str) -> translate.Translation[Message]:
    return translate.cain_to_iso8583(done.result.document, supply=supply, definitions=with_schemas(*IDS))


@pytest.mark.parametrize("mti", TYPES)
def test_a_card_message_becomes_a_valid_cain_and_comes_back(mti: str) -> None:
    message = card(mti)

    done = to_cain(message)
    returned = back(done)

    assert done.target == f"cain.00{TYPES[mti]}.001.05"
    assert iso20022.validate(done.result.to_xml(), layers=(), definitions=with_schemas(*IDS)).valid
    assert [(trace.path, trace.value) for trace in done.traces] == list(card_values(message))
    assert returned.result.mti == mti
    different = {
        number
        for number in message.fields.keys() | returned.result.fields.keys()
        if message.fields.get(number) != returned.result.fields.get(number)
    }
    assert different <= LOST
    assert len(returned.traces) == sum(1 for _ in leaves(done))
    for shown in (done.to_dict(), returned.to_dict()):
        assert PAN not in str(shown)
    assert PAN not in repr(done.traces)


def leaves(done: translate.Translation[translate.Parts]) -> Iterator[tuple[str, str]]:
    definition = with_schemas(*IDS).definition(done.target)
    return values(done.result.document, definition.root.type, "/Document")


def test_secrets_of_the_card_stay_behind() -> None:
    done = to_cain(card("0200"))

    codes = {trace.path: trace.code for trace in done.losses}
    assert {codes["35"], codes["52"]} == {"secret"}
    assert (codes["48"], codes["60"], codes["22/pin"]) == ("no_place", "no_place", "no_place")
    assert "=2812" not in done.result.to_xml().decode()


def test_codes_are_carried_literally() -> None:
    found = iso20022.view(to_cain(card("0410", de39="51")).result.document, with_schemas(*IDS))

    assert (found.Hdr.MsgFctn, found.TxChrtcs.TxTp, found.AcctFr.Tp, found.PrcgRslt.RspnCd) == (
        "REQU",
        "00",
        "10",
        "51",
    )
    assert (str(found.TxAmts.Amt), found.TxAmts.Ccy) == ("123.45", "398")
    assert found.OrgnlDataElmts.TxId.SysTracAudtNb == "000122"


def test_the_edition_of_1993_is_read() -> None:
    message = card("1110", de12="261123110000", de13=None, de22="510101511004", de25="1503", de39="000")
    request = card("1200", de12="261123110000", de13=None, de22="510101511004", de25="1503")

    found = iso20022.view(to_cain(request).result.document, with_schemas(*IDS))
    with pytest.raises(translate.TranslationError) as error:
        to_cain(message)
    answered = iso20022.view(to_cain(message, **{error.value.supply: "00"}).result.document, with_schemas(*IDS))

    assert (str(found.TxId.LclDt), found.TxChrtcs.MsgRsn, found.Cntxt.CardDataNtryMd) == (
        "2026-11-23",
        ("1503",),
        "ICCY",
    )
    assert error.value.supply == "PrcgRslt/RspnCd"
    assert answered.PrcgRslt.ActnCd == "000"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"de49": None}, "incomplete"),
        ({"de49": "KZT"}, "currency"),
        ({"de49": "000"}, "currency"),
        ({"de4": "12,5"}, "amount"),
        ({"de7": "1332060000"}, "not_of_type"),
        ({"de12": "250000"}, "not_of_type"),
        ({"de32": None}, "incomplete"),
        ({"de11": None}, "incomplete"),
        ({"de18": None}, "incomplete"),
        ({"de3": "X!0000"}, "pattern"),
    ],
)
def test_what_is_missing_or_wrong_is_named(more: dict[str, str | None], code: str) -> None:
    with pytest.raises(translate.TranslationError) as error:
        to_cain(card("0100", **more))

    assert error.value.code == code
    assert error.value.place
    assert PAN not in str(error.value)


def test_a_cain_of_another_kind_is_refused_and_elements_may_be_supplied() -> None:
    done = to_cain(card("0100"))

    returned = back(done, **{"60": "9999", "2": "5555555555554444"})

    assert (returned.result.fields[60], returned.result.fields[2]) == ("9999", PAN)
    for supply in ({"1": "X"}, {"x": "X"}, {"129": "X"}):
        with pytest.raises(translate.TranslationError) as error:
            back(done, **supply)
        assert error.value.code == "supply"
    function = next(each for each in done.result.document.iter("{*}MsgFctn"))
    function.text = "CAAD"
    with pytest.raises(translate.TranslationError) as error:
        back(done)
    assert error.value.code == "another_message"


def test_the_command_line_uses_the_schemas_of_an_operator(tmp_path: Path) -> None:
    folder = tmp_path / "definitions"
    folder.mkdir()
    definition = iso20022.read_schema(schemas()["cain.001.001.05"])
    (folder / "cain.001.001.05.definition").write_bytes(dump([definition]).encode())
    source = written(tmp_path, "card.json", json.dumps(card("0100").to_dict()))
    own = ("--definitions", str(folder))

    unknown = shanraq("convert", "--to", "cain.001.001.05", source)
    other = shanraq("convert", "--to", "cain.003.001.05", *own, source)
    code, message, told = shanraq("convert", "--to", "cain.001.001.05", "--raw", *NOW, *own, source)
    back = shanraq("convert", "--to", "iso8583", *own, written(tmp_path, "card.xml", message))

    assert unknown[0] == other[0] == 2
    assert "no definition" in unknown[2]
    assert code == back[0] == 0
    assert PAN in message
    assert PAN not in told
    assert json.loads(back[1])["mti"] == "0100"
