"""Standard Webhooks: known answers for signing, verifying and secret texts, and a foreign implementation as oracle."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from shanraq.webhooks import signing
from shanraq.webhooks.errors import InvalidSecretError
from shanraq.webhooks.signing import Ed25519Public, Ed25519Secret, HmacSecret, SigningKey
from tests.conformance.data import conformance_data

Case = dict[str, Any]


def cases(name: str) -> list[Any]:
    lines = conformance_data(f"webhooks/{name}.jsonl").read_text().splitlines()
    return [pytest.param(json.loads(line), id=json.loads(line)["id"]) for line in lines]


def body_of(case: Case) -> bytes:
    return base64.b64decode(case["body_b64"]) if "body_b64" in case else str(case["body"]).encode()


def signing_secret(text: str) -> HmacSecret | Ed25519Secret:
    secret = signing.parse_secret(text)
    assert not isinstance(secret, Ed25519Public)
    return secret


def verification_key(text: str) -> HmacSecret | Ed25519Public:
    key = signing.parse_secret(text)
    return key.public if isinstance(key, Ed25519Secret) else key


@pytest.mark.parametrize("case", cases("signature_sign"))
def test_signs_exactly_the_known_answer(case: Case) -> None:
    secret = signing_secret(case["secret"])
    body = body_of(case)

    item = signing.sign(secret, case["msg_id"], case["timestamp"], body)

    assert item == case["signature"]
    headers = [
        ("webhook-id", case["msg_id"]),
        ("webhook-timestamp", str(case["timestamp"])),
        ("webhook-signature", item),
    ]
    assert signing.verify(headers, body, [verification_key(case["secret"])], case["timestamp"]) is None
    if "public_key" in case:
        assert signing.verify(headers, body, [verification_key(case["public_key"])], case["timestamp"]) is None


@pytest.mark.parametrize("case", cases("signature_header"))
def test_header_lists_every_active_key_in_order(case: Case) -> None:
    keys = [SigningKey(signing_secret(key["secret"]), key["not_before"], key["expires_at"]) for key in case["keys"]]

    header = signing.signature_header(keys, case["msg_id"], case["timestamp"], body_of(case))

    assert header == case["header"]
    assert sum(key.signs_at(case["timestamp"]) for key in keys) == case["active"]


@pytest.mark.parametrize("case", cases("signature_verify"))
def test_verifier_gives_the_known_verdict(case: Case) -> None:
    keys = [verification_key(key) for key in case["keys"]]
    headers = [(name, value) for name, value in case["headers"]]

    rejection = signing.verify(headers, body_of(case), keys, case["now"], case["tolerance_s"])

    assert (rejection is None) == (case["expect"] == "accept")
    assert (rejection.value if rejection else None) == case["reason"]
    assert rejection is None or rejection.explanation.endswith(".")


@pytest.mark.parametrize("case", cases("secret_text"))
def test_secret_text_is_read_strictly(case: Case) -> None:
    if case["expect"] == "reject":
        with pytest.raises(InvalidSecretError):
            signing.parse_secret(case["text"])
        return

    secret = signing.parse_secret(case["text"])

    assert secret.text() == case["text"]
    match secret:
        case HmacSecret():
            assert (case["kind"], case["key_hex"]) == ("hmac", secret.key.hex())
        case Ed25519Secret():
            assert (case["kind"], case["key_hex"]) == ("ed25519-secret", secret.seed.hex())
            assert secret.public.key.hex() == case["public_hex"]
        case Ed25519Public():
            assert (case["kind"], case["public_hex"]) == ("ed25519-public", secret.key.hex())


@pytest.mark.parametrize(
    "point",
    [
        bytes(32),  # order 4
        b"\x01" + bytes(31),  # the neutral element
        b"\xec" + b"\xff" * 30 + b"\x7f",  # order 2
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),  # order 8
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),  # order 8
    ],
)
def test_public_key_of_small_order_is_refused(point: bytes) -> None:
    with pytest.raises(InvalidSecretError):
        signing.parse_secret(Ed25519Public(point).text())


def test_secrets_do_not_show_in_their_repr() -> None:
    secret = HmacSecret.generate()

    assert secret.text() not in repr(SigningKey(secret, 0))
    assert repr(secret.key) not in repr(SigningKey(secret, 0))


@given(body=st.dictionaries(st.text(), st.text()).map(lambda value: json.dumps(value).encode()))
def test_foreign_library_accepts_what_is_signed_and_nothing_else(body: bytes) -> None:
    secret, other = HmacSecret.generate(), HmacSecret.generate()
    timestamp = int(datetime.now(UTC).timestamp())
    header = signing.signature_header(
        [SigningKey(secret, 0), SigningKey(Ed25519Secret.generate(), 0)], "msg_1", timestamp, body
    )
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(timestamp), "webhook-signature": header}

    assert Webhook(secret.text()).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(other.text()).verify(body, headers)


@given(body=st.binary(max_size=200).map(lambda raw: raw.hex().encode()))
def test_what_the_foreign_library_signs_is_accepted(body: bytes) -> None:
    secret = HmacSecret.generate()
    now = datetime.now(UTC)
    item = Webhook(secret.text()).sign("msg_1", now, body.decode())
    headers = [("webhook-id", "msg_1"), ("webhook-timestamp", str(int(now.timestamp()))), ("webhook-signature", item)]

    assert signing.verify(headers, body, [secret], int(now.timestamp())) is None
    assert signing.verify(headers, body + b" ", [secret], int(now.timestamp())) is not None
