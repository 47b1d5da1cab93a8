"""The program: `shanraq simulate visa` with its options, as a user starts it."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import httpx
import pytest

from shanraq.simulators.visa import VisaCredentials
from tests.certificates import certificate
from tests.simulators.program import refused, started
from tests.simulators.visa.client import Merchant


def client(url: str, authority: Path) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(authority))
    return httpx.AsyncClient(base_url=url, verify=context, timeout=10, trust_env=False)


async def test_both_ports_with_an_authority_of_its_own(tmp_path: Path) -> None:
    options = ["--tls-port", "0", "--index-lag", "0", "--host", "apitest.cybersource.com", "--host", "a.example:1"]
    async with started("visa", tmp_path, *options) as (plain, secured):
        known = VisaCredentials.load(tmp_path / "visa-simulator.json")
        merchant = Merchant(plain, known.merchant_id, known.key_id, known.secret)
        for host in (merchant.host, "apitest.cybersource.com", "a.example:1"):
            merchant.host = host
            assert (await merchant.authorize()).status_code == 201
        await merchant.http.aclose()
        merchant.http, merchant.host = client(secured, tmp_path / "visa-simulator-keys" / "ca.pem"), secured[8:]
        assert (await merchant.authorize()).status_code == 201
        assert len(await merchant.search("clientReferenceInformation.code:order-1")) == 4
        await merchant.http.aclose()

    authority = (tmp_path / "visa-simulator-keys" / "ca.pem").read_bytes()
    async with started("visa", tmp_path, "--tls-port", "0") as (_, secured):
        # The same credentials and the same authority: nobody has to be told anew.
        merchant = Merchant(secured, known.merchant_id, known.key_id, known.secret)
        await merchant.http.aclose()
        merchant.http, merchant.host = client(secured, tmp_path / "visa-simulator-keys" / "ca.pem"), secured[8:]
        assert (await merchant.authorize()).status_code == 201
        await merchant.http.aclose()
    assert (tmp_path / "visa-simulator-keys" / "ca.pem").read_bytes() == authority


async def test_a_certificate_that_is_given_is_used(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    server = certificate(tmp_path, "server", authority)
    VisaCredentials.generate().save(tmp_path / "given.json")
    known = VisaCredentials.load(tmp_path / "given.json")

    options = ["--tls-port", "0", "--tls-cert", str(server.file), "--tls-key", str(server.key_file)]
    async with started("visa", tmp_path, *options, "--credentials", "given.json") as (_, secured):
        merchant = Merchant(secured, known.merchant_id, known.key_id, known.secret)
        await merchant.http.aclose()
        merchant.http, merchant.host = client(secured, authority.file), secured[8:]
        reply = await merchant.authorize()
        await merchant.http.aclose()

    assert reply.status_code == 201
    assert not (tmp_path / "given-keys").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "need --tls-port"),
        (["--tls-port", "0", "--tls-cert", "a.pem"], "needs its key"),
        (["--tls-port", "0", "--tls-cert", "a.pem", "--tls-key", "b.pem"], "No such file or directory: 'a.pem'"),
        (["--tls-port", "0", "--tls-cert", "bad.json", "--tls-key", "bad.json"], "not a certificate and its key"),
        (["--credentials", "bad.json"], "lacks key_id, secret"),
        (["--credentials", "worse.json"], "not a JSON object"),
    ],
)
async def test_what_cannot_be_used_is_told(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"merchant_id": "m"}))
    (tmp_path / "worse.json").write_text("[")
    if "--tls-port" in options:
        VisaCredentials.generate().save(tmp_path / "visa-simulator.json")

    assert message in await refused("visa", tmp_path, *options)
