"""A route that is called straight answers exactly as Litestar would have it answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from shanraq.api.ratelimit import RateLimiter
from tests.api.example import SECRET, body_of, example_app
from tests.api.server import serve

GOOD = (("key_writer", SECRET), {"Content-Type": "application/json", "Idempotency-Key": "k-1"}, body_of())


def cases() -> dict[str, tuple[Any, dict[str, Any], bytes, str]]:
    auth, headers, body = GOOD
    plain = {"Content-Type": "application/json"}
    return {
        "good": (auth, headers, body, ""),
        "no credentials": (None, headers, body, ""),
        "wrong secret": (("key_writer", "wrong"), headers, body, ""),
        "no scope": (("key_reader", SECRET), headers, body, ""),
        "no key": (auth, plain, body, ""),
        "bad key": (auth, {**plain, "Idempotency-Key": "has a space"}, body, ""),
        "latin key": (auth, {**plain, "Idempotency-Key": b"\xe9"}, body, ""),
        "quoted key": (auth, {**plain, "Idempotency-Key": '"k-1"'}, body, ""),
        "media type": (auth, {**headers, "Content-Type": "text/plain"}, body, ""),
        "accept": (auth, {**headers, "Accept": "text/html"}, body, ""),
        "empty": (auth, headers, b"", ""),
        "no json": (auth, headers, b"{", ""),
        "bad utf-8": (auth, headers, b'{"amount": "\xff"}', ""),
        "unknown field": (auth, headers, body_of(more=1), ""),
        "missing field": (auth, headers, b"{}", ""),
        "float": (auth, headers, body_of(amount=5.5), ""),
        "repeated": (auth, headers, body.replace(b"{", b'{"amount": 1, ', 1), ""),
        "deep": (auth, headers, body_of(anything=[[]]).replace(b"[[]]", b"[" * 40 + b"]" * 40), ""),
        "too large": (auth, headers, b" " * 70_000, ""),
        "query": (auth, headers, body, "?what=1"),
        "request id": (auth, {**headers, "X-Request-Id": "mine"}, body, ""),
    }


@pytest.mark.parametrize("name", cases())
async def test_the_answer_is_the_one_litestar_gives(name: str) -> None:
    auth, headers, body, query = cases()[name]
    answers = []
    for straight in (True, False):
        app = example_app(credential_limit=RateLimiter(10, 10), address_limit=RateLimiter(10, 10))
        assert list(app.direct) == [("POST", "/v1/notes")]
        if not straight:
            app.direct = {}
        async with serve(app) as url, httpx.AsyncClient(base_url=url, auth=auth) as client:
            answer = await client.post(f"/v1/notes{query}", content=body, headers=headers)
            metrics = (await client.get("/metrics")).text
        kept = {name: value for name, value in answer.headers.items() if name not in ("date", "shanraq-request-id")}
        shown = answer.json()
        shown.pop("request_id", None)
        answers.append((answer.status_code, shown, kept))
        if answer.status_code != 413:  # refused before its route is known
            assert 'route="/v1/notes"' in metrics

    assert answers[0] == answers[1]


async def test_a_path_with_a_slash_at_its_end_is_the_same_route() -> None:
    auth, headers, body = GOOD
    async with serve(example_app()) as url, httpx.AsyncClient(base_url=url, auth=auth) as client:
        answer = await client.post("/v1/notes/", content=body, headers=headers)

    assert answer.status_code == 201


async def test_a_mistake_of_ours_is_not_told() -> None:
    auth, headers, body = GOOD
    app = example_app()
    app.direct[("POST", "/v1/notes")].services.answers = None  # type: ignore[attr-defined]
    async with serve(app) as url, httpx.AsyncClient(base_url=url, auth=auth) as client:
        answer = await client.post("/v1/notes", content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "NoneType" not in answer.text
