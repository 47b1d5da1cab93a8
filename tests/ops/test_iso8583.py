"""`shanraq iso8583` as a person and a pipe use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message

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
