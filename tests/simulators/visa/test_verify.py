from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.standards import jose
from tests.simulators.visa.client import Merchant, digest_of, encoded, payment

PATH = "/pts/v2/payments"
BODY = json.dumps(payment()).encode()
FAILED = {"response": {"rmsg": "Authentication Failed"}}

Alteration = Callable[[dict[str, Any], dict[str, Any]], None]


def header(**changes: Any) -> Alteration:
    return lambda head, claims: head.update(changes)


def claim(name: str, value: Any) -> Alteration:
    return lambda head, claims: claims.update({name: value})


def without(name: str) -> Alteration:
    return lambda head, claims: claims.pop(name)


def times(iat: int, exp: int) -> Alteration:
    def alter(head: dict[str, Any], claims: dict[str, Any]) -> None:
        now = int(time.time())  # when the token is made: the tests are collected long before they run
        claims.update(iat=now + iat, exp=now + exp)

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(header(alg="none"), id="alg none"),
        pytest.param(header(alg="HS512"), id="another alg"),
        pytest.param(header(alg="RS256"), id="RS256 for a shared secret"),
        pytest.param(header(kid="unknown"), id="unknown kid"),
        pytest.param(header(kid=17), id="kid of another type"),
        pytest.param(header(crit=["b64"], b64=False), id="critical header"),
        pytest.param(header(jwk={"kty": "oct", "k": "AAAA"}), id="a key in the header"),
        pytest.param(header(jku="https://keys.example/"), id="the address of keys in the header"),
        pytest.param(header(x5c=["AAAA"]), id="a certificate in the header"),
        pytest.param(header(kid="oauth"), id="kid of the gateway's own tokens"),
        pytest.param(times(-121, -1), id="expired"),
        pytest.param(times(0, 121), id="lives too long"),
        pytest.param(times(90, 200), id="from the future"),
        pytest.param(without("exp"), id="no exp"),
        pytest.param(without("iat"), id="no iat"),
        pytest.param(without("jti"), id="no jti"),
        pytest.param(without("digest"), id="no digest"),
        pytest.param(without("digestAlgorithm"), id="no digest algorithm"),
        pytest.param(without("v-c-merchant-id"), id="no merchant"),
        pytest.param(claim("exp", str(int(time.time()) + 60)), id="exp is a text"),
        pytest.param(claim("exp", time.time() + 60), id="exp is a fraction"),
        pytest.param(claim("exp", float("nan")), id="exp is NaN"),
        pytest.param(claim("exp", True), id="exp is a boolean"),
        pytest.param(claim("jti", ""), id="empty jti"),
        pytest.param(claim("digest", "SHA-256=" + "A" * 43 + "="), id="digest with a prefix"),
        pytest.param(claim("digest", "A" * 43 + "="), id="another digest"),
        pytest.param(claim("digestAlgorithm", "SHA-512"), id="another digest algorithm"),
        pytest.param(claim("request-method", "PUT"), id="another method"),
        pytest.param(claim("request-host", "api.example"), id="another host"),
        pytest.param(claim("request-resource-path", "/pts/v2/credits"), id="another path"),
        pytest.param(claim("request-resource-path", PATH + "?a=1"), id="a query that was not sent"),
        pytest.param(claim("v-c-merchant-id", "somebody"), id="another merchant"),
        pytest.param(claim("iss", "somebody"), id="another issuer"),
        pytest.param(claim("v-c-jwt-version", "1"), id="another version"),
        pytest.param(claim("v-c-response-mle-kid", 17), id="key of the reply of another type"),
    ],
)
async def test_a_token_that_is_not_right_creates_nothing(
    simulator: VisaSimulator, merchant: Merchant, alter: Alteration
) -> None:
    token = merchant.token("POST", PATH, BODY, alter=alter)

    reply = await merchant.send("POST", PATH, BODY, token=token)

    assert (reply.status_code, reply.json()) == (401, FAILED)
    assert simulator.journal() == []


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "..",
        "a.b.c",
        "a.b",
        "a.b.c.d",
        "e30.e30.",
        "e30=.e30=.e30=",
        "é.e30.e30",
        f"{encoded(b'[]')}.e30.e30",
        f"{encoded(b'{' * 5000)}.e30.e30",
        "A" * 20_000,
    ],
)
async def test_nonsense_instead_of_a_token_is_refused(merchant: Merchant, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode("latin-1")}

    reply = await merchant.http.post(PATH, content=BODY, headers=headers)

    assert (reply.status_code, reply.json()) == (401, FAILED)


async def test_a_request_without_credentials_is_refused(merchant: Merchant) -> None:
    assert (await merchant.http.post(PATH, content=BODY)).status_code == 401
    assert (await merchant.http.post(PATH, content=BODY, auth=("a", "b"))).status_code == 401
    assert (await merchant.http.get("/unknown")).status_code == 401


