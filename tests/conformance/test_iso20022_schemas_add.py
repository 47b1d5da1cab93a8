"""ISO 20022: schemas an operator adds are taken in when they are sound, refused with a reason when not."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from shanraq.ops.iso20022 import add_schemas, load_library
from shanraq.standards import iso20022
from tests.conformance.iso20022_official import ROOT, schemas

Case = dict[str, Any]
FULL = os.environ.get("SHANRAQ_DRILL") == "full"


def cases() -> list[Any]:
    lines = (ROOT / "schemas-add/cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["file"]) for case in map(json.loads, lines)]


@pytest.mark.parametrize("case", cases())
def test_schema_is_added_or_refused(case: Case, tmp_path: Path) -> None:
    [told] = add_schemas([ROOT / "schemas-add" / case["file"]], tmp_path, iso20022.Library.packaged())

    if case["expect"] == "reject":
        assert not told["added"]
        assert told["code"]
        assert list(tmp_path.iterdir()) == []
        return
    assert told == {"file": told["file"], "message": case["message"], "added": True}
    library = load_library(tmp_path)
    for name in case["valid_instances"]:
        report = iso20022.validate((ROOT / "schemas-add" / name).read_bytes(), definitions=library, layers=())
        assert report == iso20022.Report(case["message"])


def test_archive_is_added_and_known_schemas_stay(tmp_path: Path) -> None:
    chosen = dict(list(schemas().items())[:: 1 if FULL else 10])
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for message_id, data in chosen.items():
            file.writestr(f"folder/{message_id}.xsd", data)
        file.writestr("folder/README.txt", "no schema")
    shipped = set(iso20022.library().ids())

    told = list(add_schemas([archive], tmp_path / "added", iso20022.Library.packaged()))

    assert len(told) == len(chosen)
    assert all("code" not in each for each in told)
    assert {each["message"] for each in told if not each["added"]} == shipped & set(chosen)
    assert set(load_library(tmp_path / "added").ids()) == shipped | set(chosen)


def test_known_version_is_not_replaced_by_other_content(tmp_path: Path) -> None:
    changed = schemas()["pain.001.001.09"].replace(b'maxLength value="140"', b'maxLength value="139"')
    path = tmp_path / "pain.001.001.09.xsd"
    path.write_bytes(changed)

    [told] = add_schemas([path], tmp_path / "added", iso20022.Library.packaged())

    assert told["code"] == "already_there"
    assert not (tmp_path / "added").exists()
