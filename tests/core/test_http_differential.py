"""Our reading of responses against h11: any valid response, cut anywhere, means the same to both."""

from __future__ import annotations

import asyncio
import itertools

import h11
from hypothesis import given
from hypothesis import strategies as st

from shanraq.core.http.connection import Connection
from shanraq.core.http.message import Response
from tests.core.http_peers import StillTransport

NAMES = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"}
HEADERS = st.lists(st.tuples(NAMES.filter(lambda name: name.lower() not in FRAMING), VALUES.map(str.strip)), max_size=5)
INTERIM = st.builds(
    lambda status, headers: b"HTTP/1.1 %d Interim\r\n%b\r\n" % (status, lines(headers)),
    st.sampled_from([100, 102, 103]),
    HEADERS,
)


def lines(headers: list[tuple[str, str]]) -> bytes:
    return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A valid response, with interim ones before it and any framing of its body."""
    status = draw(st.integers(200, 599))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.0"]))
    reason = draw(st.sampled_from([b" ", b" OK", b" Some Reason"]))
    head = b"HTTP/%b %d%b\r\n%b" % (version, status, reason, lines(draw(HEADERS)))
    if draw(st.booleans()):
        head += draw(st.sampled_from([b"Connection: close\r\n", b"connection: Keep-Alive\r\n"]))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4))
    framing = draw(st.sampled_from(["length", "close", *(["chunked"] if version == b"1.1" else [])]))
    if status in (204, 304):
        body = b""
    elif framing == "length":
        head += b"Content-Length: %d\r\n" % sum(map(len, pieces))
        body = b"".join(pieces)
    elif framing == "chunked":
        head += b"Transfer-Encoding: chunked\r\n"
        trailers = lines(draw(HEADERS))
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"
    else:
        body = b"".join(pieces)
    interim = b"".join(draw(st.lists(INTERIM, max_size=2))) if version == b"1.1" else b""
    return interim + head + b"\r\n" + body


async def ours(raw: bytes, cuts: list[int]) -> tuple[Response, bool]:
    """Feed the bytes in pieces, then the end; return the response, and whether the connection was kept before the end."""
    connection = Connection("192.0.2.1", 65_536)
    connection.connection_made(StillTransport())
    loop = asyncio.get_running_loop()
    exchange = asyncio.ensure_future(connection.exchange(b"", began=0.0, deadline=loop.time() + 10))
    await asyncio.sleep(0)
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        connection.data_received(raw[start:end])
    reusable = connection.reusable
    connection.connection_lost(None)
    return await exchange, reusable


def theirs(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes, bool]:
    """Read the bytes with h11: status, headers, body, and whether it would keep the connection."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="POST", target="/", headers=[("host", "h"), ("content-length", "0")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(raw)
    status, headers, body, ended = 0, list[tuple[bytes, bytes]](), b"", False
    while True:
        match parser.next_event():
            case h11.Response() as head:
                status, headers = head.status_code, list(head.headers.raw_items())
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                return status, headers, body, not ended and parser.our_state is h11.DONE
            case h11.NEED_DATA:
                ended = True
                parser.receive_data(b"")
            case _:
                pass


@given(responses(), st.lists(st.integers(0, 10_000), max_size=6))
async def test_valid_responses_mean_the_same_to_h11(raw: bytes, cuts: list[int]) -> None:
    response, reusable = await ours(raw, cuts)

    status, headers, body, keeps = theirs(raw)
    assert (response.status, response.body, response.truncated) == (status, body, False)
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers] == headers
    # h11 never keeps a connection of HTTP/1.0.
    assert response.http_version == "1.0" or reusable == keeps


@given(responses())
async def test_how_the_bytes_are_cut_changes_nothing(raw: bytes) -> None:
    whole, _ = await ours(raw, [])
    bytewise, _ = await ours(raw, list(range(len(raw))))

    assert (whole.status, whole.headers, whole.body) == (bytewise.status, bytewise.headers, bytewise.body)
