"""Connections are shared, bounded, never lost, and never make a request be sent twice unasked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from shanraq.core.http import (
    Address,
    ClientClosedError,
    ConnectTimeoutError,
    HttpClient,
    HttpError,
    RefusedConnectionError,
    Request,
    ResetConnectionError,
    Response,
    TcpConnector,
)
from tests.core.http_peers import OK, Call, Script, Server, answering, serving


def get(server: Server, path: str = "/in", *, replay_on_stale: bool = False) -> Request:
    return Request("GET", f"http://127.0.0.1:{server.port}{path}", replay_on_stale=replay_on_stale)


def answering_first_of_each_connection(*, then: Callable[[Call], None] = Call.hang_up) -> Script:
    """Answer the first request of a connection, and do something else with the second."""
    seen: set[int] = set()

    async def script(call: Call) -> None:
        if call.connection in seen:
            then(call)
        else:
            seen.add(call.connection)
            await call.send(OK)

    return script


async def outcome(sending: asyncio.Task[Response]) -> Response | HttpError:
    try:
        return await sending
    except HttpError as error:
        return error


async def test_connection_is_reused() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient()
        for _ in range(5):
            await client.send(get(server), 5)
        await client.close()

    assert (len(server.requests), server.connections) == (5, 1)


async def test_connection_used_last_is_used_next() -> None:
    used: list[int] = []
    gate = asyncio.Event()

    async def script(call: Call) -> None:
        used.append(call.connection)
        if b"/slow" in call.request:
            await gate.wait()
        await call.send(OK)

    async with serving(script) as server:
        client = HttpClient()
        slow = asyncio.ensure_future(client.send(get(server, "/slow"), 5))
        await server.until(lambda server: len(server.requests) == 1)
        await client.send(get(server), 5)
        gate.set()
        await slow
        for _ in range(3):
            await client.send(get(server), 5)
        await client.close()

    assert used == [1, 2, 1, 1, 1]


async def test_connections_are_not_shared_between_origins() -> None:
    async with serving(answering(OK)) as one, serving(answering(OK)) as other:
        client = HttpClient()
        for server in (one, other, one):
            await client.send(get(server), 5)
        await client.close()

    assert (one.connections, other.connections) == (1, 1)


async def test_connections_of_an_origin_are_bounded_and_all_are_served() -> None:
    most = 0

    async def script(call: Call) -> None:
        nonlocal most
        most = max(most, server.open)
        await asyncio.sleep(0.001)
        await call.send(OK)

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=3)
        answers = await asyncio.gather(*(client.send(get(server), 10) for _ in range(40)))
        await client.close()

    assert [answer.status for answer in answers] == [200] * 40
    assert (most, server.connections) == (3, 3)


async def test_waiting_for_a_connection_counts_into_the_deadline() -> None:
    gate = asyncio.Event()

    async def script(call: Call) -> None:
        await gate.wait()
        await call.send(OK)

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=1)
        first = asyncio.ensure_future(client.send(get(server), 10))
        await server.until(lambda server: len(server.requests) == 1)
        with pytest.raises(ConnectTimeoutError) as late:
            await client.send(get(server), 0.05)
        gate.set()
        await first
        after = await client.send(get(server), 10)
        await client.close()

    assert not late.value.sent
    assert after.status == 200
    assert (len(server.requests), server.connections) == (2, 1)


# Connections that die.


async def test_connection_closed_by_the_server_while_idle_is_not_used() -> None:
    async def script(call: Call) -> None:
        await call.send(OK)
        call.hang_up()

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=1)
        for number in range(1, 4):
            await client.send(get(server), 5)
            await server.until(lambda server: server.open == 0)
            await asyncio.sleep(0.01)
            assert server.connections == number
        await client.close()


async def test_request_on_a_dead_connection_is_not_sent_twice_unasked() -> None:
    async with serving(answering_first_of_each_connection()) as server:
        client = HttpClient()
        await client.send(get(server, "/1"), 5)
        with pytest.raises(ResetConnectionError) as died:
            await client.send(get(server, "/2"), 5)
        await client.close()

    assert died.value.sent
    assert len(server.requests) == 2


async def test_request_on_a_dead_connection_is_sent_again_if_it_allows_it() -> None:
    async with serving(answering_first_of_each_connection()) as server:
        client = HttpClient(connections_per_origin=1)
        await client.send(get(server, "/1"), 5)
        again = await client.send(get(server, "/2", replay_on_stale=True), 5)
        await client.close()

    assert again.status == 200
    assert (len(server.requests), server.connections) == (3, 2)


async def test_replay_takes_a_new_connection_though_others_are_idle() -> None:
    gate = asyncio.Event()
    played = answering_first_of_each_connection()

    async def script(call: Call) -> None:
        if call.number <= 2:
            await gate.wait()
        await played(call)

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=2)
        both = [asyncio.ensure_future(client.send(get(server), 5)) for _ in range(2)]
        await server.until(lambda server: len(server.requests) == 2)
        gate.set()
        await asyncio.gather(*both)
        again = await client.send(get(server, replay_on_stale=True), 5)
        await client.close()

    assert again.status == 200
    assert server.connections == 3


async def test_replay_happens_once() -> None:
    async def script(call: Call) -> None:
        if call.number == 1:
            await call.send(OK)
        else:
            call.hang_up()

    async with serving(script) as server:
        client = HttpClient()
        await client.send(get(server), 5)
        with pytest.raises(ResetConnectionError):
            await client.send(get(server, replay_on_stale=True), 5)
        await client.close()

    assert len(server.requests) == 3


async def test_replay_that_cannot_connect_still_tells_that_the_request_was_sent() -> None:
    class Once(TcpConnector):
        used = False

        async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
            if self.used:
                raise ConnectionRefusedError
            self.used = True
            return await super().connect(address, port)

    async with serving(answering_first_of_each_connection()) as server:
        client = HttpClient(connector=Once())
        await client.send(get(server), 5)
        with pytest.raises(RefusedConnectionError) as refused:
            await client.send(get(server, replay_on_stale=True), 5)
        await client.close()

    assert refused.value.sent


async def test_answer_before_the_request_was_written_ends_the_connection() -> None:
    connections = 0

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer_early, "127.0.0.1", 0)
    request = Request("POST", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", (), bytes(16 << 20))
    client = HttpClient()
    answers = [await client.send(request, 5) for _ in range(2)]
    await client.close()
    server.close()

    assert [answer.status for answer in answers] == [413, 413]
    assert connections == 2


async def test_new_connection_that_dies_is_not_replaced() -> None:
    async def script(call: Call) -> None:
        call.hang_up()

    async with serving(script) as server:
        client = HttpClient()
        with pytest.raises(ResetConnectionError):
            await client.send(get(server, replay_on_stale=True), 5)
        await client.close()

    assert len(server.requests) == 1


async def test_connection_that_dies_inside_the_response_is_not_replaced() -> None:
    async def script(call: Call) -> None:
        if call.number == 1:
            await call.send(OK)
        else:
            await call.send(b"HTTP/1.1 2")
            call.hang_up()

    async with serving(script) as server:
        client = HttpClient()
        await client.send(get(server), 5)
        with pytest.raises(ResetConnectionError):
            await client.send(get(server, replay_on_stale=True), 5)
        await client.close()

    assert len(server.requests) == 2


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def script(call: Call) -> None:
        await call.send(OK)
        await asyncio.sleep(0.01)
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    async with serving(script) as server:
        client = HttpClient()
        await client.send(get(server), 5)
        await server.until(lambda server: server.open == 0)
        second = await client.send(get(server), 5)
        await client.close()

    assert (second.body, server.connections) == (b"ok", 2)


async def test_second_response_in_the_same_bytes_is_not_looked_at() -> None:
    async with serving(answering(OK + b"HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nevil")) as server:
        client = HttpClient()
        answers = [await client.send(get(server), 5) for _ in range(2)]
        await client.close()

    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok")] * 2
    assert server.connections == 2


# How long connections are kept.


async def test_idle_connections_are_closed() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient(idle_seconds=0.05)
        await client.send(get(server), 5)
        await server.until(lambda server: server.open == 0)
        await client.send(get(server), 5)
        await client.close()

    assert server.connections == 2


async def test_old_connections_are_closed() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient(max_age_seconds=0.05)
        await client.send(get(server), 5)
        await asyncio.sleep(0.06)
        await client.send(get(server), 5)
        await client.close()

    assert server.connections == 2


async def test_idle_connections_of_all_origins_are_bounded() -> None:
    async with serving(answering(OK)) as one, serving(answering(OK)) as other:
        client = HttpClient(idle_connections=1)
        for server in (one, other):
            await client.send(get(server), 5)
        await other.until(lambda server: server.open == 0)
        await client.send(get(one), 5)
        await client.close()

    assert one.connections == 1


async def test_dead_connections_leave_room_for_others() -> None:
    async def script(call: Call) -> None:
        await call.send(OK)
        call.hang_up()

    async with serving(script) as closing, serving(answering(OK)) as keeping:
        client = HttpClient(idle_connections=1)
        await client.send(get(closing), 5)
        await closing.until(lambda server: server.open == 0)
        await asyncio.sleep(0.01)
        for _ in range(2):
            await client.send(get(keeping), 5)
        await client.close()

    assert keeping.connections == 1


async def test_origins_that_nobody_uses_are_forgotten() -> None:
    async with serving(answering(OK)) as server:
        client = HttpClient(idle_seconds=0.02)
        await client.send(get(server), 5)
        kept = len(client._pools)
        await server.until(lambda server: server.open == 0)
        left = len(client._pools)
        await client.close()

    assert (kept, left) == (1, 0)


# Cancelling and closing.


async def test_cancelled_send_closes_its_connection_and_gives_its_place_back() -> None:
    async def script(call: Call) -> None:
        if b"/silent" not in call.request:
            await call.send(OK)

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=1)
        silent = asyncio.ensure_future(client.send(get(server, "/silent"), 30))
        waiting = asyncio.ensure_future(client.send(get(server), 5))
        await server.until(lambda server: len(server.requests) == 1)
        silent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await silent
        answer = await waiting
        await server.until(lambda server: server.open == 1)
        await client.close()

    assert answer.status == 200
    assert server.connections == 2


async def test_cancelling_while_connecting_gives_the_place_back() -> None:
    hangs = asyncio.Event()

    class HangsOnce(TcpConnector):
        async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
            if not hangs.is_set():
                hangs.set()
                await asyncio.Event().wait()
            return await super().connect(address, port)

    async with serving(answering(OK)) as server:
        client = HttpClient(connector=HangsOnce(), connections_per_origin=1)
        hanging = asyncio.ensure_future(client.send(get(server), 30))
        await hangs.wait()
        hanging.cancel()
        answer = await client.send(get(server), 5)
        await client.close()

    assert answer.status == 200


async def test_cancelling_at_any_moment_loses_no_place() -> None:
    async def script(call: Call) -> None:
        await asyncio.sleep(0)
        await call.send(OK[:10], OK[10:])

    async with serving(script) as server:
        client = HttpClient(connections_per_origin=2)
        for steps in range(60):
            tasks = [asyncio.ensure_future(client.send(get(server, replay_on_stale=True), 5)) for _ in range(4)]
            for _ in range(steps % 30):
                await asyncio.sleep(0)
            for task in tasks[steps % 2 :: 2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            answers = await asyncio.gather(*(client.send(get(server, replay_on_stale=True), 5) for _ in range(4)))
            assert [answer.body for answer in answers] == [b"ok"] * 4
        await client.close()
        await server.until(lambda server: server.open == 0)


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    async with serving(answering()) as server:
        client = HttpClient(connections_per_origin=1)
        under_way, waiting = (asyncio.ensure_future(client.send(get(server), 30)) for _ in range(2))
        await server.until(lambda server: len(server.requests) == 1)
        await client.close()
        results = [await outcome(under_way), await outcome(waiting)]
        await server.until(lambda server: server.open == 0)

    assert isinstance(results[0], ResetConnectionError)
    assert results[0].sent
    assert isinstance(results[1], ClientClosedError)
    assert not results[1].sent


async def test_closing_while_connecting_leaves_nothing_open() -> None:
    connecting, go_on = asyncio.Event(), asyncio.Event()

    class Slow(TcpConnector):
        async def connect(self, address: Address, port: int) -> tuple[socket.socket, Address]:
            connecting.set()
            await go_on.wait()
            return await super().connect(address, port)

    async with serving(answering(OK)) as server:
        client = HttpClient(connector=Slow())
        sending = asyncio.ensure_future(client.send(get(server), 5))
        await connecting.wait()
        await client.close()
        go_on.set()
        result = await outcome(sending)
        await server.until(lambda server: server.open == 0)

    assert isinstance(result, ClientClosedError)
    assert server.requests == []


async def test_works_on_uvloop() -> None:
    async def scenario() -> tuple[list[int], int]:
        async with serving(answering_first_of_each_connection()) as server:
            client = HttpClient()
            answers = [await client.send(get(server, replay_on_stale=True), 5) for _ in range(3)]
            await client.close()
            return [answer.status for answer in answers], server.connections

    def run() -> tuple[list[int], int]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scenario())

    assert await asyncio.to_thread(run) == ([200, 200, 200], 3)
