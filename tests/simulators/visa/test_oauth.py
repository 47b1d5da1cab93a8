"""OAuth over mutual TLS, and the TLS port itself, over real connections."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from shanraq.simulators.visa import VisaCredentials, VisaSimulator
from shanraq.simulators.visa.tls import Authority, server_context
from tests.simulators.visa.client import Merchant, payment

PATH = "/pts/v2/payments"
TOKEN = "/oauth2/v3/token"
CONSENT = "/ebc2/oauth/authorize"
REDIRECT = "https://shop.example/back?order=1"
FAILED = {"response": {"rmsg": "Authentication Failed"}}


class Secured:
    """A simulator with both ports, and clients of its TLS port."""

    def __init__(self, simulator: VisaSimulator, url: str, file: Path) -> None:
        self.simulator, self.url, self.file = simulator, url, file
        self.folder = file.parent / "visa-keys"
        self.known = simulator.credentials
        self.clients: list[httpx.AsyncClient] = []

    def client(self, certificate: Path | None = None, key: Path | None = None, *, url: str = "") -> httpx.AsyncClient:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if certificate is not None and key is not None:
            context.load_cert_chain(certificate, key)
        client = httpx.AsyncClient(base_url=url or self.url, verify=context, timeout=10, trust_env=False)
        self.clients.append(client)
        return client

    def registered(self) -> httpx.AsyncClient:
        return self.client(self.folder / "client.pem", self.folder / "client-key.pem")

    def issued(self, common_name: str, authority: str = "client-ca") -> httpx.AsyncClient:
        """A client with another certificate, of the authority of clients or of one nobody knows."""
        certificate, key = self.folder / f"{uuid.uuid4()}.pem", self.folder / f"{uuid.uuid4()}.key"
        Authority.kept_in(self.folder, authority, authority).issue_client(common_name).write(certificate, key)
        return self.client(certificate, key)

    def form(self, grant_type: str = "refresh_token", **fields: str) -> dict[str, str]:
        shared = {"client_id": self.known.oauth_client_id, "client_secret": self.known.oauth_client_secret}
        if grant_type == "refresh_token" and "refresh_token" not in fields:
            fields["refresh_token"] = self.known.oauth_refresh_token
        return shared | {"grant_type": grant_type} | fields

    async def token(self) -> str:
        reply = await self.registered().post(TOKEN, data=self.form())
        assert reply.status_code == 200, reply.text
        return str(reply.json()["access_token"])

    async def code(self, **changes: str) -> dict[str, str]:
        asked = {"sub": "oauth", "redirect_url": REDIRECT, "client_id": self.known.oauth_client_id, "state": "a b&c"}
        reply = await self.client().get(CONSENT, params=asked | changes)
        assert reply.status_code == 302, reply.text
        return dict(parse_qsl(urlsplit(reply.headers["location"]).query))


@pytest.fixture
async def secured(credentials_file: Path) -> AsyncIterator[Secured]:
    folder = credentials_file.parent / "visa-keys"
    credentials = VisaCredentials.load(credentials_file)
    server = folder / "server.pem", folder / "server-key.pem"
    Authority.kept_in(folder, "ca", "authority").issue_server(["localhost", "127.0.0.1"]).write(*server)
    async with VisaSimulator(credentials, index_lag_seconds=0, control_token="c") as simulator:
        url = await simulator.listen_tls("127.0.0.1", 0, server_context(*server, credentials.client_ca))
        running = Secured(simulator, url, credentials_file)
        yield running
        for client in running.clients:
            await client.aclose()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def merchant_of(secured: Secured, client: httpx.AsyncClient, host: str = "") -> Merchant:
    known = secured.known
    merchant = Merchant(secured.simulator.base_url, known.merchant_id, known.key_id, known.secret)
    secured.clients.append(merchant.http)
    merchant.http, merchant.host = client, host or secured.url.removeprefix("https://")
    return merchant


# The TLS port.


async def test_a_client_without_a_certificate_is_served(secured: Secured) -> None:
    merchant = merchant_of(secured, secured.client())

    assert (await merchant.authorize()).status_code == 201
    headers = merchant.http_signature("POST", PATH, json.dumps(payment()).encode())
    assert (await merchant.http.post(PATH, content=json.dumps(payment()), headers=headers)).status_code == 201


async def test_a_payment_of_one_port_is_known_at_the_other(secured: Secured) -> None:
    plain = Merchant(secured.simulator.base_url, secured.known.merchant_id, secured.known.key_id, secured.known.secret)
    payment_id = await merchant_of(secured, secured.client()).authorized()

    assert (await plain.get(f"/tss/v2/transactions/{payment_id}")).status_code == 200
    await plain.http.aclose()


async def test_both_ports_and_both_names_of_this_machine_may_be_signed(secured: Secured) -> None:
    ports = (urlsplit(secured.url).port, urlsplit(secured.simulator.base_url).port)
    for host in (f"{name}:{port}" for name in ("localhost", "127.0.0.1") for port in ports):
        assert (await merchant_of(secured, secured.client(), host).authorize()).status_code == 201
    for host in ("localhost", "127.0.0.1", "apitest.cybersource.com", f"evil.example:{ports[0]}"):
        assert (await merchant_of(secured, secured.client(), host).authorize()).status_code == 401


async def test_a_certificate_that_nobody_vouches_for_is_not_let_in(secured: Secured) -> None:
    client = secured.issued(secured.known.client_cn, "unknown-ca")

    with pytest.raises(httpx.TransportError):
        await client.post(TOKEN, data=secured.form())


# Tokens.


async def test_a_token_is_given_for_the_refresh_token_and_pays(secured: Secured) -> None:
    client = secured.registered()

    granted = await client.post(TOKEN, data=secured.form())
    paid = await client.post(PATH, json=payment(), headers=bearer(granted.json()["access_token"]))
    found = await client.get(
        f"/tss/v2/transactions/{paid.json()['id']}", headers=bearer(granted.json()["access_token"])
    )

    assert granted.status_code == 200
    assert granted.json() | {"access_token": ""} == {
        "access_token": "",
        "token_type": "Bearer",
        "expires_in": 900,
        "scope": granted.json()["scope"],
        "refresh_token": secured.known.oauth_refresh_token,
        "refresh_token_expires_in": pytest.approx(365 * 86400, abs=60),
        "client_status": "active",
    }
    assert granted.headers["cache-control"] == "no-store"
    assert (paid.status_code, found.status_code) == (201, 200)
    assert secured.simulator.journal()[0]["merchant_id"] == secured.known.merchant_id


async def test_an_access_token_is_a_jwt_bound_to_the_certificate(secured: Secured) -> None:
    claims = json.loads(base64.urlsafe_b64decode((await secured.token()).split(".")[1] + "=="))

    der = load_pem_x509_certificate((secured.folder / "client.pem").read_bytes()).public_bytes(Encoding.DER)
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert claims["cnf"] == {"x5t#S256": thumbprint}
    assert claims["exp"] - claims["iat"] == 900


async def test_a_token_needs_the_certificate_it_was_given_to(secured: Secured) -> None:
    token = await secured.token()
    others = [
        secured.client(),
        secured.client(url=secured.simulator.base_url),
        secured.issued("somebody.else"),
        secured.issued(secured.known.client_cn),  # renewed: the same name, but not what the token was bound to
    ]

    for client in others:
        reply = await client.post(PATH, json=payment(), headers=bearer(token))
        assert (reply.status_code, reply.json()) == (401, FAILED)
    assert secured.simulator.journal() == []


async def test_an_access_token_ends_after_a_quarter_of_an_hour(secured: Secured) -> None:
    client, token = secured.registered(), await secured.token()

    secured.simulator.advance_clock(890)
    assert (await client.post(PATH, json=payment(), headers=bearer(token))).status_code == 201
    secured.simulator.advance_clock(15)
    assert (await client.post(PATH, json=payment(), headers=bearer(token))).status_code == 401
    assert (await client.post(PATH, json=payment(), headers=bearer(await secured.token()))).status_code == 201


async def test_a_refresh_token_is_no_access_token_nor_the_other_way_round(secured: Secured) -> None:
    client = secured.registered()
    granted = (await client.post(TOKEN, data=secured.form("authorization_code", **await secured.code()))).json()

    refused = await client.post(PATH, json=payment(), headers=bearer(granted["refresh_token"]))
    also = await client.post(TOKEN, data=secured.form(refresh_token=granted["access_token"]))

    assert (refused.status_code, also.status_code) == (401, 400)


async def test_tokens_outlive_a_restart(secured: Secured) -> None:
    token = await secured.token()
    client = secured.registered()
    server = secured.folder / "server.pem", secured.folder / "server-key.pem"

    async with VisaSimulator(secured.known) as again:
        url = await again.listen_tls("127.0.0.1", 0, server_context(*server, secured.known.client_ca))
        reply = await client.post(f"{url}{PATH}", json=payment(), headers=bearer(token))

    assert reply.status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_id": "x"}, 401, "invalid_client"),
        ({"client_secret": "x"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_secret": "ключ"}, 401, "invalid_client"),
        ({"refresh_token": "x"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_grant"),
        ({"refresh_token": None}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "authorization_code"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "x"}, 400, "invalid_grant"),
        ({"client_id": ["a", "b"]}, 400, "invalid_request"),
    ],
)
async def test_a_wrong_form_gets_no_token(secured: Secured, change: dict[str, Any], status: int, error: str) -> None:
    form = {name: value for name, value in (secured.form() | change).items() if value is not None}

    reply = await secured.registered().post(TOKEN, data=form)

    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert set(reply.json()) == {"error", "error_description"}
    assert reply.headers["cache-control"] == "no-store"


async def test_no_token_without_the_registered_certificate(secured: Secured) -> None:
    for client in (
        secured.client(),
        secured.client(url=secured.simulator.base_url),
        secured.issued("somebody.else"),
    ):
        reply = await client.post(TOKEN, data=secured.form())
        assert (reply.status_code, reply.json()["error"]) == (401, "unauthorized_client")


async def test_what_is_no_form_gets_no_token(secured: Secured) -> None:
    client = secured.registered()
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}

    replies = [
        await client.post(TOKEN, json=secured.form()),
        await client.post(TOKEN, params=secured.form()),
        await client.post(TOKEN, content=b"\xff=1", headers=form_type),
        await client.post(TOKEN, content=b"client_id", headers=form_type),
        await client.post(TOKEN, content=b"a=%ff", headers=form_type),
        await client.post(TOKEN, content=b"&".join(b"a%d=1" % number for number in range(100)), headers=form_type),
    ]

    assert [(reply.status_code, reply.json()["error"]) for reply in replies] == [(400, "invalid_request")] * 6
    assert (await client.get(TOKEN)).status_code == 405


async def test_the_correlation_id_of_the_client_comes_back(secured: Secured) -> None:
    client = secured.registered()
    own = str(uuid.uuid4())

    for path in (TOKEN, f"{TOKEN}/"):
        reply = await client.post(path, data=secured.form(), headers={"v-c-client-correlation-id": own})
        assert (reply.status_code, reply.headers["v-c-client-correlation-id"]) == (200, own)
    for wrong in ("short", own + "0", own[:-1] + "!"):
        reply = await client.post(TOKEN, data=secured.form(), headers={"v-c-client-correlation-id": wrong})
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")


# Consent.


async def test_a_code_is_given_on_consent_and_exchanged_once(secured: Secured) -> None:
    client = secured.registered()

    callback = await secured.code()
    granted = await client.post(TOKEN, data=secured.form("authorization_code", code=callback["code"]))
    again = await client.post(TOKEN, data=secured.form("authorization_code", code=callback["code"]))
    refresh_token = granted.json()["refresh_token"]
    refreshed = await client.post(TOKEN, data=secured.form(refresh_token=refresh_token))

    assert (callback["order"], callback["state"]) == ("1", "a b&c")
    assert granted.status_code == 200
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert refreshed.json()["refresh_token"] == refresh_token
    paid = await client.post(PATH, json=payment(), headers=bearer(refreshed.json()["access_token"]))
    assert paid.status_code == 201


async def test_a_code_ends_after_ten_minutes_and_a_refresh_token_after_a_year(secured: Secured) -> None:
    client = secured.registered()
    callback, other = await secured.code(), await secured.code()
    granted = (await client.post(TOKEN, data=secured.form("authorization_code", code=other["code"]))).json()

    secured.simulator.advance_clock(601)
    late = await client.post(TOKEN, data=secured.form("authorization_code", code=callback["code"]))
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
    secured.simulator.advance_clock(366 * 86400)
    for token in (granted["refresh_token"], secured.known.oauth_refresh_token):
        late = await client.post(TOKEN, data=secured.form(refresh_token=token))
        assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "x"},
        {"client_id": "x"},
        {"redirect_url": ""},
        {"redirect_url": "/back"},
        {"redirect_url": "javascript:alert(1)"},
        {"redirect_url": "https://"},
        {"redirect_url": "https://a@b.example/"},
        {"redirect_url": "https://b.example/#part"},
        {"redirect_url": "https://b.example/\r\nX: y"},
        {"redirect_url": "https://b.example/ы"},
        {"redirect_url": "https://[b.example/"},
    ],
)
async def test_consent_to_what_is_not_right_redirects_nowhere(secured: Secured, change: dict[str, str]) -> None:
    asked = {"sub": "oauth", "redirect_url": REDIRECT, "client_id": secured.known.oauth_client_id}

    reply = await secured.client().get(CONSENT, params=asked | change)

    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_request")
    assert "location" not in reply.headers


async def test_the_state_is_left_out_when_there_was_none(secured: Secured) -> None:
    asked = {"sub": "oauth", "redirect_url": "http://shop.example/", "client_id": secured.known.oauth_client_id}

    reply = await secured.client().get(CONSENT, params=asked)

    assert set(parse_qs(urlsplit(reply.headers["location"]).query)) == {"code"}


async def test_client_credentials_are_a_grant_when_the_file_says_so(secured: Secured) -> None:
    known = replace(secured.known, extra={"oauth_client_credentials": True})
    server = secured.folder / "server.pem", secured.folder / "server-key.pem"

    async with VisaSimulator(known) as simulator:
        url = await simulator.listen_tls("127.0.0.1", 0, server_context(*server, known.client_ca))
        reply = await secured.registered().post(f"{url}{TOKEN}", data=secured.form("client_credentials"))

    assert (reply.status_code, reply.json()["token_type"]) == (200, "Bearer")


async def test_without_a_client_there_is_no_oauth(merchant: Merchant) -> None:
    assert (await merchant.http.post(TOKEN, data={"grant_type": "refresh_token"})).status_code == 401
    assert (await merchant.http.get(CONSENT)).status_code == 401
