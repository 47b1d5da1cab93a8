"""ISO 20022: hostile inputs are refused, samples are identified as is known of them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Iso20022Error
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso20022")
Case = dict[str, Any]
# What no parser can see: these are refused because they are no message, or of no version there is.
IDENTITY = {"old-namespace.xml", "header-without-document.xml"}
DEFINITION = {"unknown-version.xml"}


def cases(name: str) -> list[Any]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["file"]) for case in map(json.loads, lines)]


@pytest.mark.parametrize("case", cases("hostile/cases.jsonl"))
def test_hostile_input_is_refused_before_it_is_a_message(case: Case) -> None:
    data = (ROOT / "hostile" / case["file"]).read_bytes()

    if case["file"] in DEFINITION or case["expect"] != "reject":
        iso20022.check_identity(iso20022.identify(iso20022.parse(data)))
    elif case["file"] in IDENTITY:
        identity = iso20022.identify(iso20022.parse(data))
        with pytest.raises(Iso20022Error):
            iso20022.check_identity(identity)
    else:
        with pytest.raises(Iso20022Error):
            iso20022.parse(data)


@pytest.mark.parametrize("case", cases("samples/facts.jsonl"))
def test_sample_is_identified(case: Case) -> None:
    identity = iso20022.identify(iso20022.parse((ROOT / "samples" / case["file"]).read_bytes()))

    assert list(identity.root) == case["root"]
    assert len(identity.documents) == len(case["documents"])
    for part, known in zip(identity.documents, case["documents"], strict=True):
        assert (str(part.message_id) if part.message_id else part.namespace) == known["id"]
        assert part.message_element == known["message_element"]
        document = iso20022.cut_out(part.element)
        assert sum(1 for element in document.iter("*") if len(element) == 0) == known["leaf_elements"]
        if known["c14n_sha256"] is None:
            with pytest.raises(Iso20022Error):
                iso20022.canonical(document)
        else:
            assert hashlib.sha256(iso20022.canonical(document)).hexdigest() == known["c14n_sha256"]
    known = case.get("header")
    if known is None:
        return
    assert identity.header is not None
    part = identity.headers[0]
    assert (str(part.message_id) if part.message_id else part.namespace) == known["id"]
    if part.message_id is None:
        return  # an older header: nothing is read of it
    header = identity.header
    assert header.from_bic == (known["from_bic"] or "")
    assert header.to_bic == (known["to_bic"] or "")
    assert header.business_message_id == (known["biz_msg_idr"] or "")
    assert header.message_definition_id == (known["msg_def_idr"] or "")
    assert header.business_service == (known["biz_svc"] or "")
    assert header.created == (known["cre_dt"] or "")
    assert header.copy_duplicate == (known["cpy_dplct"] or "")
    assert header.related == known["related"]
