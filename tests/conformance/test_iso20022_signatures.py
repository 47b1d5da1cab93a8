"""ISO 20022: signed messages made elsewhere get the verdict that is known of them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

import pytest

from shanraq.standards.iso20022 import signatures
from shanraq.standards.iso20022.signatures import MemoryReplayGuard, ReplayError, SignatureError, TrustStore
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso20022/signatures")
TRUST = TrustStore.from_json((ROOT / "trust.json").read_bytes(), lambda name: (ROOT / name).read_bytes())
CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (ROOT / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]
# What each refusal is for: another one would hold for the wrong reason.
REASONS = {
    "bad-amount.xml": "digest_mismatch",
    "bad-comment-in-amount.xml": "unsafe_message",
    "bad-sha1.xml": "weak_algorithm",
    "bad-rogue-certificate.xml": "certificate_untrusted",
    "bad-keyinfo-not-referenced.xml": "references",
    "bad-external-reference.xml": "external_reference",
    "bad-expired-certificate.xml": "certificate_expired",
    "bad-two-signatures.xml": "several_signatures",
    "bad-sender-is-not-signer.xml": "sender_unknown",
    "bad-wrapped-by-id.xml": "signature_place",
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["file"]) for case in CASES])
def test_signed_messages_get_the_known_verdict(case: dict[str, Any]) -> None:
    data = (ROOT / case["file"]).read_bytes()
    assert hashlib.sha256(data).hexdigest() == case["sha256"]

    def verify(replays: MemoryReplayGuard) -> signatures.Verified:
        return signatures.verify(
            data,
            trust=TRUST,
            profile=signatures.find_profile(case["profile"]),
            as_of=datetime.fromisoformat(case["as_of"]),
            replays=replays,
        )

    if case["expect"] == "reject":
        with pytest.raises(SignatureError) as refused:
            verify(MemoryReplayGuard())
        assert refused.value.code == REASONS[case["file"]]
        return
    guard = MemoryReplayGuard()
    verified = verify(guard)
    assert str(verified.sender) == "bic:HSBKKZKX"
    assert verified.business_message_id == "SHNQ20261123P8001"
    with pytest.raises(ReplayError):
        verify(guard)
