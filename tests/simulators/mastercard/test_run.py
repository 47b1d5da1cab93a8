"""The program: `shanraq simulate mastercard` with its options, as a user starts it."""

from __future__ import annotations

import json
import secrets
import ssl
import time
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shanraq.simulators.visa import VisaCredentials
from shanraq.standards import oauth1
from tests.certificates import certificate
from tests.simulators.mastercard.test_http import paying
from tests.simulators.program import refused, started

HISTORY = "columns=order.id&timeOfRecord.start=2020-01-01T00:00:00Z&timeOfRecord.end=2099-01-01T00:00:00Z"


def client(url: str, merchant_id: str, password: str, authority: Path | None = None) -> httpx.AsyncClient:
    verify = ssl.create_default_context(cafile=str(authority)) if authority else True
    basic = httpx.BasicAuth(f"merchant.{merchant_id}", password)
    return httpx.AsyncClient(base_url=url, auth=basic, verify=verify, timeout=10, trust_env=False)


async def test_both_ports_with_credentials_that_serve_two_simulators(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    VisaCredentials.generate().save(file)
    mine = {"mpgs_merchant_id": "TESTA", "mpgs_password": "one", "mpgs_other_merchant_id": "TESTB"}
    file.write_text(json.dumps(json.loads(file.read_text()) | mine | {"mpgs_other_password": "two"}))
    options = ["--tls-port", "0", "--credentials", "all.json", "--index-lag", "3600", "--host", "a.example"]
    async with started("mastercard", tmp_path, *options) as (plain, secured):
        for number, (url, authority) in enumerate(((plain, None), (secured, tmp_path / "all-keys" / "ca.pem"))):
            async with client(url, "TESTA", "one", authority) as merchant:
                path = f"/api/rest/version/74/merchant/TESTA/order/o{number}/transaction/1"
                reply = await merchant.put(path, json=paying())
                assert (reply.status_code, reply.json()["version"]) == (201, "74")
                told = await merchant.get(f"/history/version/1/merchant/TESTA/transaction?{HISTORY}")
                # Nothing is in the history before the lag is over.
                assert (told.status_code, told.text.split()) == (200, ["order.id"])
            async with client(url, "TESTB", "two", authority) as other:
                assert (await other.get(path.replace("TESTA", "TESTB"))).status_code == 400
                assert (await other.get(path)).status_code == 401


async def test_credentials_are_made_and_the_addon_takes_the_signature_of_a_named_host(tmp_path: Path) -> None:
    async with started("mastercard", tmp_path, "--host", "idv.mastercard.com") as (plain,):
        made = json.loads((tmp_path / "mastercard-simulator.json").read_text())
        pem = (tmp_path / "mastercard-simulator-keys" / "mc-signing-key.pem").read_bytes()
        private, body = load_pem_private_key(pem, None), b'{"a":1}'
        assert isinstance(private, RSAPrivateKey)
        key = oauth1.SigningKey(private, oauth1.SignatureMethod.RSA_SHA256)
        for host in (plain.removeprefix("http://"), "idv.mastercard.com"):
            header = oauth1.sign(
                "POST", f"http://{host}/identity/transactions", body, key,
                consumer_key=made["mc_consumer_key"], nonce=secrets.token_hex(8), timestamp=int(time.time()),
            )  # fmt: skip
            async with httpx.AsyncClient(trust_env=False) as stranger:
                reply = await stranger.post(
                    f"{plain}/identity/transactions", content=body, headers={"Authorization": header}
                )
            assert (reply.status_code, sorted(reply.json())) == (200, ["recommendation", "riskScore", "transactionId"])


async def test_ids_are_random_and_the_same_with_a_seed(tmp_path: Path) -> None:
    seen = []
    for options in ([], [], ["--seed", "7"], ["--seed", "7"]):
        async with started("mastercard", tmp_path, *options) as (plain,):
            made = json.loads((tmp_path / "mastercard-simulator.json").read_text())
            async with client(plain, made["mpgs_merchant_id"], made["mpgs_password"]) as merchant:
                path = f"/api/rest/version/100/merchant/{made['mpgs_merchant_id']}/session"
                seen.append((await merchant.post(path, json={})).json()["session"]["id"])

    assert len(set(seen)) == 3
    assert seen[2] == seen[3]


async def test_a_certificate_that_is_given_is_used(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    server = certificate(tmp_path, "server", authority)
    options = ["--tls-port", "0", "--tls-cert", str(server.file), "--tls-key", str(server.key_file)]
    async with started("mastercard", tmp_path, *options) as (_, secured):
        made = json.loads((tmp_path / "mastercard-simulator.json").read_text())
        async with client(secured, made["mpgs_merchant_id"], made["mpgs_password"], authority.file) as merchant:
            assert (await merchant.get("/api/rest/version/100/information")).json()["status"] == "OPERATING"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tls-cert", "a.pem", "--tls-key", "b.pem"], "need --tls-port"),
        (["--credentials", "bad.json"], "mpgs_password"),
        (["--credentials", "worse.json"], "not a JSON object"),
        (["--index-lag", "-1"], "index lag"),
    ],
)
async def test_what_cannot_be_used_is_told(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "bad.json").write_text(json.dumps({"mpgs_merchant_id": "m"}))
    (tmp_path / "worse.json").write_text("[")

    assert message in await refused("mastercard", tmp_path, *options)
