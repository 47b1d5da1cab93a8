"""Message-level encryption over the wire: requests, replies, errors, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.standards import jose
from tests.simulators.visa.client import VISA, Merchant, order, payment

PATH = "/pts/v2/payments"


class Encrypting:
    """A merchant that encrypts requests to the gateway and can read replies encrypted to itself."""

    def __init__(self, file: Path, simulator: VisaSimulator) -> None:
        stored = json.loads(file.read_text())
        self.simulator = simulator
        self.known = known = simulator.credentials
        self.merchant = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
        gateway = load_pem_x509_certificate(known.mle_request_cert.encode()).public_key()
        own = load_pem_private_key((file.parent / stored["mle_response_key"]).read_bytes(), None)
        assert isinstance(gateway, RSAPublicKey)
        assert isinstance(own, RSAPrivateKey)
        self.gateway = jose.EncryptionKey(known.mle_serial, gateway)
        self.own = {known.resp_mle_kid: jose.DecryptionKey(own)}

    def sealed(self, body: object) -> dict[str, str]:
        token = jose.encrypt(json.dumps(body).encode(), self.gateway, iat=int(time.time()))
        return {"encryptedRequest": token}

    async def send(self, method: str, path: str, body: object = None, *, kid: str | None = None) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        token = self.merchant.token(method, path, content, alter=asks_for(kid) if kid is not None else None)
        return await self.merchant.send(method, path, content, token=token)

    def opened(self, reply: httpx.Response) -> Any:
        sealed = reply.json()
        assert list(sealed) == ["encryptedResponse"]
        return json.loads(jose.decrypt(sealed["encryptedResponse"], self.own.get))


def asks_for(kid: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda header, claims: claims.update({"v-c-response-mle-kid": kid})


@pytest.fixture
async def encrypting(credentials_file: Path) -> AsyncIterator[Encrypting]:
    async with VisaSimulator(VisaCredentials.load(credentials_file), index_lag_seconds=0) as simulator:
        client = Encrypting(credentials_file, simulator)
        yield client
        await client.merchant.http.aclose()


async def test_an_encrypted_request_is_carried_out(encrypting: Encrypting) -> None:
    reply = await encrypting.send("POST", PATH, encrypting.sealed(payment("12.00")))

    assert (reply.status_code, reply.json()["status"]) == (201, "AUTHORIZED")
    assert reply.json()["orderInformation"]["amountDetails"]["authorizedAmount"] == "12.00"


async def test_a_reply_is_encrypted_when_its_key_is_named(encrypting: Encrypting) -> None:
    kid = encrypting.known.resp_mle_kid

    made = await encrypting.send("POST", PATH, encrypting.sealed(payment("12.00")), kid=kid)
    payment_id = encrypting.opened(made)["id"]
    captured = await encrypting.send("POST", f"{PATH}/{payment_id}/captures", order("12.00"), kid=kid)
    found = await encrypting.send("GET", f"/tss/v2/transactions/{payment_id}", kid=kid)

    assert [reply.status_code for reply in (made, captured, found)] == [201, 201, 200]
    assert made.headers["content-type"] == "application/hal+json;charset=utf-8"
    assert encrypting.opened(captured)["status"] == "PENDING"
    assert encrypting.opened(found)["id"] == payment_id
    for reply in (made, captured, found):
        assert payment_id not in reply.text


async def test_errors_are_encrypted_too(encrypting: Encrypting) -> None:
    kid = encrypting.known.resp_mle_kid
    invalid = payment("-1.00")

    replies = [
        await encrypting.send("POST", PATH, invalid, kid=kid),
        await encrypting.send("POST", PATH, encrypting.sealed(invalid), kid=kid),
        await encrypting.send("POST", PATH, {"encryptedRequest": "a.b.c.d.e"}, kid=kid),
        await encrypting.send("GET", "/tss/v2/transactions/17", kid=kid),
        await encrypting.send("GET", "/nowhere", kid=kid),
        await encrypting.send("POST", PATH, payment("8150.01"), kid=kid),
    ]

    assert [reply.status_code for reply in replies] == [400, 400, 400, 404, 404, 502]
    assert [encrypting.opened(reply)["status"] for reply in replies] == ["INVALID_REQUEST"] * 5 + ["SERVER_ERROR"]


@pytest.mark.parametrize("kid", ["17", "mle", "' OR 1"])
async def test_an_unknown_key_of_the_reply_is_refused_and_nothing_is_done(encrypting: Encrypting, kid: str) -> None:
    reply = await encrypting.send("POST", PATH, payment(), kid=kid)

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")
    assert encrypting.simulator.journal() == []


async def test_the_key_of_another_merchant_is_unknown(encrypting: Encrypting) -> None:
    known = encrypting.known
    stranger = Merchant(encrypting.merchant.base_url, known.other_merchant_id, known.other_key_id, known.other_secret)
    encrypting.merchant = stranger

    reply = await encrypting.send("POST", PATH, payment(), kid=known.resp_mle_kid)

    assert reply.status_code == 400
    await stranger.http.aclose()


async def test_what_is_not_authentic_is_refused_in_the_clear(encrypting: Encrypting) -> None:
    token = encrypting.merchant.token("POST", PATH, b"{}", alter=asks_for(encrypting.known.resp_mle_kid))

    reply = await encrypting.merchant.send("POST", PATH, b"{ }", token=token)

    assert (reply.status_code, reply.json()) == (401, {"response": {"rmsg": "Authentication Failed"}})


def broken(change: Callable[[list[str]], object]) -> Callable[[Encrypting], object]:
    def make(encrypting: Encrypting) -> object:
        parts = encrypting.sealed(payment())["encryptedRequest"].split(".")
        change(parts)
        return {"encryptedRequest": ".".join(parts)}

    return make


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(broken(lambda parts: parts.pop()), id="four parts"),
        pytest.param(broken(lambda parts: parts.__setitem__(4, "AAAAAAAAAAAAAAAAAAAAAA")), id="a tag of zeros"),
        pytest.param(broken(lambda parts: parts.__setitem__(4, parts[4][:-2])), id="a tag cut"),
        pytest.param(broken(lambda parts: parts.__setitem__(2, "AAAAAAAAAAAAAAAA")), id="another IV"),
        pytest.param(broken(lambda parts: parts.__setitem__(0, parts[0][:-1] + "A")), id="another header"),
        pytest.param(lambda one: one.sealed(payment()) | {"code": "x"}, id="more than the token"),
        pytest.param(lambda one: one.sealed(payment()) | payment(), id="the clear text beside the token"),
        pytest.param(lambda one: {"encryptedRequest": None}, id="null"),
        pytest.param(lambda one: {"encryptedRequest": one.sealed(payment())}, id="an object"),
        pytest.param(lambda one: {"encryptedRequest": ""}, id="empty"),
        pytest.param(lambda one: {"encryptedRequest": VISA}, id="a card number"),
        pytest.param(lambda one: one.sealed(one.sealed(payment())), id="encrypted twice"),
        pytest.param(lambda one: one.sealed([]), id="an array within"),
    ],
)
async def test_an_encrypted_request_that_is_not_right_is_refused(
    encrypting: Encrypting, body: Callable[[Encrypting], object]
) -> None:
    reply = await encrypting.send("POST", PATH, body(encrypting))

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")
    assert VISA not in reply.text
    assert encrypting.simulator.journal() == []


async def test_the_digest_is_of_the_encrypted_body(encrypting: Encrypting) -> None:
    content = json.dumps(encrypting.sealed(payment())).encode()
    token = encrypting.merchant.token("POST", PATH, json.dumps(payment()).encode())

    assert (await encrypting.merchant.send("POST", PATH, content, token=token)).status_code == 401


async def test_an_operation_whose_encryption_is_mandatory_is_refused_in_the_clear(encrypting: Encrypting) -> None:
    reply = await encrypting.send("POST", "/tms/v2/tokenize", {"processingInformation": {}})

    # 404 while the operation is not among those that are played.
    assert reply.status_code in {400, 404}


async def test_encryption_is_not_offered_with_http_signature(encrypting: Encrypting) -> None:
    content = json.dumps(encrypting.sealed(payment())).encode()
    headers = encrypting.merchant.http_signature("POST", PATH, content)

    reply = await encrypting.merchant.http.post(PATH, content=content, headers=headers)

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")


async def test_without_a_key_nothing_can_be_decrypted(merchant: Merchant) -> None:
    reply = await merchant.post(PATH, {"encryptedRequest": "a.b.c.d.e"})

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")
