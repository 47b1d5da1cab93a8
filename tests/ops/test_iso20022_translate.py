"""`shanraq iso20022 convert` between FIN, ISO 20022 and ISO 8583, as a person and a pipe use it."""

from __future__ import annotations

import json
from pathlib import Path

from shanraq.standards import iso8583, iso20022
from tests.ops.test_iso20022_convert import shanraq
from tests.standards.mt.samples import MT103, MT202COV, MT940, MT942
from tests.standards.translate.cards import PAN, card

NOW = ("--created", "2026-11-23T06:00:00Z")


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


def test_a_mt103_becomes_a_pacs_008_and_comes_back(tmp_path: Path) -> None:
    source = written(tmp_path, "payment.fin", MT103)

    code, message, told = shanraq("convert", "--to", "pacs.008.001.10", *NOW, source)
    forth = written(tmp_path, "payment.xml", message)
    back = shanraq("convert", "--to", "MT103", "--raw", forth)

    report = json.loads(told)
    assert code == back[0] == 0
    assert iso20022.validate(message.encode(), layers=()).valid
    assert (report["from"], report["to"]) == ("MT103", "pacs.008.001.10")
    assert report["values"] == {"kept": 42, "moved": 0, "changed": 0, "dropped": 5}
    assert {each["path"] for each in report["not_kept"]} == {
        "{1:}/session", "{1:}/sequence", "{3:}/108", "{5:}/CHK", "{5:}/TNG",
    }  # fmt: skip
    assert ("derived", "field 20") in [(each["source"], each["reason"]) for each in report["supplied"]]
    assert "TEST PAYER" not in told
    assert ":59F:/DE89370400440532013000" in back[1]
    assert json.loads(back[2])["to"] == "MT103"


def test_a_statement_becomes_a_camt_053_and_comes_back(tmp_path: Path) -> None:
    source = written(tmp_path, "statement.txt", MT940)

    bare = shanraq("convert", "--to", "camt.053.001.08", source)
    code, message, told = shanraq("convert", "--to", "camt.053.001.08", "--header", "", *NOW, source)
    back = shanraq("convert", "--to", "MT940", written(tmp_path, "statement.xml", message))
    report = shanraq("convert", "--to", "camt.052.001.08", "--header", "", written(tmp_path, "day.txt", MT942))

    assert bare[:2] == (2, "")
    assert "AppHdr/Fr/FIId/FinInstnId/BICFI" in "".join(bare[2].split())
    assert (code, back[0], report[0]) == (0, 0, 0)
    assert json.loads(told)["notes"] == []
    assert back[1].startswith(":20:STMT1")
    assert iso20022.identify(iso20022.parse(report[1].encode())).documents[0].message_id is not None


def test_missing_values_are_supplied(tmp_path: Path) -> None:
    message = shanraq("convert", "--to", "pacs.008.001.08", *NOW, written(tmp_path, "payment.fin", MT103))[1]
    payment = written(tmp_path, "payment.xml", message)

    without = shanraq("convert", "--to", "pacs.008.001.07", payment)
    code, older, told = shanraq("convert", "--to", "pacs.008.001.07", "--supply", "PmtId/TxId=T1", payment)
    cover = shanraq(
        "convert", "--to", "pacs.009.001.08", "--supply", "PmtId/TxId=T1", written(tmp_path, "cover.fin", MT202COV)
    )

    assert without[:2] == (2, "")
    assert code == cover[0] == 0
    assert "<TxId>T1</TxId>" in older
    assert json.loads(told)["supplied"] == [
        {"path": "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId/TxId", "source": "parameter"}
    ]
    assert "<TxId>T1</TxId>" in cover[1]


def test_lossless_prints_nothing_where_something_would_be_lost(tmp_path: Path) -> None:
    lossy = shanraq("convert", "--to", "pacs.008.001.08", "--lossless", written(tmp_path, "payment.fin", MT103))
    whole = shanraq(
        "convert", "--to", "camt.053.001.08", "--lossless", "--header", "", written(tmp_path, "s.txt", MT940)
    )

    assert lossy[:2] == (1, "")
    assert whole[0] == 0


def test_cleared_card_messages_become_a_settlement(tmp_path: Path) -> None:
    codec = iso8583.codec("iso87a_tlv55")
    message = card("0220", de39="00", de55=None)
    plain = written(tmp_path, "card.json", json.dumps(message.to_dict()))
    hexadecimal = written(tmp_path, "card.hex", codec.encode(message).hex())
    wishes = ("--supply", "issuer=NBRKKZKX", "--supply", "acquirer=DEUTDEFF", "--supply", "identifier=S1")

    unsaid = shanraq("convert", "--to", "pacs.009.001.08", plain)
    code, settlement, told = shanraq("convert", "--to", "pacs.009.001.08", *NOW, "--raw", *wishes, plain)
    same = shanraq("convert", "--to", "pacs.009.001.08", *NOW, *wishes, "--layout", "iso87a_tlv55", hexadecimal)

    assert unsaid[:2] == (2, "")
    assert "issuer=" in unsaid[2]
    assert code == same[0] == 0
    assert settlement == same[1]
    assert "<InstrId>000123</InstrId>" in settlement
    assert PAN not in settlement + told


def test_what_is_nothing_known_is_told(tmp_path: Path) -> None:
    payment = written(tmp_path, "payment.fin", MT103)
    xml = shanraq("convert", "--to", "pacs.008.001.08", payment)[1]

    for name, text, to, words in (
        ("a.fin", MT103, "MT940", "becomes a pacs.008"),
        ("b.fin", MT103.replace("EUR1234,5", "EUR1234.5"), "pacs.008.001.08", "32A, line 6"),
        ("c.fin", MT103 + "\r\n" + MT103, "pacs.008.001.08", "one by one"),
        ("d.txt", "hello", "pacs.008.001.08", "neither XML, nor FIN"),
        ("e.txt", "", "pacs.008.001.08", "nothing to read"),
        ("f.xml", xml, "MT999", "MT103, MT103STP, MT940, MT942, iso8583"),
        ("g.xml", xml, "MT940", "no camt.053"),
        ("h.xml", xml, "iso8583", "cain.001"),
    ):
        code, out, told = shanraq("convert", "--to", to, written(tmp_path, name, text))
        assert (code, out) == (2, "")
        assert words in " ".join(told.split())
    for option in (("--supply", "nonsense"), ("--created", "yesterday")):
        code, out, told = shanraq("convert", "--to", "pacs.008.001.08", *option, payment)
        assert (code, out) == (2, "")
        assert told.startswith("error ")
