"""Bodies are read strictly, in memory and over HTTP."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.api.strict import DEPTH_LIMIT, DeepBodyError, EmptyBodyError, MalformedJsonError, check_media_type, decode
from shanraq.core.errors import ShanraqError
from tests.api.example import NewNote, body_of, example_app
from tests.api.server import serve

JSON = {"Content-Type": "application/json", "Idempotency-Key": "key-0001"}


def refused(body: bytes) -> ShanraqError:
    with pytest.raises(ShanraqError) as raised:
        decode(body, NewNote)
    return raised.value


def test_a_valid_body_becomes_its_struct() -> None:
    note = decode(body_of(amount=9007199254740993 % 10**15, labels={"a": "b"}), NewNote)

    assert isinstance(note, NewNote)
    assert note.labels == {"a": "b"}


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"amount": 1.0}, "invalid_field", "amount"),
        ({"amount": 1.5}, "invalid_field", "amount"),
        ({"amount": "5"}, "invalid_field", "amount"),
        ({"amount": True}, "invalid_field", "amount"),
        ({"amount": None}, "invalid_field", "amount"),
        ({"amount": 0}, "invalid_field", "amount"),
        ({"amount": 10**15 + 1}, "invalid_field", "amount"),
        ({"pinned": 1}, "invalid_field", "pinned"),
        ({"pinned": "true"}, "invalid_field", "pinned"),
        ({"currency": "EUR"}, "invalid_field", "currency"),
        ({"author": {"name": ""}}, "invalid_field", "author.name"),
        ({"author": {}}, "missing_field", "author.name"),
        ({"author": {"name": "A", "nmae": "B"}}, "unknown_field", "author.nmae"),
        ({"amuont": 1}, "unknown_field", "amuont"),
        ({"parts": [{"kind": "text", "text": "a"}, {"kind": "text", "text": 1}]}, "invalid_field", "parts[1].text"),
        ({"parts": [{"kind": "picture"}]}, "invalid_field", "parts[0].kind"),
        ({"labels": {"a": 1}}, "invalid_field", "labels[]"),
        ({"line\nbreak": 1}, "unknown_field", "line?break"),
        ({"x" * 5000: 1}, "unknown_field", "x" * 128),
    ],
)
def test_a_refusal_names_the_field(changes: dict[str, Any], code: str, field: str) -> None:
    refusal = refused(body_of(**changes))

    assert (refusal.code, refusal.field, refusal.status) == (code, field, 400)


def test_a_float_that_is_written_with_an_exponent_is_no_integer() -> None:
    refusal = refused(body_of().replace(b"1500", b"1e3"))

    assert (refusal.code, refusal.field) == ("invalid_field", "amount")


def test_a_refusal_does_not_repeat_the_value() -> None:
    refusal = refused(body_of(currency="4111111111111111"))

    assert "4111" not in str(refusal)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"amount":1,"amount":2,"currency":"KZT","author":{"name":"A"}}', "amount"),
        (b'{"amount":1,"currency":"KZT","author":{"name":"A","name":"B"}}', "author.name"),
        (b'{"amount":1,"currency":"KZT","author":{"name":"A","n\\u0061me":"B"}}', "author.name"),
        (b'{"amount":1,"currency":"KZT","author":{"name":"A"},"labels":{"a":"","a":""}}', "labels.a"),
        (b'{"amount":1,"currency":"KZT","author":{"name":"A"},"anything":[{},[{"k":1,"k":1}]]}', "anything[1][0].k"),
        (
            b'{"amount":1,"currency":"KZT","author":{"name":"A"},"parts":[{"kind":"text","text":"","kind":"text"}]}',
            "parts[0].kind",
        ),
    ],
)
def test_a_repeated_key_is_refused_at_any_depth(body: bytes, field: str) -> None:
    refusal = refused(body)

    assert (refusal.code, refusal.field) == ("repeated_field", field)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b"\xef\xbb\xbf" + body_of(),
        body_of() + b"{}",
        body_of() + b" x",
        body_of().replace(b"1500", b"NaN"),
        body_of().replace(b"1500", b"Infinity"),
        body_of().replace(b"1500", b"01500"),
        body_of().replace(b"1500", b"+1500"),
        body_of().replace(b"Aigerim", b"\xff\xfe"),
        body_of().replace(b"Aigerim", b"\\ud800"),
        body_of().replace(b"Aigerim", b"line\nbreak"),
        body_of().replace(b"}", b",}"),
        body_of().decode().encode("utf-16"),
        b"\x00",
    ],
)
def test_what_is_not_one_json_text_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        decode(body, NewNote)


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(EmptyBodyError):
        decode(b"", NewNote)


@pytest.mark.parametrize("deep", [b"[" * (DEPTH_LIMIT + 1), b'{"a":' * 100_000, b'{"a":[' * 20_000])
def test_a_body_that_is_nested_too_deep_is_refused(deep: bytes) -> None:
    with pytest.raises(DeepBodyError):
        decode(deep, NewNote)


def test_many_brackets_are_not_deep() -> None:
    note = decode(body_of(anything=[[{}]] * 500 + ['"[[[[\\"'] * 100), NewNote)

    assert len(note.anything) == 600


def test_an_enormous_integer_is_refused() -> None:
    assert refused(body_of().replace(b"1500", b"9" * 5000)).field == "amount"


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.binary(max_size=200))
def test_junk_is_refused_and_nothing_else_happens(junk: bytes) -> None:
    assert refused(junk).status == 400


@given(plain)
def test_any_other_json_is_refused_and_nothing_else_happens(value: Any) -> None:
    assert refused(json.dumps(value).encode()).status == 400


def has_no_json_form(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(has_no_json_form, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


@given(plain, st.text(max_size=8))
def test_any_value_in_a_free_field_is_read_or_refused(value: Any, label: str) -> None:
    body = json.dumps({**NewNote.EXAMPLE, "anything": value, "labels": {label: label}}).encode()

    if has_no_json_form(value):
        assert refused(body).code == "malformed_json"
    else:
        assert decode(body, NewNote).labels == {label: label}


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b'application/json;charset="UTF-8"',
        b"Application/JSON ; charset=utf-8",
    ],
)
def test_json_in_utf_8_is_the_media_type(value: bytes) -> None:
    check_media_type(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"text/plain",
        b"application/json; charset=latin-1",
        b"application/jsonx",
        b"application/json, text/plain",
    ],
)
async def test_another_media_type_is_refused(client: httpx.AsyncClient, value: bytes | None) -> None:
    headers = {"Idempotency-Key": "k"} | ({"Content-Type": value.decode()} if value is not None else {})

    answer = await client.post("/v1/notes", content=body_of(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_refusal_over_http_is_a_problem_that_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/notes", content=body_of(author={"name": 5}), headers=JSON)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == "author.name"


async def test_an_empty_body_is_refused_over_http(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/notes", headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (400, "empty_body")


async def test_a_body_of_the_limit_is_read_and_one_byte_more_is_refused(client: httpx.AsyncClient) -> None:
    body = body_of(anything="")
    fitting = body_of(anything="x" * (65_536 - len(body)))

    taken = await client.post("/v1/notes", content=fitting, headers=JSON)
    refused = await client.post("/v1/notes", content=fitting + b" ", headers=JSON)

    assert taken.status_code == 201
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_a_body_without_a_length_is_cut_off_while_it_arrives(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(1000):
            yield b" " * 1024

    answer = await client.post("/v1/notes", content=endless(), headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_the_limit_is_a_setting() -> None:
    async with serve(example_app(body_limit_bytes=10)) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/health/live")
        refused = await client.post("/v1/notes", content=b"x" * 11, headers=JSON)

    assert answer.status_code == 200
    assert refused.status_code == 413


async def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async with serve(example_app(body_timeout_seconds=0.05)) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /v1/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
            b"Authorization: Basic a2V5XzE6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==\r\n\r\n{"
        )
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 5)
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


async def test_a_client_that_leaves_while_it_sends_does_no_harm(url: str, client: httpx.AsyncClient) -> None:
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n"
        b"Authorization: Basic a2V5XzE6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    answer = await client.get("/v1/notes")

    assert answer.json()["items"] == []
