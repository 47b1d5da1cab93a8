from __future__ import annotations

import asyncio
import gc
import json
from contextlib import suppress
from functools import partial

import pytest

from shanraq.simulators.serve import Answer, HttpServer, Reply, Request
from shanraq.simulators.visa import VisaSimulator
from tests.simulators.visa.client import Merchant, payment

PATH = "/pts/v2/payments"


async def exchange(simulator: VisaSimulator, *parts: bytes) -> bytes:
    """Send bytes as they are, and read until the server closes."""
    host, port = simulator.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def raw(merchant: Merchant, *headers: str, chunked: bool = False) -> bytes:
    body = json.dumps(payment()).encode()
    lines = [
        f"POST {PATH} HTTP/1.1",
        f"Host: {merchant.host}",
        f"Authorization: Bearer {merchant.token('POST', PATH, body)}",
        "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}",
        *headers,
    ]
    if chunked:
        body = b"5\r\n" + body[:5] + b"\r\n" + f"{len(body) - 5:x}".encode() + b"\r\n" + body[5:] + b"\r\n0\r\n\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_requests_sent_ahead_are_answered_in_their_order(simulator: VisaSimulator, merchant: Merchant) -> None:
    simulator.fail_next("slow", seconds=0.05)

    sent = raw(merchant) + raw(merchant, chunked=True) + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = await exchange(simulator, sent)

    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"201", b"201", b"401"]


async def test_a_request_in_pieces_is_put_together(simulator: VisaSimulator, merchant: Merchant) -> None:
    sent = raw(merchant, "Connection: close")

    assert b" 201 " in await exchange(simulator, sent[:10], sent[10:200], sent[200:-3], sent[-3:])


async def test_a_client_may_ask_before_it_sends_the_body(simulator: VisaSimulator, merchant: Merchant) -> None:
    head, _, body = raw(merchant, "Expect: 100-continue", "Connection: close").partition(b"\r\n\r\n")

    received = await exchange(simulator, head + b"\r\n\r\n", body)

    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"401"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"a" * 2_000_000, b"413"),
    ],
)
async def test_what_is_not_http_or_too_much_is_refused(simulator: VisaSimulator, sent: bytes, status: bytes) -> None:
    received = await exchange(simulator, sent)

    # A client that still sends may lose the reply with the connection.
    assert received == b"" or received.startswith(b"HTTP/1.1 " + status)


async def test_two_credentials_in_one_request_are_none(simulator: VisaSimulator, merchant: Merchant) -> None:
    sent = raw(merchant, f"Authorization: Bearer {merchant.token('POST', PATH)}", "Connection: close")

    assert b" 401 " in await exchange(simulator, sent)


async def test_a_reply_whose_connection_ends_before_it_is_begun_is_not_begun() -> None:
    begun: list[Request] = []

    async def make(request: Request) -> Reply | None:
        begun.append(request)
        return None

    def answer(request: Request) -> Answer:
        for connection in server.connections:
            connection._transport.abort()
        return Answer(None, later=partial(make, request))

    server = HttpServer(answer)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()
    await server.stop()
    gc.collect()

    assert begun == []
