"""Connections and sessions: sign-on, echo, keep-alives, unreadable requests, authentication codes, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from shanraq.simulators.iso8583 import HostConfiguration, HostMac, Iso8583Host, Standing, server_tls
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.security import MacAlgorithm, compute_mac, mac_input
from tests.certificates import certificate
from tests.simulators.iso8583.acquirer import Acquirer

RRN = "000000000001"
KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")


async def test_without_a_sign_on_nothing_is_carried_out() -> None:
    async with Iso8583Host(HostConfiguration(require_sign_on=True)) as host:
        acquirer, other = await Acquirer.connect(host), await Acquirer.connect(host)
        purchase = acquirer.purchase(1000, RRN)
        assert await acquirer.code(purchase) == "91"

        assert await acquirer.code(acquirer.session("001")) == "00"

        assert host.signed_on == 1
        assert await acquirer.code(acquirer.repeat(purchase)) == "00"
        assert await other.code(other.purchase(1000)) == "91", "another connection has not signed on"
        assert await acquirer.code(acquirer.session("002")) == "00"
        assert await acquirer.code(acquirer.purchase(1000)) == "91"
        await acquirer.close()
        await other.close()


async def test_requests_before_a_sign_on_may_be_met_with_silence_and_a_sign_on_may_be_the_hosts() -> None:
    configuration = HostConfiguration(require_sign_on=True, unsigned="drop", sign_on_of="host")
    async with Iso8583Host(configuration) as host:
        acquirer, other = await Acquirer.connect(host), await Acquirer.connect(host)
        acquirer.tell(acquirer.purchase(1000))
        assert await acquirer.is_silent()
        await acquirer.say(acquirer.session("001"))

        assert await other.code(other.purchase(1000, RRN)) == "00"
        await acquirer.close()
        await other.close()


async def test_network_management_is_answered_by_its_code(acquirer: Acquirer) -> None:
    codes = [await acquirer.code(acquirer.session(code)) for code in ("001", "301", "161", "201", "002", "999")]

    assert codes == ["00", "00", "00", "00", "00", "40"]
    answer = await acquirer.say(acquirer.session("301"))
    assert (answer.mti, answer.fields[70]) == ("0810", "301")
    without = acquirer.session("301")
    del without.fields[70]
    assert await acquirer.code(without) == "30"


async def test_a_silent_connection_gets_an_echo_test_whose_answer_is_ignored() -> None:
    async with Iso8583Host(HostConfiguration(echo_after_seconds=0.1)) as host:
        acquirer = await Acquirer.connect(host)

        echo = await acquirer.hear(2.0)

        assert (echo.mti, echo.fields[70]) == ("0800", "301")
        acquirer.tell(Message("0810", echo.fields | {39: "00"}))
        assert await acquirer.code(acquirer.purchase(1)) == "00"
        assert host.counts["responses"] == 1
        assert host.send_echo() == 1
        assert (await acquirer.hear()).fields[11] != echo.fields[11]
        await acquirer.close()


@pytest.mark.parametrize(("framing", "frame"), [("cs", b"\0\0\0\x20"), ("ascii4", b"0000"), ("binary2", b"")])
async def test_a_silent_connection_gets_the_keep_alive_of_its_framing(framing: str, frame: bytes) -> None:
    async with Iso8583Host(HostConfiguration(framing=framing, keep_alive_after_seconds=0.1)) as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)

        if frame:
            assert await asyncio.wait_for(reader.readexactly(4), 2) == frame
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
        writer.close()


async def test_a_keep_alive_is_sent_back() -> None:
    async with Iso8583Host(HostConfiguration(framing="ascii4")) as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        writer.write(b"0000")

        assert await asyncio.wait_for(reader.readexactly(4), 2) == b"0000"
        writer.close()


async def test_an_unreadable_request_is_answered_as_far_as_it_was_read(host: Iso8583Host, acquirer: Acquirer) -> None:
    request = acquirer.purchase(1000, RRN)
    raw = acquirer.codec.encode(request)
    for broken in (raw[:-1], raw + b"!", raw.replace(b"398", b"39x")):
        acquirer.writer.write(acquirer.framing.frame(broken))

        answer = await acquirer.hear()

        assert (answer.mti, answer.fields[39], answer.fields[11]) == ("0210", "30", request.fields[11])
    acquirer.writer.write(acquirer.framing.frame(b"what?"))
    assert await acquirer.is_silent()
    assert await acquirer.code(request) == "00"
    assert host.counts["unreadable"] == 4


async def test_a_stream_that_cannot_be_followed_is_cut() -> None:
    async with Iso8583Host(HostConfiguration(framing="ascii4")) as host:
        acquirer = await Acquirer.connect(host)
        acquirer.writer.write(b"GET / HTTP/1.1\r\n\r\n")

        assert await acquirer.has_hung_up()
        assert host.counts["lost_frames"] == 1


async def test_a_mistake_of_the_hosts_own_is_no_answer_and_tells_nothing(
    host: Iso8583Host, acquirer: Acquirer, capfd: pytest.CaptureFixture[str]
) -> None:
    def stumble(_: Message) -> bool:
        raise RuntimeError("4000000000000002")

    host.fail_next("slow", stumble)
    acquirer.tell(acquirer.purchase(1))

    assert await acquirer.is_silent()
    assert await acquirer.code(acquirer.session("301")) == "00"
    assert host.counts["mistakes"] == 1
    assert "4000000000000002" not in capfd.readouterr().out


async def test_an_address_that_is_taken_is_refused_and_the_journal_left(host: Iso8583Host, tmp_path: Path) -> None:
    other = Iso8583Host(HostConfiguration(port=host.port, journal=tmp_path / "journal"))
    with pytest.raises(OSError):
        await other.start()
    await host.stop()

    assert await other.start() == other.port
    await other.stop()


async def test_old_answers_are_written_anew() -> None:
    async with Iso8583Host(HostConfiguration(kept_answers=2)) as host:
        acquirer = await Acquirer.connect(host)
        requests = [acquirer.purchase(number, f"{number:012d}") for number in range(1, 6)]
        acquirer.tell(*requests)
        answers = [await acquirer.raw() for _ in requests]

        acquirer.tell(*requests)

        assert [await acquirer.raw() for _ in requests] == answers
        assert len(host._answers) == 2
        await acquirer.close()


async def test_too_many_connections_are_refused() -> None:
    async with Iso8583Host(HostConfiguration(connections=1)) as host:
        first = await Acquirer.connect(host)
        assert await first.code(first.session("301")) == "00"

        second = await Acquirer.connect(host)

        assert await second.has_hung_up()
        assert await first.code(first.session("301")) == "00"
        await first.close()


async def test_a_stopped_host_comes_back_at_its_port_with_what_it_knew() -> None:
    host = Iso8583Host()
    port = await host.start()
    acquirer = await Acquirer.connect(host)
    original = acquirer.authorization(1000, RRN)
    await acquirer.say(original)
    await host.stop()
    await host.stop()
    assert await acquirer.has_hung_up()

    assert await host.start() == port

    again = await Acquirer.connect(host)
    assert await again.code(again.completion(original, 400, de11="000777")) == "00"
    assert host.standing(RRN) == Standing(1, 400, 0, 600)
    host.disconnect()
    assert await again.has_hung_up()
    await host.stop()


async def test_messages_of_ones_own_can_be_sent(host: Iso8583Host, acquirer: Acquirer) -> None:
    await acquirer.say(acquirer.session("301"))

    assert host.send(Message("0820", {7: "0401123045", 11: "000001", 70: "201"})) == 1
    assert (await acquirer.hear()).mti == "0820"


async def test_the_requests_of_one_read_are_answered_in_one_go_and_in_order(acquirer: Acquirer) -> None:
    requests = [acquirer.purchase(1, f"{number:012d}") for number in range(500)]
    acquirer.tell(*requests)

    answers = [await acquirer.hear() for _ in requests]

    assert [answer.fields[11] for answer in answers] == [request.fields[11] for request in requests]


async def test_a_client_that_does_not_read_its_answers_is_not_read_from_until_it_does(
    host: Iso8583Host, acquirer: Acquirer
) -> None:
    frame = acquirer.frame(acquirer.purchase(1))
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, ("127.0.0.1", host.port))
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 500_000:
                await asyncio.wait_for(loop.sock_sendall(plain, frame * 500), 2.0)
                sent += 500
        stuck = host.counts["received"]
        assert await acquirer.code(acquirer.session("301")) == "00"
        assert host.counts["received"] == stuck + 1, "nothing more is taken in from who does not read"

        read = 0
        while host.counts["received"] < stuck + 100:
            read += len(await asyncio.wait_for(loop.sock_recv(plain, 1 << 20), 5.0))
        assert read > 0


# Message authentication.


def sealed(acquirer: Acquirer, message: Message, mac: HostMac) -> Message:
    fields = message.fields | {128 if max(message.fields) > 64 else 64: "00" * 8}
    message = Message(message.mti, fields, header=message.header)
    number = max(fields)
    covered = mac_input(acquirer.codec, acquirer.codec.encode(message))
    code = compute_mac(mac.algorithm, mac.key, covered, padding=mac.padding)[: mac.size]
    message.fields[number] = code.ljust(8, b"\0").hex().upper()
    return message


MACS = [
    HostMac(KEY),
    HostMac(KEY, MacAlgorithm.CBC, padding=2, size=4),
    HostMac(KEY, MacAlgorithm.CMAC),
]


@pytest.mark.parametrize("mac", MACS)
async def test_right_codes_are_taken_and_answers_carry_one(mac: HostMac) -> None:
    async with Iso8583Host(HostConfiguration(mac=mac)) as host:
        acquirer = await Acquirer.connect(host)
        original = sealed(acquirer, acquirer.purchase(1000, RRN), mac)

        answer = await acquirer.say(original)

        assert answer.fields[39] == "00"
        assert answer == sealed(acquirer, Message("0210", without_mac(answer)), mac)
        reversal = sealed(acquirer, acquirer.reversal(original), mac)
        assert 128 in reversal.fields
        assert await acquirer.code(reversal) == "00"
        assert host.standing(RRN) == Standing()
        assert "0123" not in repr(host.configuration)
        await acquirer.close()


def without_mac(message: Message) -> dict[int, str]:
    return {number: value for number, value in message.fields.items() if number not in (64, 128)}


@pytest.mark.parametrize("on_failure", ["drop", "refuse"])
async def test_a_wrong_or_missing_code_is_never_a_decline(on_failure: Literal["drop", "refuse"]) -> None:
    mac = HostMac(KEY, on_failure=on_failure)
    async with Iso8583Host(HostConfiguration(mac=mac)) as host:
        acquirer = await Acquirer.connect(host)
        bare = acquirer.purchase(1000, RRN)
        right = sealed(acquirer, bare, mac)
        wrong = Message(right.mti, right.fields | {64: "0" * 16})
        changed = Message(right.mti, right.fields | {4: "000000999999"})
        for message in (bare, wrong, changed):
            acquirer.tell(message)
            if on_failure == "refuse":
                assert (await acquirer.hear()).fields[39] == "96"
            else:
                assert await acquirer.is_silent(0.05)

        assert host.standing(RRN) == Standing()
        assert await acquirer.code(right) == "00"
        await acquirer.close()


async def test_sessions_may_come_without_a_code_but_not_with_a_wrong_one() -> None:
    mac = HostMac(KEY)
    async with Iso8583Host(HostConfiguration(mac=mac)) as host:
        acquirer = await Acquirer.connect(host)
        echo = acquirer.session("301")

        assert 128 not in (await acquirer.say(echo)).fields
        assert 128 in (await acquirer.say(sealed(acquirer, echo, mac))).fields
        acquirer.tell(Message("0800", echo.fields | {128: "0" * 16}))
        assert await acquirer.is_silent()
        host.send_echo()
        assert 128 not in (await acquirer.hear()).fields
        await acquirer.close()


async def test_answers_may_have_a_key_of_their_own() -> None:
    mac = HostMac(KEY, response_key=KEY[::-1])
    async with Iso8583Host(HostConfiguration(mac=mac)) as host:
        acquirer = await Acquirer.connect(host)
        answer = await acquirer.say(sealed(acquirer, acquirer.purchase(1000), mac))

        expected = sealed(acquirer, Message("0210", without_mac(answer)), replace(mac, key=KEY[::-1]))

        assert answer.fields[64] == expected.fields[64]
        await acquirer.close()


def test_a_code_has_four_or_eight_bytes() -> None:
    with pytest.raises(ValueError, match="4 or 8"):
        HostMac(KEY, size=5)


# TLS.


async def test_tls_lets_in_who_has_a_certificate(tmp_path: Path) -> None:
    ours, theirs = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    own = certificate(tmp_path, "host", ours)
    async with Iso8583Host(HostConfiguration(ssl=server_tls(own.file, own.key_file, ours.file))) as host:
        trusting = ssl.create_default_context(cafile=str(ours.file))
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            stranger = await Acquirer.connect(host, trusting)
            await stranger.say(stranger.session("301"))
        foreign = certificate(tmp_path, "stranger", theirs)
        trusting.load_cert_chain(foreign.file, foreign.key_file)
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            stranger = await Acquirer.connect(host, trusting)
            await stranger.say(stranger.session("301"))
        known = ssl.create_default_context(cafile=str(ours.file))
        client = certificate(tmp_path, "client", ours)
        known.load_cert_chain(client.file, client.key_file)

        acquirer = await Acquirer.connect(host, known)

        assert await acquirer.code(acquirer.purchase(1000, RRN)) == "00"
        assert host.standing(RRN).captured == 1000
        await acquirer.close()


async def test_tls_without_client_certificates(tmp_path: Path) -> None:
    ours = certificate(tmp_path, "ours")
    own = certificate(tmp_path, "host", ours)
    async with Iso8583Host(HostConfiguration(ssl=server_tls(own.file, own.key_file))) as host:
        acquirer = await Acquirer.connect(host, ssl.create_default_context(cafile=str(ours.file)))

        assert await acquirer.code(acquirer.session("301")) == "00"
        await acquirer.close()
