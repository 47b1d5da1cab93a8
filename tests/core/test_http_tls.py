"""Whom the client trusts, and how it shows who it is, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from shanraq.core.http import (
    CertificateExpiredError,
    HttpClient,
    HttpError,
    NameMismatchError,
    Request,
    Response,
    TlsError,
)
from tests.core.http_peers import OK, Authority, FixedResolver, answering, serving

NAME = "gateway.example"

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("stranger")))


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Any:
    return LOOPS[request.param]


async def ask(
    loop: Callable[[], asyncio.AbstractEventLoop],
    client_tls: ssl.SSLContext,
    server_tls: ssl.SSLContext | None,
    *,
    host: str = NAME,
    times: int = 1,
) -> tuple[list[Response | HttpError], int, int]:
    """Send so many requests to a server of that name; return what came back, how many it saw, over how many connections."""

    async def scenario() -> tuple[list[Response | HttpError], int, int]:
        async with serving(answering(OK), tls=server_tls) as server:
            client = HttpClient(tls=client_tls, resolver=FixedResolver(["127.0.0.1"]))
            found: list[Response | HttpError] = []
            for _ in range(times):
                try:
                    found.append(await client.send(Request("GET", f"https://{host}:{server.port}/"), 5))
                except HttpError as error:
                    found.append(error)
            await client.close()
            return found, len(server.requests), server.connections

    def run() -> tuple[list[Response | HttpError], int, int]:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(scenario())

    return await asyncio.to_thread(run)


def refuse(listener: socket.socket, tls: ssl.SSLContext) -> None:
    """Accept one connection, fail its handshake, and let the client read the alert."""
    accepted, _ = listener.accept()
    secured = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
    with contextlib.suppress(ssl.SSLError):
        secured.do_handshake()
    with socket.socket(fileno=secured.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(4096):
            pass


async def test_trusts_its_authority_and_reuses_the_connection(loop: Any, authority: Authority) -> None:
    found, _, connections = await ask(loop, authority.client_tls(), authority.server_tls(NAME), times=2)

    first, second = found
    assert isinstance(first, Response) and isinstance(second, Response)
    assert (first.status, second.status, connections) == (200, 200, 1)
    assert first.timings.tls_us is not None and second.timings.tls_us is None


async def test_certificate_may_be_of_an_address(loop: Any, authority: Authority) -> None:
    found, _, _ = await ask(loop, authority.client_tls(), authority.server_tls("127.0.0.1"), host="127.0.0.1")

    assert isinstance(found[0], Response)


async def test_trusts_no_other_authority(loop: Any, authority: Authority, stranger: Authority) -> None:
    found, requests, _ = await ask(loop, authority.client_tls(), stranger.server_tls(NAME))

    assert isinstance(found[0], TlsError)
    assert (found[0].error_code, found[0].sent, requests) == ("tls_error", False, 0)
    assert found[0].remote_address == "127.0.0.1"


async def test_certificate_must_not_have_run_out(loop: Any, authority: Authority) -> None:
    found, requests, _ = await ask(loop, authority.client_tls(), authority.server_tls(NAME, days=-1))

    assert isinstance(found[0], CertificateExpiredError)
    assert (found[0].sent, requests) == (False, 0)


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_certificate_must_be_of_the_name(loop: Any, authority: Authority, host: str) -> None:
    found, requests, _ = await ask(loop, authority.client_tls(), authority.server_tls(NAME), host=host)

    assert isinstance(found[0], NameMismatchError)
    assert (found[0].sent, requests) == (False, 0)


async def test_plain_server_is_a_tls_error(loop: Any, authority: Authority) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def scenario() -> HttpError:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        client = HttpClient(tls=authority.client_tls())
        with pytest.raises(HttpError) as failed:
            await client.send(Request("GET", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), 5)
        await client.close()
        server.close()
        return failed.value

    def run() -> HttpError:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(scenario())

    failed = await asyncio.to_thread(run)

    assert (failed.error_code, failed.sent) == ("tls_error", False)


async def test_handshake_has_a_deadline(authority: Authority) -> None:
    gone = asyncio.Event()

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    client = HttpClient(tls=authority.client_tls())
    with pytest.raises(TlsError) as failed:
        await client.send(Request("GET", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"), 0.1)
    await asyncio.wait_for(gone.wait(), 5)
    await client.close()
    server.close()

    assert not failed.value.sent


async def test_shows_its_client_certificate(loop: Any, authority: Authority) -> None:
    identity = authority.issue(["shanraq.example"])

    found, _, _ = await ask(loop, authority.client_tls(identity=identity), authority.server_tls(NAME, asks_client=True))

    assert isinstance(found[0], Response)


async def test_missing_client_certificate_is_an_error_of_a_request_that_was_written(
    loop: Any, authority: Authority
) -> None:
    # TLS 1.3: the server refuses after our side of the handshake is done, with an alert.
    listener = socket.create_server(("127.0.0.1", 0))
    refusing = threading.Thread(target=refuse, args=(listener, authority.server_tls("127.0.0.1", asks_client=True)))
    refusing.start()

    async def scenario() -> HttpError:
        client = HttpClient(tls=authority.client_tls())
        with pytest.raises(HttpError) as failed:
            await client.send(Request("GET", f"https://127.0.0.1:{listener.getsockname()[1]}/"), 5)
        await client.close()
        return failed.value

    def run() -> HttpError:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(scenario())

    failed = await asyncio.to_thread(run)
    await asyncio.to_thread(refusing.join)
    listener.close()

    assert (failed.error_code, failed.sent) == ("tls_error", True)


async def test_default_context_is_strict() -> None:
    client = HttpClient()

    assert client._opener.tls.verify_mode is ssl.CERT_REQUIRED
    assert client._opener.tls.check_hostname
    assert client._opener.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    await client.close()