async def test_a_token_signed_with_another_secret_is_refused(merchant: Merchant, stranger: Merchant) -> None:
    merchant.secret = stranger.secret

    assert (await merchant.authorize()).status_code == 401


async def test_a_body_changed_on_the_way_is_refused(merchant: Merchant) -> None:
    token = merchant.token("POST", PATH, BODY)

    assert (await merchant.send("POST", PATH, BODY + b" ", token=token)).status_code == 401


async def test_a_method_in_lower_case_is_accepted(merchant: Merchant) -> None:
    token = merchant.token("POST", PATH, BODY, alter=claim("request-method", "post"))

    assert (await merchant.send("POST", PATH, BODY, token=token)).status_code == 201


async def test_a_token_sent_eight_times_at_once_works_exactly_once(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    token = merchant.token("POST", PATH, BODY)

    replies = await asyncio.gather(*(merchant.send("POST", PATH, BODY, token=token) for _ in range(8)))

    assert Counter(reply.status_code for reply in replies) == {201: 1, 401: 7}
    assert len(simulator.journal()) == 1


async def test_a_refused_request_does_not_use_its_token_up(merchant: Merchant) -> None:
    token = merchant.token("POST", PATH, BODY)
    await merchant.send("POST", "/pts/v2/credits", BODY, token=token)

    assert (await merchant.send("POST", PATH, BODY, token=token)).status_code == 201


async def test_the_query_is_part_of_the_signed_path(merchant: Merchant) -> None:
    path = "/tss/v2/transactions/17?a=%20b"

    assert (await merchant.get(path)).status_code == 404
    assert (await merchant.send("GET", path, token=merchant.token("GET", "/tss/v2/transactions/17"))).status_code == 401


async def test_an_encrypted_reply_is_refused_rather_than_given_in_the_clear(merchant: Merchant) -> None:
    token = merchant.token("POST", PATH, BODY, alter=claim("v-c-response-mle-kid", "17"))

    reply = await merchant.send("POST", PATH, BODY, token=token)

    assert (reply.status_code, reply.json()["status"]) == (400, "INVALID_REQUEST")


async def test_an_http_signature_is_accepted(merchant: Merchant) -> None:
    created = await merchant.http.post(PATH, content=BODY, headers=merchant.http_signature("POST", PATH, BODY))
    path = f"/tss/v2/transactions/{created.json()['id']}"

    assert created.status_code == 201
    assert (await merchant.http.get(path, headers=merchant.http_signature("GET", path))).status_code == 200


async def test_an_http_signature_that_is_not_right_creates_nothing(
    simulator: VisaSimulator, merchant: Merchant
) -> None:
    right = merchant.http_signature("POST", PATH, BODY)
    signature = right["signature"]
    wrong = [
        right | {"v-c-merchant-id": simulator.credentials.other_merchant_id},
        right | {"digest": "SHA-512=abc"},
        right | {"host": "api.example"},
        right | {"signature": signature.replace("HmacSHA256", "none")},
        right | {"signature": signature.replace("digest ", "")},
        right | {"signature": signature[:-6] + '"'},
        right | {"signature": signature + ", " + signature},
        right | {"signature": "nonsense"},
        right | {"signature": ""},
        right | {"date": "yesterday"},
        merchant.http_signature("POST", PATH, BODY, zone="-0000"),
        merchant.http_signature("POST", PATH, BODY, twice="date"),
        {name: value for name, value in right.items() if name != "digest"},
        merchant.http_signature("POST", PATH, BODY, date=time.time() - 301),
        merchant.http_signature("POST", PATH, BODY + b" "),
        merchant.http_signature("GET", PATH, BODY),
        merchant.http_signature("POST", PATH + "?a=1", BODY),
    ]

    for headers in wrong:
        reply = await merchant.http.post(PATH, content=BODY, headers=headers)
        assert (reply.status_code, reply.json()) == (401, FAILED), headers
    assert simulator.journal() == []


async def test_a_date_may_be_up_to_five_minutes_off(merchant: Merchant) -> None:
    headers = merchant.http_signature("POST", PATH, BODY, date=time.time() + 299)

    assert (await merchant.http.post(PATH, content=BODY, headers=headers)).status_code == 201


# The certificate of a merchant (RS256).


def signing_key(file: Path) -> RSAPrivateKey:
    key = load_pem_private_key((file.parent / "visa-keys" / "merchant-key.pem").read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def signed_by(key: jose.SigningKey, kid: str, merchant: Merchant, **changes: object) -> str:
    now = int(time.time())
    claims = {
        "iat": now,
        "exp": now + 120,
        "request-method": "POST",
        "request-host": merchant.host,
        "request-resource-path": PATH,
        "iss": merchant.merchant_id,
        "jti": str(uuid.uuid4()),
        "v-c-jwt-version": "2",
        "v-c-merchant-id": merchant.merchant_id,
        "digest": digest_of(BODY),
        "digestAlgorithm": "SHA-256",
    }
    return jose.sign(json.dumps(claims | changes).encode(), key, kid=kid)


async def test_a_merchants_certificate_verifies_rs256(credentials_file: Path) -> None:
    known = VisaCredentials.load(credentials_file)
    key = signing_key(credentials_file)
    certificate = load_pem_x509_certificate(known.merchant_cert.encode())
    public_key = certificate.public_key()
    as_secrets = [
        known.merchant_cert.encode(),
        certificate.public_bytes(Encoding.DER),
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]
    async with VisaSimulator(known) as simulator:
        merchant = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
        right = signed_by(jose.RsaSigningKey(key), known.p12_serial, merchant)
        wrong = [
            right,  # used before
            signed_by(jose.RsaSigningKey(key), str(certificate.serial_number), merchant),
            signed_by(jose.RsaSigningKey(key), known.key_id, merchant),
            signed_by(jose.HmacKey(merchant.secret), known.p12_serial, merchant),
            signed_by(jose.RsaSigningKey(key), known.p12_serial, merchant, iss=known.other_merchant_id),
            signed_by(
                jose.RsaSigningKey(key), known.p12_serial, merchant, **{"v-c-merchant-id": known.other_merchant_id}
            ),
            *[signed_by(jose.HmacKey(text), known.p12_serial, merchant) for text in as_secrets],
        ]

        accepted = await merchant.send("POST", PATH, BODY, token=right)
        refused = [await merchant.send("POST", PATH, BODY, token=token) for token in wrong]

        assert accepted.status_code == 201
        assert [(reply.status_code, reply.json()) for reply in refused] == [(401, FAILED)] * len(wrong)
        assert len(simulator.journal()) == 1
        await merchant.http.aclose()


# The key of a portfolio (MetaKey).


async def test_a_portfolios_key_signs_in_its_name_for_the_merchant() -> None:
    known = VisaCredentials.generate()
    portfolio = VisaCredentials.generate()
    known = replace(
        known, portfolio_id="portfolio_a", portfolio_key_id=portfolio.key_id, portfolio_secret=portfolio.secret
    )
    async with VisaSimulator(known) as simulator:
        merchant = Merchant(simulator.base_url, known.merchant_id, portfolio.key_id, portfolio.secret)
        stranger = Merchant(simulator.base_url, known.other_merchant_id, portfolio.key_id, portfolio.secret)

        right = merchant.token("POST", PATH, BODY, alter=claim("iss", "portfolio_a"))
        assert (await merchant.send("POST", PATH, BODY, token=right)).status_code == 201
        headers = merchant.http_signature("POST", PATH, BODY, owner="portfolio_a")
        assert (await merchant.http.post(PATH, content=BODY, headers=headers)).status_code == 201
        # The merchant is not the portfolio, and the portfolio speaks for no other merchant.
        assert (await merchant.authorize()).status_code == 401
        headers = merchant.http_signature("POST", PATH, BODY)
        assert (await merchant.http.post(PATH, content=BODY, headers=headers)).status_code == 401
        wrong = stranger.token("POST", PATH, BODY, alter=claim("iss", "portfolio_a"))
        assert (await stranger.send("POST", PATH, BODY, token=wrong)).status_code == 401
        headers = stranger.http_signature("POST", PATH, BODY, owner="portfolio_a")
        assert (await stranger.http.post(PATH, content=BODY, headers=headers)).status_code == 401
        assert {line["merchant_id"] for line in simulator.journal()} == {known.merchant_id}
        await merchant.http.aclose()
        await stranger.http.aclose()


# Names that may be signed.


async def test_a_further_name_may_be_signed_with_and_without_our_port() -> None:
    known = VisaCredentials.generate()
    async with VisaSimulator(known, hosts=["apitest.cybersource.com", "Gateway.example:8443"]) as simulator:
        merchant = Merchant(simulator.base_url, known.merchant_id, known.key_id, known.secret)
        port = simulator.base_url.rpartition(":")[2]
        signed = {
            "apitest.cybersource.com": 201,
            "APITEST.cybersource.com": 201,
            f"apitest.cybersource.com:{port}": 201,
            "gateway.example:8443": 201,
            "apitest.cybersource.com:1": 401,
            "gateway.example": 401,
            f"gateway.example:{port}": 401,
            "cybersource.com": 401,
            "": 401,
        }

        for host, status in signed.items():
            token = merchant.token("POST", PATH, BODY, alter=claim("request-host", host))
            assert (await merchant.send("POST", PATH, BODY, token=token)).status_code == status, host
        merchant.host = "apitest.cybersource.com"
        headers = merchant.http_signature("POST", PATH, BODY)
        assert (await merchant.http.post(PATH, content=BODY, headers=headers)).status_code == 201
        del headers["host"]  # the client's library puts the address it connects to
        assert (await merchant.http.post(PATH, content=BODY, headers=headers)).status_code == 201
        await merchant.http.aclose()
