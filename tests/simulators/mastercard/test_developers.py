from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from shanraq.simulators.mastercard.developers import Developers
from shanraq.simulators.serve import Request
from shanraq.standards import oauth1

KEY = generate_private_key(65537, 2048)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "consumer")])
START = datetime(2026, 1, 1, tzinfo=UTC)
CERTIFICATE = (
    x509.CertificateBuilder(NAME, NAME, KEY.public_key(), 1, START, START + timedelta(days=3650))
    .sign(KEY, SHA256())
    .public_bytes(Encoding.PEM)
)
NOW, PATH = 1_790_000_000, "/identity/transactions"


def request(nonce: str, body: bytes = b'{"a":1}', host: str = "sandbox.example.com", method: str = "POST") -> Request:
    key = oauth1.SigningKey(KEY, oauth1.SignatureMethod.RSA_PSS)
    header = oauth1.sign(method, f"https://{host}{PATH}", body, key, consumer_key="c!k", nonce=nonce, timestamp=NOW)
    return Request(method, PATH, {"authorization": header}, body)


def developers() -> Developers:
    return Developers("c!k", CERTIFICATE, ["sandbox.example.com"], lambda: NOW)


def test_the_same_body_has_the_same_score() -> None:
    server = developers()

    first, second = server.answer(request("nonce-01")), server.answer(request("nonce-02"))

    assert first.status == 200
    assert first == second
    assert 0 <= json.loads(first.body)["riskScore"] < 1000


def test_a_request_works_once() -> None:
    server, sent = developers(), request("nonce-01")

    assert [server.answer(sent).status for _ in range(2)] == [200, 401]


def test_refusals_tell_why_in_json() -> None:
    server = developers()
    answers = [
        server.answer(Request("POST", PATH, {}, b"{}")),
        server.answer(request("nonce-01", host="other.example.com")),
        server.answer(request("nonce-02", body=b"[]")),
        server.answer(request("nonce-03", method="PUT")),
        server.answer(Request("POST", "/x", {}, b"")),
    ]

    assert [answer.status for answer in answers] == [401, 401, 400, 405, 404]
    assert all(json.loads(answer.body)["Errors"]["Error"][0]["Description"] for answer in answers)
