"""ISO 20022: planted errors of safety, lexical and schema are found, correct messages stay clean, hostile ones fail."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from typing import Any

import pytest

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Finding, Report
from tests.conformance.iso20022_official import ROOT, with_schemas

LAYERS = ("safety", "lexical", "xsd")
Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["file"]) for case in map(json.loads, lines)]


def validate(case: Case, file: str) -> Report:
    return iso20022.validate(
        (ROOT / "planted" / file).read_bytes(),
        profile=case["profile"],
        as_of=dt.datetime.fromisoformat(case["as_of"]),
        options=case["options"],
        definitions=with_schemas("pain.007.001.09"),
        layers=(),
    )


def near(path: str, wanted: str) -> bool:
    """Tell whether a path is the wanted one, its parent, a child or an attribute of it."""
    return wanted in ("*", path) or path.rpartition("/")[0] == wanted or wanted.rpartition("/")[0] == path


def hits(finding: Finding, case: Case) -> bool:
    if case["severity"] == "error" and finding.severity != "error":
        return False
    if not any(near(finding.path, path) for path in case["paths"]):
        return False
    return not case["codes"] or not finding.reason or finding.reason in case["codes"]


@pytest.mark.parametrize(
    "case", [each for each in cases("planted/cases.jsonl") if each.values[0].get("layer") in LAYERS]
)
def test_planted_error_is_found(case: Case) -> None:
    report = validate(case, case["file"])

    assert any(hits(finding, case) for finding in report.findings), report.findings
    assert report.valid is False or case["severity"] != "error"


@pytest.mark.parametrize(
    "case", [each for each in cases("planted/cases.jsonl") if each.values[0].get("layer") not in LAYERS]
)
def test_what_the_schema_allows_has_no_error_here(case: Case) -> None:
    report = validate(case, case["file"])

    assert report.valid is case["xsd_valid"], report.findings


@pytest.mark.parametrize("case", cases("hostile/cases.jsonl"))
def test_hostile_input_gets_its_verdict(case: Case) -> None:
    data = (ROOT / "hostile" / case["file"]).read_bytes()

    report = iso20022.validate(data, layers=())
    strict = iso20022.validate(data, options={"policy": "strict"}, layers=())

    assert report.valid is (case["expect"] != "reject")
    assert not strict.valid


@pytest.mark.parametrize("case", cases("samples/facts.jsonl"))
def test_sample_gets_the_verdict_of_its_schema(case: Case) -> None:
    report = iso20022.validate((ROOT / "samples" / case["file"]).read_bytes(), layers=())

    wrong = [finding for finding in report.findings if finding.layer == "xsd"]
    unknown = any(finding.code in ("unknown_version", "unknown_message") for finding in wrong)
    if case["xsd"] == "valid" and not unknown:
        assert wrong == []
    else:
        assert case["xsd"] == "valid" or not report.valid


@pytest.mark.parametrize("name", ["pain.001.001.09", "pacs.008.001.08", "camt.053.001.08"])
def test_large_file_is_valid(name: str) -> None:
    data = large(name, 1000)

    report = iso20022.validate(data, layers=())

    assert hashlib.sha256(data).hexdigest() in (ROOT / "README.md").read_text(encoding="utf-8")
    assert report == Report(name)


def large(name: str, count: int) -> bytes:
    """Return a message of many transactions, as the README of the data tells."""
    head, body, tail = (
        (ROOT / f"perf/{name}.{part}.txt").read_text(encoding="utf-8") for part in ("head", "tx", "tail")
    )
    cents = [(i * 37 % 100000) + 1 for i in range(count)]
    total = f"{sum(cents) // 100}.{sum(cents) % 100:02d}"

    def fill(text: str, i: int) -> str:
        h = hashlib.sha256(str(i).encode()).hexdigest()
        uetr = f"{h[0:8]}-{h[8:12]}-4{h[13:16]}-8{h[17:20]}-{h[20:32]}"
        values = {"I": str(i), "I9": f"{i:09d}", "AMT": f"{cents[i] // 100}.{cents[i] % 100:02d}", "UETR": uetr}
        values |= {"SUM": total, "N": str(count)}
        return re.sub(r"@(I|I9|AMT|SUM|N|UETR)@", lambda found: values[found.group(1)], text)

    return (fill(head, 0) + "".join(fill(body, i) for i in range(count)) + fill(tail, 0)).encode()
