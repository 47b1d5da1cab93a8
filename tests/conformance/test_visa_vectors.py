"""Outbound vectors of the official client, encryption and notifications."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shanraq.adapters.visa import Envelopes, HttpSigner, JwtSigner, decryption_key
from shanraq.adapters.visa.mle import UndecryptableError
from shanraq.adapters.visa.notices import is_authentic
from shanraq.core.secret import Secret
from shanraq.standards import jose
from tests.conformance.data import conformance_data


def read(name: str) -> Any:
    return json.loads(conformance_data(f"cards/vectors/{name}.json").read_text())


KEYS = read("keys")
SIGNATURES = read("http-signature")["outbound"]
RSA_TOKENS = [row for row in read("jwt")["outbound"] if row["alg"] == "RS256"]
REPLIES = [row for row in read("mle") if row["direction"] == "response"]


@pytest.mark.parametrize("row", SIGNATURES, ids=lambda row: str(row["id"]))
def test_http_signatures_are_those_of_the_official_client(row: dict[str, Any]) -> None:
    known = next(
        one for one in (KEYS["sharedSecret"], KEYS["otherMerchantSharedSecret"]) if one["keyId"] == row["keyId"]
    )
    signer = HttpSigner(row["merchantId"], row["keyId"], Secret(known["secretBase64"]), row["portfolioId"])
    headers = dict(
        signer.dated(row["method"], row["host"], row["target"], (row["body"] or "").encode(), date=row["date"])
    )

    assert headers["Signature"] == row["expect"]["signatureHeader"]
    assert headers.get("Digest") == row["expect"].get("digest")
    assert headers["v-c-merchant-id"] == row["merchantId"]


@pytest.mark.parametrize("row", RSA_TOKENS, ids=lambda row: str(row["id"]))
def test_tokens_of_certificates_are_those_of_the_official_client(row: dict[str, Any]) -> None:
    pem = next(value for name, value in KEYS["p12"].items() if "rivateKey" in name)
    key: Any = load_pem_private_key(pem.encode(), None)
    signer = JwtSigner(
        row["merchantId"], KEYS["p12"]["certificateSubjectSerialNumber"], jose.RsaSigningKey(key), row["portfolioId"]
    )
    body = (row["body"] or "").encode()
    token = signer.token(row["method"], row["host"], row["target"], body, issued_at=row["iat"], token_id=row["jti"])

    assert token == row["expect"]["token"]


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: str(row["id"]))
def test_encrypted_replies_are_opened_or_refused(row: dict[str, Any]) -> None:
    known = KEYS["responseMle"]
    pem = next(value for name, value in known.items() if "rivateKey" in name)
    envelopes = Envelopes(None, decryption_key(pem.encode(), "key"), known["kid"])
    body = row["body"].encode()
    if row["expect"]["ok"]:
        assert envelopes.open(201, body).decode() == row["expect"]["plaintext"]
    else:
        with pytest.raises(UndecryptableError):
            envelopes.open(201, body)


@pytest.mark.parametrize("row", read("webhook"), ids=lambda row: str(row["id"]))
def test_notifications_are_authentic_or_not(row: dict[str, Any]) -> None:
    keys = {KEYS["webhook"]["keyId"]: base64.b64decode(KEYS["webhook"]["keyBase64"])}

    assert is_authentic(keys, row["header"], row["body"].encode(), now_ms=row["nowMs"]) is row["expect"]["accept"]


@pytest.mark.parametrize("status", [200, 201, 400, 404])
def test_a_readable_reply_in_the_clear_is_refused(status: int) -> None:
    pem = next(value for name, value in KEYS["responseMle"].items() if "rivateKey" in name)
    envelopes = Envelopes(None, decryption_key(pem.encode(), "key"), KEYS["responseMle"]["kid"])

    with pytest.raises(UndecryptableError):
        envelopes.open(status, b'{"id":"1","status":"DECLINED"}')


@pytest.mark.parametrize("status", [401, 403, 429, 502])
def test_refusals_from_before_the_gateway_knows_us_may_be_in_the_clear(status: int) -> None:
    pem = next(value for name, value in KEYS["responseMle"].items() if "rivateKey" in name)
    envelopes = Envelopes(None, decryption_key(pem.encode(), "key"), KEYS["responseMle"]["kid"])

    assert envelopes.open(status, b'{"response":{}}') == b'{"response":{}}'
