"""`shanraq iso20022` as a person and a pipe use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shanraq.ops.iso20022 import mask, read_moment, read_option
from shanraq.standards import iso20022
from tests.standards.iso20022.samples import HEADER, document, envelope, transfer


def shanraq(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "shanraq", "iso20022", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def right(tmp_path: Path) -> Path:
    path = tmp_path / "right.xml"
    path.write_text(envelope(HEADER, document()))
    return path


def test_validate_prints_one_object_a_file_and_ends_with_1_if_one_is_wrong(right: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.xml"
    wrong.write_text(document(transfer(1, "-5")))
    missing = tmp_path / "missing.xml"

    code, output, _ = shanraq(
        "validate", "--as-of", "2026-11-23T06:00:00Z", "--option", "charset=x", right, wrong, missing
    )
    alone = shanraq("validate", "--profile", "iso", "--store", wrong, right)

    good, bad, absent = [json.loads(line) for line in output.splitlines()]
    assert (code, alone[0]) == (1, 0)
    assert good["file"] == str(right)
    assert good["valid"] is True
    assert {"code": "too_small", "severity": "error", "layer": "xsd"}.items() <= bad["findings"][-1].items()
    assert set(bad["findings"][0]) == {"code", "severity", "layer", "path", "line", "message", "reason"}
    assert absent["findings"][0]["code"] == "unreadable"


def test_wrong_options_end_with_2(right: Path) -> None:
    assert shanraq("validate", "--option", "charset", right)[0] == 2
    assert shanraq("validate", "--as-of", "yesterday", right)[0] == 2


def test_describe_masks_people_and_money_unless_told_otherwise(right: Path) -> None:
    masked = shanraq("describe", right)
    raw = shanraq("describe", right, "--raw")

    assert (masked[0], raw[0]) == (0, 0)
    assert "pacs.008.001.08" in masked[1]
    assert "CLRG" in masked[1]
    for value in ("Aigerim", "100.00", "HSBKKZKX"):
        assert value not in masked[1]
        assert value in raw[1]


def test_schemas_are_added_listed_and_used(tmp_path: Path) -> None:
    space = "urn:iso:std:iso:20022:tech:xsd:pacs.008.001.08"
    own = (
        iso20022.definition("pacs.008.001.08").xsd().replace(space.encode(), space.replace("001.08", "901.01").encode())
    )
    (tmp_path / "pacs.008.901.01.xsd").write_bytes(own)
    (tmp_path / "pacs.008.902.01.xsd").write_bytes(own)
    message = tmp_path / "own.xml"
    message.write_text(document().replace("pacs.008.001.08", "pacs.008.901.01"))
    folder = tmp_path / "added"

    before = shanraq("validate", message, "--definitions", folder)
    code, output, _ = shanraq("schemas", "add", tmp_path, "--definitions", folder)
    listed = shanraq("schemas", "list", "pacs.008.9", "--definitions", folder)
    after = shanraq("validate", message, "--definitions", folder)

    told = [json.loads(line) for line in output.splitlines()]
    assert (code, before[0], after[0]) == (1, 1, 0)
    assert [each["added"] for each in told] == [True, False]
    assert told[1]["code"] == "namespace"
    assert listed[1] == "pacs.008.901.01\n"


def test_options_and_moments_are_read() -> None:
    assert read_option("max_days_ahead=30") == ("max_days_ahead", 30)
    assert read_option("end=2026-11-14") == ("end", "2026-11-14")
    assert read_option("strict=true") == ("strict", True)
    assert read_moment("2026-11-23T06:00:00").tzinfo is not None
    assert mask("KZ86125KZT5004100100") == "KZ************00"
    assert mask("Aigerim") == "*******"
