"""The layers of the application, over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from typing import Any

import httpx
import pytest
from litestar import get, post
from litestar.params import JSONBody
from structlog.testing import capture_logs

from shanraq.api.gate import RouteError
from shanraq.partners import signed_text
from tests.api.example import SECRET, TOKEN, NewNote, Note, body_of, example_app
from tests.api.server import serve

JSON = {"Content-Type": "application/json", "Idempotency-Key": '"key-0001"'}


async def test_a_keyed_post_has_one_effect_and_one_answer(client: httpx.AsyncClient) -> None:
    first = await client.post("/v1/notes", content=body_of(), headers=JSON)
    second = await client.post("/v1/notes", content=body_of(), headers={**JSON, "Idempotency-Key": "key-0001"})
    listed = await client.get("/v1/notes")

    assert first.status_code == second.status_code == 201
    assert first.json() == second.json() == listed.json()["items"][0]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(listed.json()["items"]) == 1


async def test_the_same_key_with_another_body_is_refused(client: httpx.AsyncClient) -> None:
    await client.post("/v1/notes", content=body_of(), headers=JSON)

    answer = await client.post("/v1/notes", content=body_of(amount=1), headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_post_without_its_key_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/notes", content=body_of(), headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_credentials"),
        ({"Authorization": "Basic nonsense!"}, "malformed_credentials"),
        ({"Authorization": "Digest x"}, "malformed_credentials"),
        ({"Authorization": "Bearer wrong"}, "unauthenticated"),
    ],
)
async def test_without_good_credentials_there_is_a_challenge(url: str, headers: dict[str, str], code: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/v1/notes", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_a_key_without_the_scope_is_refused(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, auth=("key_reader", SECRET)) as client:
        read = await client.get("/v1/notes")
        answer = await client.post("/v1/notes", content=body_of(), headers=JSON)

    assert read.status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_an_operator_shows_a_token(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        deleted = await client.delete("/v1/notes/note_0")
        sealed = await client.delete("/v1/notes/sealed")
        me = await client.get("/v1/me")

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (sealed.status_code, sealed.json()["code"]) == (409, "note_sealed")
    assert me.json()["id"] == "op_1"


def signed(method: str, target: str, body: bytes, *, signed_target: str | None = None) -> dict[str, str]:
    timestamp, nonce = int(time.time()), "nonce-of-sixteen-chars"
    text = signed_text(timestamp, nonce, method, signed_target or target, hashlib.sha256(body).hexdigest())
    return {
        "Shanraq-Key": "key_1",
        "Shanraq-Timestamp": str(timestamp),
        "Shanraq-Nonce": nonce,
        "Shanraq-Signature": "v1=" + hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest(),
    }


@pytest.mark.parametrize("target", ["/v1/notes", "/v1/notes?limit=5&currency=KZT", "/v1/notes?currency=%4bZT"])
async def test_a_signed_request_is_authenticated_by_its_target(url: str, target: str) -> None:
    async with httpx.AsyncClient() as client:
        good = await client.get(url + target, headers=signed("GET", target, b""))
        head = await client.head(url + target, headers=signed("HEAD", target, b""))
        other = await client.get(url + target, headers=signed("GET", target, b"", signed_target="/v1/notes?limit=6"))

    assert good.status_code == head.status_code == 200
    assert other.status_code == 401


async def test_a_signature_covers_the_body(url: str) -> None:
    headers = {**JSON, **signed("POST", "/v1/notes", body_of())}

    async with httpx.AsyncClient(base_url=url) as client:
        good = await client.post("/v1/notes", content=body_of(), headers=headers)
        changed = await client.post("/v1/notes", content=body_of(amount=9), headers=headers)

    assert (good.status_code, changed.status_code) == (201, 401)


@pytest.mark.parametrize("name", ["Shanraq-Key", "Shanraq-Timestamp", "Shanraq-Nonce"])
async def test_a_signature_needs_all_of_its_headers(url: str, name: str) -> None:
    headers = signed("GET", "/v1/notes", b"")
    del headers[name]

    async with httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/v1/notes", headers=headers)

    assert (answer.status_code, answer.json()["field"]) == (401, name)


async def test_a_signature_beside_other_credentials_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/notes", headers=signed("GET", "/v1/notes", b""))

    assert (answer.status_code, answer.json()["code"]) == (401, "malformed_credentials")


async def test_every_answer_has_a_request_id_of_ours(client: httpx.AsyncClient) -> None:
    answers = [await client.get(path) for path in ("/v1/notes", "/nothing", "/health/live", "/explorer")]

    ids = {answer.headers["shanraq-request-id"] for answer in answers}
    assert len(ids) == 4
    assert all(re.fullmatch(r"req_[0-9A-Z]{26}", request_id) for request_id in ids)


async def test_a_request_id_of_the_clients_is_taken_if_it_is_plain(client: httpx.AsyncClient) -> None:
    taken = await client.get("/v1/me", headers={"X-Request-Id": "trace-42_A"})
    ignored = await client.get("/v1/me", headers={"X-Request-Id": "a b"})

    assert taken.headers["shanraq-request-id"] == taken.json()["author"] == "trace-42_A"
    assert ignored.headers["shanraq-request-id"].startswith("req_")


async def test_answers_carry_security_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/notes")

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_a_mistake_of_ours_is_logged_and_not_told(client: httpx.AsyncClient) -> None:
    with capture_logs() as logs:
        answer = await client.get("/v1/broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.text
    logged = next(event for event in logs if event["event"] == "request.failed")
    assert logged["request_id"] == answer.headers["shanraq-request-id"]
    assert isinstance(logged["exc_info"], RuntimeError)


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v2/nothing")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")


async def test_an_unknown_method_lists_those_of_every_route_of_the_path(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/v1/notes")
    options = await client.options("/v1/notes")

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == options.headers["allow"] == "GET, OPTIONS, POST"
    assert options.status_code == 204


async def test_head_is_get_without_a_body(client: httpx.AsyncClient) -> None:
    read = await client.get("/v1/notes")
    head = await client.head("/v1/notes")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == read.headers["content-length"]


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/html, application/*;q=0.1", "application/json;q=1"]
)
async def test_an_accept_header_that_allows_json_is_satisfied(client: httpx.AsyncClient, accept: str) -> None:
    assert (await client.get("/v1/notes", headers={"Accept": accept})).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0, */*", "application/xml", "", "*/*;q=x"])
async def test_an_accept_header_that_excludes_json_is_refused(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/v1/notes", headers={"Accept": accept})

    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("limit=0", "invalid_field", "limit"),
        ("limit=501", "invalid_field", "limit"),
        ("limit=5.0", "invalid_field", "limit"),
        ("limit=1e2", "invalid_field", "limit"),
        ("limit=", "invalid_field", "limit"),
        ("limit=%31%20", "invalid_field", "limit"),
        ("limit=1&limit=2", "invalid_field", "limit"),
        ("currency=EUR", "invalid_field", "currency"),
        ("currency=null", "invalid_field", "currency"),
        ("limmit=1", "unknown_parameter", "limmit"),
        ("=1", "unknown_parameter", None),
        ("&", "unknown_parameter", None),
    ],
)
async def test_a_query_is_read_strictly(client: httpx.AsyncClient, query: str, code: str, field: str | None) -> None:
    answer = await client.get(f"/v1/notes?{query}")

    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (400, code, field)


async def test_a_header_that_decides_must_not_be_there_twice(client: httpx.AsyncClient) -> None:
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    answer = await client.post("/v1/notes", content=body_of(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "repeated_header")
    assert answer.json()["field"] == "Idempotency-Key"


async def test_https_is_made_strict_behind_a_proxy_that_says_so() -> None:
    app = example_app()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/health/live", "raw_path": b"/health/live", "query_string": b"",
        "headers": [], "scheme": "https", "client": None, "server": None, "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)

    assert dict(sent[0]["headers"])[b"strict-transport-security"].startswith(b"max-age=")


def _declared(**options: Any) -> Any:
    @get("/v1/wrong", operation_id="wrong", **options)
    async def wrong() -> Note:
        """Be wrong."""
        raise AssertionError

    return wrong


@pytest.mark.parametrize(
    "route",
    [
        _declared(),
        _declared(opt={"public": False}),
        _declared(opt={"public": True, "scope": "notes:read"}),
        _declared(opt={"scope": "notes:read", "unlimited": True}),
        _declared(opt={"scope": "notes:read", "scoop": "notes:read"}),
    ],
)
def test_a_route_that_does_not_declare_who_may_call_it_is_found_at_start(route: Any) -> None:
    with pytest.raises(RouteError, match="/v1/wrong"):
        example_app(routes=[route])


def test_a_body_that_takes_unknown_fields_is_found_at_start() -> None:
    @post("/v1/lax", operation_id="lax", opt={"public": True})
    async def lax(data: JSONBody[Note]) -> Note:
        """Be lax."""
        return data

    with pytest.raises(RouteError, match="Body"):
        example_app(routes=[lax])


def test_a_route_without_an_operation_id_is_found_at_start() -> None:
    @post("/v1/nameless", opt={"public": True})
    async def nameless(data: JSONBody[NewNote]) -> None:
        """Have no name."""

    with pytest.raises(TypeError, match="operation_id"):
        example_app(routes=[nameless])


async def test_two_applications_of_the_same_routes_do_not_meet() -> None:
    async with serve(example_app()) as first, serve(example_app()) as second, httpx.AsyncClient() as client:
        client.auth = httpx.BasicAuth("key_1", SECRET)
        await client.post(f"{first}/v1/notes", content=body_of(), headers=JSON)

        listed = await client.get(f"{second}/v1/notes")

    assert listed.json()["items"] == []
