"""`shanraq iso8583` as a person and a pipe use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.files import FileFormat, write_records

PAN = "4111111111111111"


@pytest.fixture(scope="module")
def line() -> str:
    fields = {2: PAN, 3: "000000", 4: "000000012500", 7: "0401123045", 11: "123456", 41: "TERM0001", 49: "398"}
    return iso8583.codec("iso87_asciibin").encode(Message("0100", fields)).hex()


def shanraq(*arguments: str, given: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shanraq", "iso8583", *arguments],
        input=given, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_decode_masks_unless_told_otherwise_and_encode_is_its_inverse(line: str) -> None:
    given = f"{line}\n\n{line[:40]}\nnot hex\n"
    masked = shanraq("decode", "--spec", "iso87_asciibin", given=given)
    raw = shanraq("decode", "--spec", "iso87_asciibin", "--raw", given=line)
    again = shanraq("encode", "--spec", "iso87_asciibin", given=raw[1])

    first, cut, wrong = [json.loads(text) for text in masked[1].splitlines()]
    assert (masked[0], raw[0], again[0]) == (0, 0, 0)
    assert PAN not in masked[1] + masked[2]
    assert first["fields"]["2"] == "411111******1111"
    assert cut["error"] == {
        "code": "truncated", "field": "2", "offset": 14, "level": "structure", "message": "needs 16 bytes, 6 left"
    }  # fmt: skip
    assert (wrong["error"]["code"], wrong["error"]["field"]) == ("bad_input", "input")
    assert json.loads(raw[1])["fields"]["2"] == PAN
    assert again[1].strip() == line.upper()


def test_a_layout_of_ones_own_is_read_from_a_file(line: str, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(shanraq("specs", "iso87_asciibin")[1])

    code, output, _ = shanraq("decode", "--spec", str(own), given=line)
    unknown = shanraq("decode", "--spec", "nothing", given=line)

    assert (code, json.loads(output)["mti"]) == (0, "0100")
    assert unknown[0] == 1
    assert "iso87_asciibin" in unknown[2]


def test_encode_says_what_is_wrong_with_its_input() -> None:
    given = '{"mti": "0100", "fields": {"3": "1"}}\n{"mti": 5}\n[]\n{"mti": "0100", "fields": {"x": "1"}}\n'

    code, output, _ = shanraq("encode", "--spec", "iso87_asciibin", given=given)

    errors = [json.loads(text)["error"] for text in output.splitlines()]
    assert code == 0
    assert [error["code"] for error in errors] == ["wrong_size", "bad_input", "bad_input", "bad_input"]
    assert errors[0]["field"] == "3"


def test_describe_and_doctor_speak_to_people(line: str) -> None:
    framed = f"{len(line) // 2:04x}{line}"
    described = shanraq("describe", "--spec", "iso87_asciibin", given=line)
    broken = shanraq("describe", "--spec", "iso87_asciibin", given=line[:40])
    guessed = shanraq("doctor", given=framed)
    hopeless = shanraq("doctor", given="00")

    assert described[0] == 0
    assert "authorization request" in described[1]
    assert "411111******1111" in described[1]
    assert broken[0] == 1
    assert "needs 16 bytes" in broken[1]
    assert guessed[0] == 0
    assert guessed[1].split()[0] in ("iso87_asciibin", "iso87a_bbm", "post", "moov_mixed")
    assert "binary2" in guessed[1].splitlines()[0]
    assert hopeless[0] == 1
    assert PAN not in described[1] + broken[1] + guessed[1]


def test_specs_lists_every_layout() -> None:
    output = shanraq("specs")[1]

    assert [text.split()[0] for text in output.splitlines()] == list(iso8583.layout_names())


MOOV = {
    "name": "Own",
    "fields": {
        "0": {"type": "String", "length": 4, "enc": "ASCII", "prefix": "ASCII.Fixed"},
        "1": {"type": "Bitmap", "length": 8, "enc": "Binary", "prefix": "Binary.Fixed"},
        "2": {"type": "String", "length": 19, "enc": "ASCII", "prefix": "ASCII.LL"},
        "63": {"type": "Binary", "length": 9, "enc": "Binary", "prefix": "Hex.LL"},
    },
}


@pytest.mark.parametrize("form", ["moov", "jpos", "pyiso8583", "shanraq"])
def test_a_layout_is_converted_and_read_again_in_every_format(form: str, line: str, tmp_path: Path) -> None:
    code, text, notes = shanraq("convert", "iso87_asciibin", "--to", form)
    own = tmp_path / "own.spec"
    own.write_text(text)

    described = shanraq("describe", "--spec", str(own), given=line)
    back = shanraq("convert", str(own), "--to", "shanraq")

    assert (code, described[0], back[0]) == (0, 0, 0)
    assert "411111******1111" in described[1]
    assert json.loads(back[1])["schema"] == "iso8583-layout/1"
    assert ("remark" in notes) is (form != "shanraq")


def test_what_is_lost_is_said_and_refused_if_strict(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(MOOV))

    lax = shanraq("convert", str(own), "--to", "shanraq")
    strict = shanraq("convert", str(own), "--to", "shanraq", "--strict")
    used = shanraq("decode", "--spec", str(own), given="")

    assert (lax[0], strict[0], used[0]) == (0, 1, 0)
    assert list(json.loads(lax[1])["fields"]) == ["2"]
    assert strict[1] == ""
    for said in (lax[2], strict[2], used[2]):
        assert "loss 63: a length in Hex.LL" in said


@pytest.mark.parametrize("text", ["", "{}", "<a", '{"fields": {"0": 1}}'])
def test_what_is_no_specification_is_refused_in_words(text: str, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(text)

    for arguments in (["convert", str(own), "--to", "moov"], ["decode", "--spec", str(own)]):
        code, output, said = shanraq(*arguments)

        assert (code, output) == (1, "")
        assert said.startswith("error ")
        assert "Traceback" not in said


@pytest.mark.parametrize("form", ["vbs", "1014"])
def test_a_file_of_records_is_read(form: FileFormat, tmp_path: Path) -> None:
    records = [iso8583.codec("mc_ipm").encode(Message("1240", {2: PAN, 24: "200"})), b"\xf1"]
    path = tmp_path / "clearing.ipm"
    path.write_bytes(b"".join(write_records(records, form)))

    code, output, _ = shanraq("decode", "--spec", "mc_ipm", "--file", str(path), "--format", form)
    path.write_bytes(path.read_bytes()[:-1])
    cut = shanraq("decode", "--spec", "mc_ipm", "--file", str(path), "--format", form)

    first, second = [json.loads(text) for text in output.splitlines()]
    assert code == 0
    assert first["fields"]["2"] == "411111******1111"
    assert second["error"]["code"] == "truncated"
    assert cut[0] == 1
    assert json.loads(cut[1].splitlines()[-1])["file_error"]["code"] == "truncated"


def test_a_file_that_is_not_there_and_records_without_a_file_are_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    missing = shanraq("decode", "--spec", "mc_ipm", "--file", str(path), "--format", "vbs")
    without = shanraq("decode", "--spec", "mc_ipm", "--format", "vbs")
    path.write_text(line)
    lines = shanraq("decode", "--spec", "iso87_asciibin", "--file", str(path))

    assert (missing[0], without[0], lines[0]) == (1, 1, 0)
    assert "Traceback" not in missing[2]
    assert "--file" in without[2]
    assert json.loads(lines[1])["mti"] == "0100"


def test_messages_are_checked_against_rules(line: str, tmp_path: Path) -> None:
    own = tmp_path / "rules.json"
    own.write_text(shanraq("rules", "iso87")[1])
    echo = iso8583.codec("iso87_asciibin").encode(Message("0800", {7: "0401123045", 11: "123456", 70: "301"})).hex()

    right = shanraq("check", "--spec", "iso87_asciibin", "--rules", "iso87", given=echo)
    wrong = shanraq("check", "--spec", "iso87_asciibin", "--rules", str(own), given=f"{line}\n{echo}\n00\n")
    nothing = shanraq("check", "--spec", "iso87_asciibin", "--rules", "nothing")

    assert right[:2] == (0, '{"mti":"0800","findings":[]}\n')
    assert (wrong[0], nothing[0]) == (1, 1)
    found = [json.loads(text) for text in wrong[1].splitlines()]
    assert found[0]["findings"] == [{"code": "missing", "field": "22", "expected": "element 22"}]
    assert found[1]["findings"] == []
    assert "error" in found[2]
    assert "iso2003" in nothing[2]
    assert shanraq("rules", "nothing")[0] == 1
    assert [text.split()[0] for text in shanraq("rules")[1].splitlines()] == ["iso2003", "iso87", "iso93"]
