"""ISO 20022: our compact definitions say what the official schemas say."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from typing import Any

import pytest
from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022.definition import Collection, Definition, Row, dump
from tests.conformance.iso20022_official import ROOT, archive, schemas

Case = dict[str, Any]


@cache
def ours(message_id: str) -> Definition:
    """Return the definition of an official schema, after a trip through its text."""
    text = dump([iso20022.read_schema(schemas()[message_id])]).encode()
    return Collection.from_text(text).definition(message_id)


@cache
def schema(message_id: str) -> etree.XMLSchema:
    return ours(message_id).compile()


def occurs(row: Row) -> str:
    if row.type is None:
        return ""  # an open slot
    most = "n" if row.max_occurs is None else str(row.max_occurs)
    least = 0 if row.in_choice else row.min_occurs
    return f"{least}..{most}{'c' if row.in_choice else ''}"


def facets(row: Row) -> tuple[str, set[str]]:
    kind = row.type
    if kind is None:
        return "", set()
    value = kind if isinstance(kind, iso20022.SimpleType) else kind.value
    if value is None:
        return kind.name, set()
    # Some patterns of card messages end in blanks, which the table leaves out.
    words = {f"{name}={text.strip()}" for name, text in value.facets if name != "enumeration"}
    if value.enumeration:
        words.add(f"enum={'|'.join(value.enumeration)}")
    return kind.name, words | {value.base}


def test_every_official_schema_is_read_and_compiles() -> None:
    assert len(schemas()) == 868

    for message_id in schemas():
        assert str(ours(message_id).message_id) == message_id
        schema(message_id)


@pytest.mark.parametrize("name", sorted(archive("structures/paths.tar.xz")))
def test_paths_are_those_of_the_table(name: str) -> None:
    text = archive("structures/paths.tar.xz")[name].decode()
    table = list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))

    rows = list(ours(name.removesuffix(".tsv")).rows())

    assert [row.path for row in rows] == [line["path"] for line in table]
    assert [occurs(row) for row in rows] == [line["occurs"] for line in table]
    for row, line in zip(rows, table, strict=True):
        if row.type is None:
            continue
        assert facets(row)[0] == line["type"]
        assert facets(row)[1] == set((line["base_and_facets"] or "").split()), row.path


def manifest() -> list[dict[str, str]]:
    with (ROOT / "generated/MANIFEST.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_generated_instances_get_the_verdict_of_the_official_schema() -> None:
    instances = archive("generated/instances.tar.xz")
    lines = manifest()

    wrong = []
    for line in lines:
        verdict = schema(line["message_id"]).validate(iso20022.parse(instances[line["file"]]))
        if verdict != (line["verdict"] == "valid"):
            wrong.append(line["file"])

    assert len(lines) == 1692
    assert wrong == []


def test_samples_get_the_verdict_of_the_official_schema() -> None:
    facts = [json.loads(line) for line in (ROOT / "samples/facts.jsonl").read_text(encoding="utf-8").splitlines()]

    wrong, judged = [], 0
    for case in facts:
        if case["xsd"] not in ("valid", "invalid") or case["message"] not in schemas():
            continue
        judged += 1
        identity = iso20022.identify(iso20022.parse((ROOT / "samples" / case["file"]).read_bytes()))
        parts = [part for part in (*identity.headers, *identity.documents) if part.message_id is not None]
        verdict = all(schema(str(part.message_id)).validate(iso20022.cut_out(part.element)) for part in parts)
        if verdict != (case["xsd"] == "valid"):
            wrong.append((case["file"], case["xsd"]))

    assert judged > 180
    assert wrong == []


@pytest.mark.parametrize("message_id", iso20022.library().ids())
def test_shipped_definition_is_the_official_one(message_id: str) -> None:
    shipped = iso20022.definition(message_id)

    assert shipped.fingerprint == ours(message_id).fingerprint
