"""The HTTP client: what it writes, what it reads, which error says what."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from dataclasses import dataclass, field

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.actor import SYSTEM
from shanraq.core.db import Database
from shanraq.core.http import (
    Address,
    ClientClosedError,
    ConnectTimeoutError,
    DnsError,
    Headers,
    HttpClient,
    HttpError,
    InvalidRequestError,
    ProtocolError,
    ReadTimeoutError,
    RefusedConnectionError,
    Request,
    ResetConnectionError,
    Resolver,
    ResponseTooLargeError,
    SsrfBlockedError,
    SystemResolver,
    UnreachableError,
    parse_url,
)
from shanraq.core.http.connection import Connection
from shanraq.core.http.message import encode
from tests.core.http_peers import OK, Call, FixedResolver, StillTransport, answering, serving


def post(url: str, body: bytes = b"{}", **headers: str) -> Request:
    return Request("POST", url, tuple((name.replace("_", "-"), value) for name, value in headers.items()), body)


@dataclass
class FakeConnector:
    """Fails for each address as told; an address it is told nothing about does not answer."""

    failures: dict[str, OSError]
    asked: list[str] = field(default_factory=list)

    async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
        self.asked.append(str(address))
        if str(address) in self.failures:
            raise self.failures[str(address)]
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


@dataclass
class SilentResolver:
    """Never answers."""

    async def resolve(self, host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def failure_of(client: HttpClient, url: str, *, timeout_seconds: float = 0.1) -> HttpError:
    with pytest.raises(HttpError) as failed:
        await client.send(post(url), timeout_seconds)
    await client.close()
    return failed.value


# What is written.


async def test_request_arrives_as_it_was_given() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient(user_agent="Test/1")
        await client.send(post(f"{server.url}?a=%2F..", b"[1]", X_Case="v"), 5)
        await client.close()

    assert server.requests == [
        f"POST /in?a=%2F.. HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nX-Case: v\r\nUser-Agent: Test/1\r\n"
        "Accept-Encoding: identity\r\nContent-Length: 3\r\n\r\n[1]".encode()
    ]


def test_get_without_a_body_has_no_length() -> None:
    target = parse_url("https://api.example.com")

    assert encode(Request("GET", "https://api.example.com"), target, "T") == (
        b"GET / HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: T\r\nAccept-Encoding: identity\r\n\r\n"
    )


def test_own_user_agent_replaces_that_of_the_client() -> None:
    target = parse_url("http://h/")

    assert b"Mine\r\n" in encode(post("http://h/", User_Agent="Mine"), target, "Other")
    assert b"Other" not in encode(post("http://h/", User_Agent="Mine"), target, "Other")


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "TE", "Upgrade", "Expect"]
)
def test_framing_headers_are_the_clients_own(name: str) -> None:
    with pytest.raises(InvalidRequestError):
        encode(Request("POST", "http://h/", ((name, "1"),)), parse_url("http://h/"), "T")


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "post", "GET /x HTTP/1.1\r\nA: b\r\n\r\nGET", ""])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(InvalidRequestError):
        encode(Request(method, "http://h/"), parse_url("http://h/"), "T")


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "/in", "ftp://h/", "http:h/", "http:///in", "http://h:0/", "http://h:65536/", "http://h:/", "http://u@h/",
        "http://h/#f", "http://h/a b", "http://h/\r\nX: y", "http://h\r\n/", "http://\u04bb/", "http://h/\u00e9",
        "http://[::1", "http://::1/", " http://h/", "http://h/\n", "http://\u212a.com/",
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse_url(url)


def test_url_is_split_without_being_changed() -> None:
    target = parse_url("HTTPS://Api.Example.com:8443/A/../b%2f?x=http://y/@")

    assert (target.scheme, target.host, target.port) == ("https", "api.example.com", 8443)
    assert target.target == "/A/../b%2f?x=http://y/@"
    assert target.authority == "api.example.com:8443"
    assert parse_url("http://[2001:DB8::1]/").name == "2001:db8::1"


@given(
    st.lists(
        st.tuples(
            st.text(max_size=6) | st.sampled_from(["X-A", "a\r\nb"]), st.text(max_size=8) | st.just("v\r\nX-Evil: 1")
        ),
        max_size=4,
    ),
    st.binary(max_size=20),
)
def test_headers_cannot_inject(headers: list[tuple[str, str]], body: bytes) -> None:
    request = Request("POST", "http://h/in", tuple(headers), body)
    try:
        written = encode(request, parse_url(request.url), "T")
    except InvalidRequestError:
        return
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(written)
    head, content = parser.next_event(), b""
    while isinstance(event := parser.next_event(), h11.Data):
        content += event.data

    assert isinstance(head, h11.Request)
    assert isinstance(event, h11.EndOfMessage)
    assert [name for name, _ in head.headers] == [
        b"host", *(name.lower().encode() for name, _ in headers),
        *(name for name in (b"user-agent", b"accept-encoding") if name.decode() not in {n.lower() for n, _ in headers}),
        b"content-length",
    ]  # fmt: skip
    assert content == body
    assert parser.next_event() is h11.NEED_DATA or parser.their_state is h11.DONE


# What is read.


async def test_response_tells_everything() -> None:
    raw = b"HTTP/1.1 201 Created\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 2\r\n\r\nok"
    async with serving(answering(raw)) as server:
        client = HttpClient()
        response = await client.send(post(server.url), 5)
        again = await client.send(post(server.url), 5)
        await client.close()

    assert (response.status, response.body, response.truncated, response.http_version) == (201, b"ok", False, "1.1")
    assert response.headers == Headers([("X-A", "1"), ("x-a", "2"), ("Content-Length", "2")])
    assert response.headers.get("CONTENT-LENGTH") == "2"
    assert response.headers.get("absent") is None
    assert response.remote_address == "127.0.0.1"
    assert response.timings.dns_us is not None and response.timings.connect_us is not None
    assert response.timings.tls_us is None
    assert 0 < response.timings.first_byte_us <= response.timings.total_us
    assert again.timings.dns_us is None and again.timings.connect_us is None


def test_bodies_and_headers_are_not_printed() -> None:
    request = post("https://h/secret", b"4111111111111111", Authorization="secret")

    assert repr(request) == "Request(POST, 1 headers, body of 16 bytes)"


@pytest.mark.parametrize("size", [64, 65], ids=["at the limit", "over it"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_body_is_cut_at_the_limit(framing: str, size: int) -> None:
    body = b"b" * size
    raw = {
        "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body),
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body),
        "close": b"HTTP/1.1 200 OK\r\n\r\n" + body,
    }[framing]

    async def script(call: Call) -> None:
        await call.send(raw)
        if framing == "close":
            call.hang_up()

    async with serving(script) as server:
        client = HttpClient(response_limit_bytes=64)
        response = await client.send(post(server.url), 5)
        if size > 64:
            await server.until(lambda server: server.open == 0)
        await client.close()

    assert (response.status, response.body, response.truncated) == (200, body[:64], size > 64)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * 300_000,
    ],
    ids=["chunk extension", "trailer"],
)
async def test_framing_of_a_body_is_limited_too(raw: bytes) -> None:
    async with serving(answering(*(raw[start : start + 4096] for start in range(0, len(raw), 4096)))) as server:
        client = HttpClient()
        async with asyncio.timeout(10):
            response = await client.send(post(server.url), 60)
        await client.close()

    assert (response.status, response.body, response.truncated) == (200, b"", True)


async def test_head_without_end_is_too_large() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nX: ", *[b"x" * 4096] * 20)) as server:
        failed = await failure_of(HttpClient(), server.url, timeout_seconds=5)

    assert isinstance(failed, ResponseTooLargeError)
    assert failed.sent


async def test_whole_head_that_comes_at_once_is_limited_too() -> None:
    connection = Connection("192.0.2.1", 65_536)
    connection.connection_made(StillTransport())
    deadline = asyncio.get_running_loop().time() + 10
    exchange = asyncio.ensure_future(connection.exchange(b"", began=0.0, deadline=deadline))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\n" + b"X-A: y\r\n" * 10_000 + b"Content-Length: 0\r\n\r\n")

    with pytest.raises(ResponseTooLargeError):
        await exchange


async def test_interim_responses_count_towards_the_head() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n"
    async with serving(answering(*[interim] * 70)) as server:
        failed = await failure_of(HttpClient(), server.url, timeout_seconds=5)

    assert isinstance(failed, ResponseTooLargeError)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"ICE/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n",
    ],
)
async def test_what_is_not_strict_http_is_refused(raw: bytes) -> None:
    async with serving(answering(raw)) as server:
        failed = await failure_of(HttpClient(), server.url, timeout_seconds=5)

    assert isinstance(failed, ProtocolError)
    assert failed.sent
    assert failed.remote_address == "127.0.0.1"


@pytest.mark.parametrize("ends", [True, False], ids=["closed", "silent"])
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 202 OK\r\nContent-Length: 9\r\n\r\npart",
        b"HTTP/1.1 202 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
async def test_status_stands_when_the_end_of_the_body_is_missing(raw: bytes, ends: bool) -> None:
    async def script(call: Call) -> None:
        await call.send(raw)
        if ends:
            call.hang_up()

    async with serving(script) as server:
        client = HttpClient()
        response = await client.send(post(server.url), 5 if ends else 0.1)
        await client.close()

    assert (response.status, response.body, response.truncated) == (202, b"part", True)


async def test_silence_is_a_read_timeout() -> None:
    async with serving(answering(b"HTTP/1.1 200")) as server:
        failed = await failure_of(HttpClient(), server.url)
        await server.until(lambda server: server.open == 0)

    assert isinstance(failed, ReadTimeoutError)
    assert failed.sent


async def test_hanging_up_is_a_reset() -> None:
    async def script(call: Call) -> None:
        call.hang_up()

    async with serving(script) as server:
        failed = await failure_of(HttpClient(), server.url, timeout_seconds=5)

    assert isinstance(failed, ResetConnectionError)
    assert failed.sent


async def test_redirect_is_an_answer_like_any_other() -> None:
    async with serving(answering(b"HTTP/1.1 302 X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")) as server:
        client = HttpClient()
        response = await client.send(post(server.url), 5)
        await client.close()

    assert response.status == 302
    assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")) as server:
        client = HttpClient()
        for _ in range(2):
            await client.send(post(server.url), 5)
        await client.close()

    assert b"ookie" not in server.requests[1]


# How names become addresses.


async def test_system_resolver_asks_once_for_all_who_wait() -> None:
    asked: list[str] = []
    release = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        asked.append(host)
        release.wait(5)
        return [(2, 1, 6, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]

    resolver = SystemResolver(look_up)
    lookups = [asyncio.ensure_future(resolver.resolve("name.example", 443)) for _ in range(3)]
    await asyncio.sleep(0)
    lookups[0].cancel()
    release.set()
    _, *answers = await asyncio.gather(*lookups, return_exceptions=True)
    again = await resolver.resolve("name.example", 443)

    assert answers == [[ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")]] * 2
    assert again == answers[0]
    assert asked == ["name.example"] * 2


@pytest.mark.parametrize("literal", ["192.0.2.1", "2001:db8::1"])
async def test_address_needs_no_lookup(literal: str) -> None:
    assert await SystemResolver(lookup=list).resolve(literal, 443) == [ipaddress.ip_address(literal)]


async def test_system_resolver_knows_localhost() -> None:
    assert any(address.is_loopback for address in await SystemResolver().resolve("localhost", 80))


# How connections fail: nothing was sent.


@pytest.mark.parametrize(
    "resolver",
    [
        FixedResolver(socket.gaierror(socket.EAI_NONAME, "no such name")),
        FixedResolver(UnicodeError("label too long")),
        FixedResolver([]),
        SilentResolver(),
    ],
)
async def test_name_without_an_address_is_a_dns_error(resolver: Resolver) -> None:
    failed = await failure_of(HttpClient(resolver=resolver), "http://name.example/")

    assert isinstance(failed, DnsError)
    assert not failed.sent


async def test_closed_port_refuses() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failed = await failure_of(HttpClient(), f"http://127.0.0.1:{unused.getsockname()[1]}/", timeout_seconds=5)

    assert isinstance(failed, RefusedConnectionError)
    assert (failed.sent, failed.remote_address) == (False, "127.0.0.1")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.ENETUNREACH, ""), UnreachableError),
        (OSError(errno.EHOSTUNREACH, ""), UnreachableError),
        (OSError(errno.EMFILE, ""), UnreachableError),
        (TimeoutError(errno.ETIMEDOUT, ""), ConnectTimeoutError),
        (ConnectionResetError(errno.ECONNRESET, ""), ResetConnectionError),
        (None, ConnectTimeoutError),
    ],
)
async def test_errors_of_connecting_have_their_codes(failure: OSError | None, expected: type[HttpError]) -> None:
    connector = FakeConnector({"192.0.2.1": failure} if failure else {})

    failed = await failure_of(HttpClient(resolver=FixedResolver(["192.0.2.1"]), connector=connector), "http://h/")

    assert isinstance(failed, expected)
    assert (failed.sent, failed.remote_address) == (False, "192.0.2.1")


async def test_dead_addresses_leave_time_for_the_others() -> None:
    connector = FakeConnector({"192.0.2.3": ConnectionRefusedError()})
    resolver = FixedResolver(["192.0.2.1", "192.0.2.2", "192.0.2.3"])

    failed = await failure_of(HttpClient(resolver=resolver, connector=connector), "http://h/", timeout_seconds=0.3)

    assert connector.asked == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert isinstance(failed, RefusedConnectionError)


async def test_only_the_first_addresses_are_tried() -> None:
    addresses = [f"192.0.2.{number}" for number in range(1, 9)]
    connector = FakeConnector(dict.fromkeys(addresses, ConnectionRefusedError()))

    await failure_of(HttpClient(resolver=FixedResolver(addresses), connector=connector), "http://h/")

    assert connector.asked == addresses[:4]


async def test_another_peer_than_the_chosen_one_is_blocked() -> None:
    async with serving(answering(OK)) as server:

        @dataclass
        class Detour:
            async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
                connected = socket.create_connection(("127.0.0.1", server.port))
                connected.setblocking(False)
                return connected, ipaddress.ip_address("127.0.0.2")

        failed = await failure_of(HttpClient(connector=Detour()), server.url, timeout_seconds=5)

    assert isinstance(failed, SsrfBlockedError)
    assert not failed.sent
    assert server.requests == []


async def test_name_is_looked_up_once_and_kept_as_host() -> None:
    resolver = FixedResolver(["127.0.0.1"])
    async with serving(answering(OK)) as server:
        client = HttpClient(resolver=resolver)
        await client.send(post(f"http://gateway.example:{server.port}/in"), 5)
        await client.close()

    assert resolver.asked == ["gateway.example"]
    assert f"Host: gateway.example:{server.port}\r\n".encode() in server.requests[0]


# When it may not be used.


async def test_network_is_refused_inside_a_transaction(database: Database) -> None:
    client = HttpClient()
    async with database.begin(SYSTEM):
        with pytest.raises(AssertionError):
            await client.send(post("http://127.0.0.1:9/"), 1)
    await client.close()


async def test_closed_client_sends_nothing() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient()
        await client.close()
        failed = await failure_of(client, server.url)

    assert isinstance(failed, ClientClosedError)
    assert (failed.sent, server.connections) == (False, 0)
