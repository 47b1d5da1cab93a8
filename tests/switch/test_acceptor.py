"""The server of ISO 8583 messages, without the platform: what it answers, what it bounds, what it survives."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shanraq.standards import iso8583
from shanraq.standards.iso8583.flow import respond
from shanraq.switch.acceptor import Acceptor, Limits, Peer, tls_context
from tests.certificates import certificate

CODEC = iso8583.codec("iso87a")
FRAMING = iso8583.framing("ascii4")


def echo(request: iso8583.Message, _peer: Peer) -> iso8583.Message | None:
    return respond(request, "00") if request.mti == "0800" else None


def network_message(stan: int = 1) -> iso8583.Message:
    return iso8583.Message("0800", {7: "0401123045", 11: f"{stan:06d}", 70: "301"})


@dataclass
class Line:
    """One connection of a test."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    framing: iso8583.Framing
    frames: Any
    ready: list[bytes]

    def send(self, *messages: iso8583.Message) -> None:
        self.writer.write(b"".join(self.framing.frame(CODEC.encode(message)) for message in messages))

    async def receive(self) -> iso8583.Message:
        while not self.ready:
            data = await asyncio.wait_for(self.reader.read(65_536), 5)
            if not data:
                raise EOFError
            self.ready += [found.message for found in self.frames.feed(data)]
        return CODEC.decode(self.ready.pop(0))

    async def closed(self) -> bool:
        """Wait for the end of the connection."""
        try:
            while await asyncio.wait_for(self.reader.read(65_536), 5):
                pass
        except ConnectionError:
            return True
        return True


