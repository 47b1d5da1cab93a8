from __future__ import annotations

import json
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from shanraq.standards import oauth1
from tests.conformance.data import conformance_data

VECTORS = json.loads(conformance_data("cards/vectors/mastercard-oauth1.json").read_text())
KEYS = json.loads(conformance_data("cards/vectors/keys.json").read_text())["mastercardDevelopers"]
PRIVATE = cast("RSAPrivateKey", load_pem_private_key(KEYS["privateKeyPem"].encode(), None))
PUBLIC = oauth1.VerificationKey(
    cast("RSAPublicKey", load_pem_public_key(KEYS["publicKeyPem"].encode())), oauth1.SignatureMethod
)


def accepts(authorization: str, method: str, url: str, body: str | None, now: float) -> bool:
    try:
        oauth1.verify(
            authorization,
            method,
            url,
            (body or "").encode(),
            key_of={KEYS["consumerKey"]: PUBLIC}.get,
            now_seconds=now,
            window_seconds=300,
            first_use=lambda consumer_key, nonce, timestamp: True,
        )
    except oauth1.Oauth1Error:
        return False
    return True


@pytest.mark.parametrize("row", VECTORS["outbound"], ids=lambda row: str(row["id"]))
def test_requests_are_signed_as_the_official_signer_does(row: dict[str, Any]) -> None:
    body, expect = (row["body"] or "").encode(), row["expect"]
    key = oauth1.SigningKey(PRIVATE, oauth1.SignatureMethod(row["signatureMethod"]))
    parameters = {
        "oauth_consumer_key": row["consumerKey"],
        "oauth_nonce": row["nonce"],
        "oauth_timestamp": str(row["timestamp"]),
        "oauth_signature_method": row["signatureMethod"],
        "oauth_version": "1.0",
        "oauth_body_hash": oauth1.body_hash(body),
    }

    header = oauth1.sign(
        row["method"],
        row["url"],
        body,
        key,
        consumer_key=row["consumerKey"],
        nonce=row["nonce"],
        timestamp=row["timestamp"],
    )

    assert oauth1.body_hash(body) == expect["bodyHash"]
    assert oauth1.base_string(row["method"], row["url"], parameters) == expect["baseString"]
    assert (header == expect["authorization"]) is expect["deterministic"]
    assert accepts(header, row["method"], row["url"], row["body"], row["timestamp"])
    assert accepts(expect["authorization"], row["method"], row["url"], row["body"], row["timestamp"])


@pytest.mark.parametrize("row", VECTORS["inbound"], ids=lambda row: str(row["id"]))
def test_requests_are_accepted_or_refused(row: dict[str, Any]) -> None:
    request = row["request"]

    accepted = accepts(
        request["headers"]["Authorization"], request["method"], request["url"], request["body"], row["now"]
    )

    assert accepted is row["expect"]["accept"]
