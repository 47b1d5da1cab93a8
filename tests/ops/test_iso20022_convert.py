"""`shanraq iso20022 convert | to-json | from-json` as a person and a pipe use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from shanraq.standards import iso20022
from tests.standards.iso20022.test_json_form import payment

HEADER = (
    '<AppHdr xmlns="urn:iso:std:iso:20022:tech:xsd:head.001.001.02"><Fr><FIId><FinInstnId><BICFI>NBRKKZKX</BICFI></FinInstnId>'
    "</FIId></Fr><To><FIId><FinInstnId><BICFI>DEUTDEFF</BICFI></FinInstnId></FIId></To><BizMsgIdr>M1</BizMsgIdr>"
    "<MsgDefIdr>pain.001.001.09</MsgDefIdr><CreDt>2026-11-23T06:00:00Z</CreDt>{}</AppHdr>"
)


def shanraq(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shanraq", "iso20022", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def written(tmp_path: Path, signature: str = "") -> str:
    document = iso20022.canonical(iso20022.from_plain("pain.001.001.09", payment())).decode()
    path = tmp_path / "message.xml"
    path.write_text(f"<Envelope>\n{HEADER.format(signature)}\n{document}\n</Envelope>", encoding="utf-8")
    return str(path)


def test_convert_keeps_the_envelope_and_tells_what_became_of_the_values(tmp_path: Path) -> None:
    code, message, told = shanraq("convert", "--to", "pain.001.001.03", written(tmp_path))
    raw = shanraq("convert", "--to", "pain.001.001.03", "--raw", written(tmp_path))

    identity = iso20022.identify(iso20022.parse(message.encode()))
    report = json.loads(told)
    assert code == raw[0] == 0
    assert iso20022.validate(message.encode(), layers=()).valid
    assert (identity.root[1], str(identity.message_id)) == ("Envelope", "pain.001.001.03")
    assert identity.header is not None
    assert identity.header.message_definition_id == "pain.001.001.03"
    assert (report["from"], report["to"]) == ("pain.001.001.09", "pain.001.001.03")
    assert report["values"] == {"kept": 12, "moved": 2, "changed": 0, "dropped": 0}
    assert {each["code"] for each in report["not_kept"]} == {"renamed"}
    assert "NBRKKZKX" not in told
    assert "NBRKKZKX" in raw[2]


def test_lossless_prints_nothing_where_something_would_be_lost(tmp_path: Path) -> None:
    whole = payment()
    whole["CstmrCdtTrfInitn"]["PmtInf"][0]["Dbtr"]["PstlAdr"] = {"BldgNm": "Tower"}
    path = tmp_path / "message.xml"
    path.write_bytes(iso20022.canonical(iso20022.from_plain("pain.001.001.09", whole)))

    lossy = shanraq("convert", "--to", "pain.001.001.03", "--lossless", str(path))
    right = shanraq("convert", "--to", "pain.001.001.10", "--lossless", str(path))

    assert lossy[:2] == (1, "")
    assert right[0] == 0
    assert right[1].startswith("<?xml")


def test_what_cannot_be_converted_ends_with_2(tmp_path: Path) -> None:
    signature = '<Sgntr><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/></Sgntr>'
    missing = tmp_path / "missing.xml"

    signed = shanraq("convert", "--to", "pain.001.001.10", written(tmp_path, signature))
    other = shanraq("convert", "--to", "pacs.008.001.08", written(tmp_path))
    nothing = shanraq("to-json", str(missing))
    missing.write_text("\n")
    empty = shanraq("from-json", str(missing))
    missing.write_text("<a/>")
    foreign = shanraq("convert", "--to", "pain.001.001.10", str(missing))

    for code, out, told in (signed, other, nothing, empty, foreign):
        assert (code, out) == (2, "")
        assert told.startswith("error ")


def test_to_json_and_from_json_are_inverse(tmp_path: Path) -> None:
    source = written(tmp_path)
    code, lines, _ = shanraq("to-json", source)
    path = tmp_path / "message.json"
    path.write_text(lines, encoding="utf-8")

    back = shanraq("from-json", str(path))[1]
    path.write_text(lines.splitlines()[1], encoding="utf-8")
    alone = shanraq("from-json", str(path))[1]

    before = iso20022.identify(iso20022.parse(Path(source).read_bytes()))
    after = iso20022.identify(iso20022.parse(back.encode()))
    assert code == 0
    assert [json.loads(line)["message"] for line in lines.splitlines()] == ["head.001.001.02", "pain.001.001.09"]
    for one, other in zip((*before.headers, *before.documents), (*after.headers, *after.documents), strict=True):
        assert iso20022.canonical(one.element) == iso20022.canonical(other.element)
    assert iso20022.identify(iso20022.parse(alone.encode())).root[1] == "Document"
