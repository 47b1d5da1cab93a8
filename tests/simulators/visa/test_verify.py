from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, encoded, payment

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
