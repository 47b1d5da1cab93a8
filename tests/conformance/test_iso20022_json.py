"""ISO 20022: XML to JSON and back keeps the canonical form of every valid message the definitions cover."""

from __future__ import annotations

import csv
import hashlib
import json

import pytest

from shanraq.standards import iso20022
from tests.conformance.iso20022_official import ROOT, archive

KNOWN = frozenset(iso20022.library().ids())


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sample_parts() -> list[tuple[str, iso20022.Part, str | None]]:
    found = []
    for line in (ROOT / "samples/facts.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if case["xsd"] != "valid":
            continue
        identity = iso20022.identify(iso20022.parse((ROOT / "samples" / case["file"]).read_bytes()))
        for part, facts in zip(identity.documents, case["documents"], strict=True):
            found.append((case["file"], part, facts["c14n_sha256"]))
        found += [(case["file"], part, None) for part in identity.headers]
    return [each for each in found if each[1].message_id is not None and str(each[1].message_id) in KNOWN]


def test_every_valid_sample_comes_back_with_its_digest() -> None:
    parts = sample_parts()

    wrong = []
    for file, part, told in parts:
        text = iso20022.to_json(part.element)
        digest = sha256(iso20022.canonical(iso20022.from_json(text)))
        if digest != (told or sha256(iso20022.canonical(part.element))):
            wrong.append(file)

    assert sum(part.element.tag.endswith("Document") for _, part, _ in parts) == 164
    assert wrong == []


def test_every_generated_instance_comes_back_with_its_digest() -> None:
    instances = archive("generated/instances.tar.xz")
    with (ROOT / "generated/MANIFEST.tsv").open(encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file, delimiter="\t") if line["message_id"] in KNOWN]

    wrong = []
    for line in lines:
        root = iso20022.parse(instances[line["file"]])
        if line["verdict"] != "valid":
            with pytest.raises(iso20022.Iso20022Error):
                iso20022.to_json(root)
            continue
        back = iso20022.from_json(iso20022.to_json(root))
        plain = iso20022.to_plain(root)
        again = iso20022.from_plain(line["message_id"], plain)
        if not sha256(iso20022.canonical(back)) == sha256(iso20022.canonical(again)) == line["c14n_sha256"]:
            wrong.append(line["file"])

    assert len([line for line in lines if line["verdict"] == "valid"]) > 400
    assert wrong == []
