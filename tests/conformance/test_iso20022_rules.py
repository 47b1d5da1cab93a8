"""Planted errors, identifiers and code lists of others: what must be found is found, what is right is let through."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from shanraq.standards.iso20022 import Finding, Report, validate
from shanraq.standards.iso20022.amounts import schema_number
from shanraq.standards.iso20022.codes import code_edition, countries, currencies, minor_units
from shanraq.standards.iso20022.errors import Severity
from shanraq.standards.iso20022.identifiers import (
    bic_fault,
    creditor_id_fault,
    iban_countries,
    iban_fault,
    kz_number_fault,
    lei_fault,
    uetr_fault,
)
from shanraq.standards.iso20022.profiles import load_profile
from shanraq.standards.iso20022.rules import check_rules
from shanraq.standards.iso20022.store import MemoryStore, record
from tests.conformance.data import conformance_data
from tests.conformance.iso20022_official import archive, with_schemas

FOLDER = conformance_data("iso20022")
# Found before the rules: the layers of safety and of the schema.
ELSEWHERE = {"doctype", "comment-in-value", "element-order", "missing-mandatory"}
CHECKS = {
    "iban": iban_fault,
    "bic": bic_fault,
    "lei": lei_fault,
    "uetr": uetr_fault,
    "kz-bin-iin": kz_number_fault,
    "sepa-creditor-id": creditor_id_fault,
}
# Codes that samples have in place of codes: generated placeholders.
PLACEHOLDERS = {"EXCd", "EXTx", "T", "INV", "UK"}
# What is really wrong in valid samples, by the rule that tells it.
KNOWN = {
    "agent_account": 7,
    "bic": 4,
    "closing_balance": 1,
    "creditor_instructions": 3,
    "entries_summary": 4,
    "entry_details": 1,
    "exchange_rate": 2,
    "header_definition": 3,
    "iban": 3,
    "mandate": 4,
    "reversed_amount": 1,
    "two_levels": 2,
}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / "codes" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def parts(path: Path) -> tuple[list[etree._Element], etree._Element | None]:
    parser = etree.XMLParser(remove_comments=True, remove_pis=True, resolve_entities=False, no_network=True)
    root = etree.fromstring(path.read_bytes(), parser)
    documents = [found for found in root.iter("{*}Document") if found.tag.startswith("{urn:iso:std:iso:20022:")]
    return documents, next((found for found in root.iter("{*}AppHdr") if "head.001" in found.tag), None)


def findings_of(case: dict[str, Any], file: str) -> list[Finding]:
    store = MemoryStore()
    for earlier in case["store"]:
        documents, header = parts(FOLDER / "planted" / earlier)
        store.add(record(documents[0], header))
    now = datetime.fromisoformat(case["as_of"])
    documents, header = parts(FOLDER / "planted" / file)
    profile = load_profile(case["profile"], day=now.date(), options=case["options"])
    return check_rules(documents[0], header=header, profile=profile, as_of=now, store=store)


def is_near(path: str, wanted: str) -> bool:
    return wanted in ("*", path, path.rpartition("/")[0]) or path == wanted.rpartition("/")[0]


PLANTED = lines(FOLDER / "planted" / "cases.jsonl")


@pytest.mark.parametrize(
    "case",
    [c for c in PLANTED if c["expect"] == "finding" and c["kind"] not in ELSEWHERE],
    ids=lambda case: case["file"],
)
def test_a_planted_error_is_found_at_its_place_with_its_reason(case: dict[str, Any]) -> None:
    findings = findings_of(case, case["file"])

    wanted = {"error": {Severity.ERROR}, "warning": {Severity.ERROR, Severity.WARNING}}[case["severity"]]
    assert any(
        found.severity in wanted
        and any(is_near(found.path, path) for path in case["paths"])
        and (not case["codes"] or not found.reason or found.reason in case["codes"])
        for found in findings
    ), findings
    assert not [found for found in findings_of(case, case["base"]) if found.severity is Severity.ERROR]


@pytest.mark.parametrize("case", [c for c in PLANTED if c["expect"] == "clean"], ids=lambda case: case["file"])
def test_a_right_message_gives_no_error(case: dict[str, Any]) -> None:
    assert [found for found in findings_of(case, case["file"]) if found.severity is Severity.ERROR] == []


def report_of(case: dict[str, Any], file: str) -> Report:
    return validate(
        (FOLDER / "planted" / file).read_bytes(),
        profile=case["profile"],
        as_of=datetime.fromisoformat(case["as_of"]),
        options=case["options"],
        store=[(FOLDER / "planted" / earlier).read_bytes() for earlier in case["store"]],
        definitions=with_schemas("pain.007.001.09"),
    )


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: case["file"])
def test_all_layers_together_pass_every_planted_case(case: dict[str, Any]) -> None:
    report = report_of(case, case["file"])

    if case["expect"] == "clean":
        assert report.valid, report.findings
        return
    assert not report.valid or case["severity"] == "warning"
    assert any(
        (found.severity is Severity.ERROR or case["severity"] == "warning")
        and any(is_near(found.path, path) for path in case["paths"])
        and (not case["codes"] or not found.reason or found.reason in case["codes"])
        for found in report.findings
    ), report.findings
    assert report_of(case, case["base"]).valid


@pytest.mark.parametrize("profile", ["iso", "sepa", "cbpr+", "kz"])
def test_no_made_up_message_breaks_a_rule_itself(profile: str) -> None:
    """Minimal, maximal and broken instances of 564 versions: findings, never exceptions."""
    now = datetime.fromisoformat("2026-11-23T06:00:00Z")
    settings = load_profile(profile, day=now.date(), options={"charset": "x"})
    store = MemoryStore()
    checked = 0
    for data in archive("generated/instances.tar.xz").values():
        if b"urn:iso:std:iso:20022:tech:xsd:" not in data or b"Document" not in data:
            continue
        document = etree.fromstring(data)
        for found in check_rules(document, profile=settings, as_of=now, store=store):
            assert found.path.startswith(("/Document", "/AppHdr"))
        checked += 1

    assert checked > 1600


@pytest.mark.parametrize(
    "vector", lines(FOLDER / "identifiers" / "vectors.jsonl"), ids=lambda v: f"{v['type']}-{v['value']!r}"
)
def test_identifiers_have_the_verdict_of_the_vectors(vector: dict[str, Any]) -> None:
    if vector["type"] == "amount-lexical":
        number = schema_number(vector["value"])
        assert (None if number is None else str(number)) == vector["number"]
    else:
        assert (CHECKS[vector["type"]](vector["value"]) is None) == vector["valid"]


def test_valid_samples_give_no_false_alarm() -> None:
    counted: dict[str, int] = {}
    for facts in lines(FOLDER / "samples" / "facts.jsonl"):
        if facts["xsd"] != "valid":
            continue
        documents, header = parts(FOLDER / "samples" / facts["file"])
        for document in documents:
            texts = {found.text for found in document.getroottree().getroot().iter("*")}
            for found in check_rules(document, header=header):
                if found.severity is not Severity.ERROR:
                    continue
                if found.code in ("external_code", "country"):
                    assert texts & PLACEHOLDERS, found
                else:
                    counted[found.code] = counted.get(found.code, 0) + 1

    assert counted == KNOWN


def test_the_lists_are_those_of_the_standard() -> None:
    published = {
        name: set(found["enum"])
        for name, found in json.loads((FOLDER / "codes" / "external_codes_2Q2026.json").read_text("utf-8"))[
            "definitions"
        ].items()
        if found.get("enum")
    }

    assert {name: set(codes) for name, codes in code_edition().sets.items()} == published
    assert countries() == {row["code"] for row in rows("iso3166.tsv")}
    assert iban_countries() == {row["country"] for row in rows("iban.tsv")}
    assert {row["code"] for row in rows("iso4217.tsv")} <= currencies()
    assert {row["code"]: row["minor_units"] for row in rows("iso4217.tsv")} == {
        row["code"]: "" if (units := minor_units(row["code"])) is None else str(units) for row in rows("iso4217.tsv")
    }
