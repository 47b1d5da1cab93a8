"""Upload payment files over real HTTP: whole, compressed, broken, hostile, twice."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from lxml import etree

from shanraq import payments, webhooks
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.api.services import ApiServices
from shanraq.core.actor import Actor, MissingScopeError
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.credit_transfers import Interbank
from shanraq.partners import BasicCredentials, Credentials
from shanraq.standards import iso20022
from tests.api.server import serve
from tests.payment_files.files import Office, order, uploader

LIMIT_BYTES = 3_000_000


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database, Keyring.generate(), uploader())


@asynccontextmanager
async def serving(office: Office, *, timeout_seconds: float = 30.0) -> AsyncIterator[str]:
    async def authenticate(credentials: Credentials, _: str) -> Actor:
        assert isinstance(credentials, BasicCredentials)
        if credentials.key_id == "reader":
            return replace(uploader(), scopes=frozenset({"payment_files:read"}))
        return uploader(int(credentials.key_id.removeprefix("key_")))

    acquiring = payments.Acquiring(office.db, office.keyring, payments.Gateways({}))
    services = ApiServices(
        office.db, office.keyring, acquiring, webhooks.GuardPolicy(),
        Interbank(office.db, office.keyring), payment_file_limit_bytes=LIMIT_BYTES,
    )  # fmt: skip
    app = create_app(
        services, routes=v1.ROUTES, authenticate=authenticate, upload_limit_bytes=LIMIT_BYTES,
        upload_timeout_seconds=timeout_seconds,
    )  # fmt: skip
    async with serve(app) as url:
        yield url


@pytest.fixture
async def client(office: Office) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(office) as url,
        httpx.AsyncClient(base_url=url, auth=("key_1", "secret-of-32-characters-or-more-x")) as client,
    ):
        yield client


async def upload(
    client: httpx.AsyncClient, content: Any, key: str | None = "k", headers: dict[str, str] | None = None, **query: str
) -> httpx.Response:
    sent = {"Content-Type": "application/xml", **({"Idempotency-Key": key} if key else {}), **(headers or {})}
    return await client.post("/v1/payment-files", content=content, headers=sent, params=query)


async def test_an_uploaded_file_is_followed_to_its_report(client: httpx.AsyncClient, office: Office) -> None:
    content = order(3)

    answer = await upload(client, content, name="salaries", profile="kz")

    assert answer.status_code == 202
    file = answer.json()
    assert answer.headers["location"] == f"/v1/payment-files/{file['id']}"
    assert (file["status"], file["name"], file["profile"]) == ("received", "salaries", "kz")
    assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    await office.step()
    await office.step()
    found = (await client.get(answer.headers["location"])).json()
    assert (found["status"], found["progress"]) == ("processing", {"loaded": 3, "by_status": {"received": 3}})
    listed = (await client.get("/v1/payment-files", params={"status": "processing"})).json()
    assert [one["id"] for one in listed["items"]] == [file["id"]]
    transfers = (await client.get(f"/v1/payment-files/{file['id']}/transfers")).json()["items"]
    assert [one["end_to_end_id"] for one in transfers] == ["E3", "E2", "E1"]
    one = (await client.get(f"/v1/credit-transfers/{transfers[0]['id']}")).json()
    assert one == transfers[0]
    for query in ({"uetr": one["uetr"]}, {"end_to_end_id": "E3"}, {"payment_file_id": file["id"], "limit": "1"}):
        assert (await client.get("/v1/credit-transfers", params=query)).json()["items"] == [one]
    report = await client.get(f"/v1/payment-files/{file['id']}/status-report")
    assert (report.status_code, report.headers["content-type"]) == (200, "application/xml")
    assert iso20022.validate(report.content).valid
    assert etree.fromstring(report.content).find(".//{*}GrpSts").text == "ACTC"  # type: ignore[union-attr]


async def test_a_compressed_file_is_the_same_file(client: httpx.AsyncClient, office: Office) -> None:
    content = order(2)
    half = len(content) // 2
    members = gzip.compress(content[:half]) + gzip.compress(content[half:])

    first = await upload(client, gzip.compress(content), headers={"Content-Encoding": "gzip"})
    second = await upload(client, content)
    third = await upload(
        client, members, headers={"Content-Encoding": "gzip", "Content-Type": "text/xml; charset=utf-8"}
    )

    assert first.status_code == 202
    assert first.json() == second.json() == third.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert (await office.count("payment_file"), await office.count("payment_file_piece")) == (1, 1)


async def test_the_same_bytes_under_another_key_name_the_earlier_file(
    client: httpx.AsyncClient, office: Office
) -> None:
    content = order(2)
    first = await upload(client, content, "a")

    second = await upload(client, content, "b")
    other = await upload(client, order(3), "a")
    somebody = await client.post(
        "/v1/payment-files", content=content, auth=("key_2", "x" * 32),
        headers={"Content-Type": "application/xml", "Idempotency-Key": "a"},
    )  # fmt: skip

    assert (second.status_code, second.json()["code"]) == (409, "payment_file_duplicate")
    assert first.json()["id"] in second.json()["detail"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert somebody.status_code == 202
    assert (await client.get(somebody.headers["location"])).status_code == 404
    assert await office.count("payment_file_piece") == 2


async def test_many_uploads_at_once_make_one_file(client: httpx.AsyncClient, office: Office) -> None:
    content = order(50)

    answers = await asyncio.gather(*(upload(client, content, f"k{number % 2}") for number in range(8)))

    taken = [answer for answer in answers if answer.status_code == 202]
    assert {answer.json()["id"] for answer in taken} == {taken[0].json()["id"]}
    assert {answer.status_code for answer in answers} == {202, 409}
    assert len(taken) == 4
    assert (await office.count("payment_file"), await office.count("payment_file_piece")) == (1, 1)


async def test_refuses_what_it_cannot_take_and_keeps_nothing(client: httpx.AsyncClient, office: Office) -> None:
    content = order(1)
    cases: list[tuple[Any, dict[str, Any], int, str]] = [
        (content, {"key": None}, 400, "idempotency_key_missing"),
        (content, {"key": "a b"}, 400, "invalid_idempotency_key"),
        (b"", {}, 400, "payment_file_empty"),
        (content, {"headers": {"Content-Type": "application/json"}}, 415, "unsupported_media_type"),
        (content, {"headers": {"Content-Type": "application/xml; charset=utf-16"}}, 415, "unsupported_media_type"),
        (content, {"headers": {"Content-Encoding": "br"}}, 415, "unsupported_media_type"),
        (content, {"headers": {"Content-Encoding": "gzip"}}, 400, "malformed_gzip"),
        (gzip.compress(content)[:-4], {"headers": {"Content-Encoding": "gzip"}}, 400, "malformed_gzip"),
        (gzip.compress(content) + b"more", {"headers": {"Content-Encoding": "gzip"}}, 400, "malformed_gzip"),
        (content, {"profile": "other"}, 400, "invalid_field"),
        (content, {"name": "x" * 101}, 400, "invalid_field"),
        (content, {"colour": "red"}, 400, "unknown_parameter"),
        (content, {"headers": {"Shanraq-Signature": "v1=" + "0" * 64}}, 401, "signed_upload"),
        (b"<" * (LIMIT_BYTES + 1), {}, 413, "body_too_large"),
        (gzip.compress(b"<" * (LIMIT_BYTES + 1)), {"headers": {"Content-Encoding": "gzip"}}, 413, "payment_file_too_large"),
        (gzip.compress(gzip.compress(bytes(2**26))), {"headers": {"Content-Encoding": "gzip"}}, 202, ""),
        (gzip.compress(bytes(2**26)), {"headers": {"Content-Encoding": "gzip"}, "key": "z"}, 413, "payment_file_too_large"),
    ]  # fmt: skip

    for sent, asked, status, code in cases:
        answer = await upload(client, sent, **asked)

        assert (answer.status_code, answer.json().get("code", "")) == (status, code), (asked, answer.text)

    assert await office.count("payment_file") == 1
    assert await office.count("payment_file_piece") == 1


async def test_reading_needs_one_scope_and_uploading_another(client: httpx.AsyncClient) -> None:
    client.auth = httpx.BasicAuth("reader", "x" * 32)

    assert (await upload(client, order(1))).json()["code"] == MissingScopeError.code
    assert (await client.get("/v1/payment-files")).status_code == 200


async def test_a_body_in_chunks_of_unknown_length_is_bounded_too(client: httpx.AsyncClient, office: Office) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(LIMIT_BYTES // 100_000 + 2):
            yield b"<" * 100_000

    async def whole() -> AsyncIterator[bytes]:
        content = order(1)
        yield content[:10]
        yield content[10:]

    answer = await upload(client, endless())
    good = await upload(client, whole())

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert good.status_code == 202
    assert await office.count("payment_file_piece") == 1


async def test_an_upload_that_breaks_off_or_is_too_slow_leaves_nothing(office: Office) -> None:
    head = (
        "POST /v1/payment-files HTTP/1.1\r\nHost: x\r\nAuthorization: Basic a2V5XzE6"
        "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=\r\nContent-Type: application/xml\r\nIdempotency-Key: k\r\n"
        f"Content-Length: {2_500_000}\r\n\r\n"
    ).encode()
    async with serving(office, timeout_seconds=1.0) as url:
        port = int(url.rpartition(":")[2])
        _, gone = await asyncio.open_connection("127.0.0.1", port)
        gone.write(head + b"<" * 1_500_000)
        await gone.drain()
        while not await office.count("payment_file_piece"):
            await asyncio.sleep(0.01)
        gone.close()
        reader, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(head + b"<" * 1_500_000)
        await slow.drain()

        answer = await asyncio.wait_for(reader.read(4000), 20)
        slow.close()

        assert b" 408 " in answer.split(b"\r\n")[0]
        assert b"body_timeout" in answer
        for _ in range(500):
            if not await office.count("payment_file_piece"):
                break
            await asyncio.sleep(0.02)
        assert (await office.count("payment_file_piece"), await office.count("payment_file")) == (0, 0)


async def test_reports_are_refused_for_what_is_not_there(client: httpx.AsyncClient) -> None:
    file = (await upload(client, order(1))).json()
    path = f"/v1/payment-files/{file['id']}/status-report"
    unknown = "pmf_00000000000000000000000000"

    cases = [
        (f"/v1/payment-files/{unknown}", {}, 404, "payment_file_not_found"),
        (f"/v1/payment-files/{unknown}/status-report", {}, 404, "payment_file_not_found"),
        (f"/v1/payment-files/{unknown}/transfers", {}, 404, "payment_file_not_found"),
        ("/v1/payment-files/x", {}, 400, "invalid_id"),
        (path, {"version": "pain.002.001.02"}, 400, "unknown_report_version"),
        (path, {"only": "some"}, 400, "invalid_field"),
        ("/v1/credit-transfers/ctr_00000000000000000000000000", {}, 404, "credit_transfer_not_found"),
    ]

    for asked, query, status, code in cases:
        answer = await client.get(asked, params=query)
        assert (answer.status_code, answer.json()["code"]) == (status, code), asked
    received = await client.get(path)
    assert etree.fromstring(received.content).find(".//{*}GrpSts").text == "RCVD"  # type: ignore[union-attr]
    assert iso20022.validate(received.content).valid