@asynccontextmanager
async def line_to(
    acceptor: Acceptor, framing: iso8583.Framing = FRAMING, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", acceptor.port, ssl=tls)
    try:
        yield Line(reader, writer, framing, framing.reader(), [])
    finally:
        writer.close()


async def test_messages_of_one_read_are_answered_in_one_write() -> None:
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.send(*(network_message(number) for number in range(100)))
        answers = [await line.receive() for _ in range(100)]

    assert [answer.fields[11] for answer in answers] == [f"{number:06d}" for number in range(100)]
    assert {(answer.mti, answer.fields[39]) for answer in answers} == {("0810", "00")}


async def test_slow_answers_leave_as_they_are_ready_and_stay_bounded() -> None:
    running, most = 0, 0

    async def slowly(request: iso8583.Message) -> iso8583.Message:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return respond(request, "00")

    def answer(request: iso8583.Message, _peer: Peer) -> Coroutine[Any, Any, iso8583.Message]:
        return slowly(request)

    async with (
        Acceptor(CODEC, FRAMING, answer, limits=Limits(in_flight=4)) as acceptor,
        line_to(acceptor) as line,
    ):
        line.send(*(network_message(number) for number in range(50)))
        stans = {(await line.receive()).fields[11] for _ in range(50)}

    assert len(stans) == 50
    assert most == 4


async def test_keep_alives_are_echoed() -> None:
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.writer.write(b"0000")
        echoed = await asyncio.wait_for(line.reader.readexactly(4), 5)

    assert echoed == b"0000"


async def test_the_addresses_of_a_tpdu_come_back_exchanged() -> None:
    nac = iso8583.framing("nac", tpdu=bytes.fromhex("6000010002"))
    async with Acceptor(CODEC, iso8583.framing("nac"), echo) as acceptor, line_to(acceptor, nac) as line:
        line.send(network_message())
        (found,) = line.framing.reader().feed(await asyncio.wait_for(line.reader.read(4096), 5))

    assert found.tpdu == bytes.fromhex("6000020001")


async def test_a_request_that_cannot_be_read_is_answered_with_a_format_error() -> None:
    raw = CODEC.encode(network_message(7)).replace(b"301", b"3x1")
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.writer.write(FRAMING.frame(raw))
        answer = await line.receive()

    assert (answer.mti, answer.fields) == ("0810", {7: "0401123045", 11: "000007", 39: "30"})
    assert acceptor.unreadable == 1


async def test_what_is_no_message_at_all_is_dropped_and_the_connection_goes_on() -> None:
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.writer.write(FRAMING.frame(b"\x00\xff nothing of a message"))
        line.send(network_message(8))
        answer = await line.receive()

    assert answer.fields[11] == "000008"


async def test_too_many_unreadable_messages_in_a_row_end_the_connection() -> None:
    async with (
        Acceptor(CODEC, FRAMING, echo, limits=Limits(unreadable=3)) as acceptor,
        line_to(acceptor) as line,
    ):
        line.writer.write(FRAMING.frame(b"x" * 10) * 3)
        assert await line.closed()


async def test_a_stream_that_cannot_be_followed_is_closed() -> None:
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await line.closed()
        assert acceptor.broken == 1


async def test_a_message_above_the_limit_is_not_waited_for() -> None:
    small = iso8583.framing("ascii4", limit=100)
    async with Acceptor(CODEC, small, echo) as acceptor, line_to(acceptor) as line:
        line.writer.write(b"0101")
        assert await line.closed()


async def test_connections_above_the_limits_are_refused() -> None:
    async with (
        Acceptor(CODEC, FRAMING, echo, limits=Limits(connections_per_address=1)) as acceptor,
        line_to(acceptor) as first,
    ):
        first.send(network_message())
        await first.receive()
        async with line_to(acceptor) as second:
            assert await second.closed()
        first.send(network_message(2))
        answer = await first.receive()

    assert answer.fields[11] == "000002"
    assert acceptor.refused == 1


async def test_a_silent_connection_is_closed_and_one_that_drips_too() -> None:
    async with (
        Acceptor(CODEC, FRAMING, echo, limits=Limits(idle_seconds=0.2)) as acceptor,
        line_to(acceptor) as silent,
        line_to(acceptor) as dripping,
    ):
        for byte in b"0100":
            dripping.writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        assert await silent.closed()
        assert await dripping.closed()


async def test_an_answer_that_breaks_costs_one_message() -> None:
    def answer(request: iso8583.Message, peer: Peer) -> iso8583.Message | None:
        if request.fields[11] == "000001":
            raise ZeroDivisionError
        if request.fields[11] == "000002":
            return iso8583.Message("0810", {39: "much too long for a response code"})
        return echo(request, peer)

    async with Acceptor(CODEC, FRAMING, answer) as acceptor, line_to(acceptor) as line:
        line.send(network_message(1), network_message(2), network_message(3))
        answered = await line.receive()

    assert answered.fields[11] == "000003"


async def test_an_answer_that_takes_too_long_is_given_up() -> None:
    cancelled = asyncio.Event()

    async def never(_request: iso8583.Message) -> iso8583.Message | None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return None

    def answer(request: iso8583.Message, _peer: Peer) -> Coroutine[Any, Any, iso8583.Message | None]:
        return never(request)

    async with (
        Acceptor(CODEC, FRAMING, answer, limits=Limits(answer_seconds=0.05)) as acceptor,
        line_to(acceptor) as line,
    ):
        line.send(network_message())
        await asyncio.wait_for(cancelled.wait(), 5)
        await asyncio.sleep(0.01)

        assert acceptor.in_flight == 0


async def test_what_is_under_way_is_answered_before_it_closes() -> None:
    begun = asyncio.Event()

    async def slowly(request: iso8583.Message) -> iso8583.Message:
        begun.set()
        await asyncio.sleep(0.1)
        return respond(request, "00")

    def answer(request: iso8583.Message, _peer: Peer) -> Coroutine[Any, Any, iso8583.Message]:
        return slowly(request)

    acceptor = Acceptor(CODEC, FRAMING, answer)
    await acceptor.start()
    async with line_to(acceptor) as line:
        line.send(network_message())
        await begun.wait()
        closing = asyncio.create_task(acceptor.close())
        answered = await line.receive()
        assert await line.closed()
        await closing

    assert answered.fields[39] == "00"
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", acceptor.port)


async def test_a_peer_that_reads_nothing_stops_being_read() -> None:
    async with Acceptor(CODEC, FRAMING, echo) as acceptor, line_to(acceptor) as line:
        line.writer.transport.set_write_buffer_limits(high=1 << 16)
        frames = b"".join(FRAMING.frame(CODEC.encode(network_message(number))) for number in range(1000))
        sent = 0
        while sent < 400:
            line.writer.write(frames)
            sent += 1
            try:
                await asyncio.wait_for(line.writer.drain(), 0.3)
            except TimeoutError:
                break
        assert sent < 400
        line.writer.transport.abort()


async def test_the_bytes_are_at_hand_while_a_request_is_answered() -> None:
    seen: list[bytes] = []

    def answer(request: iso8583.Message, peer: Peer) -> bytes:
        seen.append(peer.raw)
        return CODEC.encode(respond(request, "00"))

    async with Acceptor(CODEC, FRAMING, answer) as acceptor, line_to(acceptor) as line:
        line.send(network_message(5))
        answered = await line.receive()

    assert seen == [CODEC.encode(network_message(5))]
    assert answered.fields[11] == "000005"


async def test_with_tls_only_clients_with_a_certificate_are_heard(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "host", authority)
    certificate(tmp_path, "terminal-1", authority)
    names: list[str] = []

    def answer(request: iso8583.Message, peer: Peer) -> iso8583.Message | None:
        names.append(peer.certificate)
        return echo(request, peer)

    server = tls_context(tmp_path / "host.pem", tmp_path / "host.key", tmp_path / "authority.pem")
    known = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    known.load_cert_chain(tmp_path / "terminal-1.pem", tmp_path / "terminal-1.key")
    stranger = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    async with Acceptor(CODEC, FRAMING, answer, tls=server) as acceptor:
        async with line_to(acceptor, tls=known) as line:
            line.send(network_message())
            answered = await line.receive()
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            async with line_to(acceptor, tls=stranger) as line:
                line.send(network_message())
                await line.receive()

    assert answered.fields[39] == "00"
    assert names == ["terminal-1"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.binary(min_size=1, max_size=200).map(FRAMING.frame),
            st.tuples(st.integers(0, 40), st.binary(max_size=4)).map(
                lambda cut: FRAMING.frame(
                    CODEC.encode(network_message())[: cut[0]] + cut[1] + CODEC.encode(network_message())[cut[0] :]
                )
            ),
        ),
        max_size=6,
    )
)
def test_it_survives_whatever_is_sent(pieces: list[bytes]) -> None:
    async def story() -> str:
        async with Acceptor(CODEC, FRAMING, echo) as acceptor:
            async with line_to(acceptor) as line:
                for piece in pieces:
                    line.writer.write(piece)
                line.writer.write_eof()
                await line.closed()
            async with line_to(acceptor) as line:
                line.send(network_message())
                return (await line.receive()).fields[39]

    assert asyncio.run(story()) == "00"
