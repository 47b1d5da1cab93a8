"""The Mastercard IPM file of the vectors, as VBS and in blocks of 1014 bytes."""

from __future__ import annotations

import io
import json

import pytest

from shanraq.standards import iso8583
from shanraq.standards.iso8583.files import FileFormat, read_records, write_records
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso8583")
FILE = json.loads((ROOT / "ipm_file.json").read_bytes())
MESSAGES = {case["id"]: case for path in (ROOT / "messages").glob("*.json") for case in json.loads(path.read_bytes())}


@pytest.mark.parametrize(("form", "key"), [("vbs", "vbs_hex"), ("1014", "blocked_1014_hex")])
def test_the_file_is_read_and_written_byte_for_byte(form: FileFormat, key: str) -> None:
    data = bytes.fromhex(FILE[key])

    records = list(read_records(io.BytesIO(data), form))

    assert [len(record) for record in records] == FILE["record_bytes"]
    for record, name in zip(records, FILE["record_ids"], strict=True):
        assert record.hex().upper() == MESSAGES[name]["raw_hex"]
        shown = iso8583.codec(MESSAGES[name]["layout"]).decode(record).to_dict()
        assert shown["fields"] == MESSAGES[name]["fields"]
    assert b"".join(write_records(records, form)) == data
