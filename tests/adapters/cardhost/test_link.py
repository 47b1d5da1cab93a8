"""A link to a host: matching, lateness, silence, loss of connections, sign-on, echo tests, TLS."""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from shanraq.adapters.cardhost import DuplicateKeyError, Link, LinkConfiguration, NoAnswerError, NotSentError, Session
from shanraq.adapters.cardhost.link import Choice
from shanraq.adapters.cardhost.matching import InvalidMatchingKeyError, Matcher
from shanraq.core import log
from shanraq.standards.iso8583 import Iso8583Error, Message, codec, framing
from shanraq.standards.iso8583.flow import respond
from tests.adapters.cardhost.peer import Peer, listening

CODEC = codec("iso87_asciibin")
FRAMING = framing("binary2")
CARD = "4111111111111111"


def purchase(stan: int, **fields: str) -> Message:
    own = {2: CARD, 3: "000000", 4: "000000001500", 7: "1126120000", 11: f"{stan:06d}", 41: "TERM0001"}
    own |= {int(number[2:]): value for number, value in fields.items()}
    return Message("0200", dict(sorted(own.items())))


def configuration(port: int, **changes: Any) -> LinkConfiguration:
    made = LinkConfiguration(
        "test", (("127.0.0.1", port),), FRAMING, timeout_seconds=2.0, wait_seconds=1.0, echo_after_seconds=None,
        echo_timeout_seconds=0.5, reconnect_seconds=(0.02, 0.1),
    )  # fmt: skip
    return replace(made, **changes)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with listening(CODEC, FRAMING) as made:
        yield made


@pytest.fixture
async def link(peer: Peer) -> AsyncIterator[Link]:
    made = Link(configuration(peer.port), CODEC)
    await made.open()
    yield made
    await made.close()


async def test_an_answer_comes_back_to_its_request(link: Link, peer: Peer) -> None:
    answers = await asyncio.gather(*(link.request(purchase(stan)) for stan in range(200)))

    assert [(answer.mti, answer.fields[11], answer.fields[39]) for answer in answers] == [
        ("0210", f"{stan:06d}", "00") for stan in range(200)
    ]
    assert link.status.awaited == 0


async def test_answers_in_another_order_find_their_requests(link: Link, peer: Peer) -> None:
    held: list[Message] = []

    def reversed_order(request: Message) -> list[Message | bytes]:
        held.append(respond(request, "00"))
        return list(reversed(held)) if len(held) == 10 else []

    peer.reply = reversed_order
    answers = await asyncio.gather(*(link.request(purchase(stan)) for stan in range(10)))

    assert [answer.fields[11] for answer in answers] == [f"{stan:06d}" for stan in range(10)]


async def test_the_same_trace_number_at_another_terminal_is_another_request(link: Link, peer: Peer) -> None:
    first, second = await asyncio.gather(
        link.request(purchase(7)), link.request(purchase(7, de41="TERM0002", de4="000000000200"))
    )

    assert (first.fields[4], second.fields[4]) == ("000000001500", "000000000200")


async def test_a_key_that_is_awaited_is_refused(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: []
    waiting = asyncio.create_task(link.request(purchase(1), timeout_seconds=0.3))
    await until(lambda: link.status.awaited == 1)

    with pytest.raises(DuplicateKeyError):
        await link.request(purchase(1))
    with pytest.raises(NoAnswerError):
        await waiting

    assert len(peer.said("0200")) == 1
    assert link.status.counters.duplicates_refused == 1


async def test_silence_is_no_answer_and_what_comes_late_is_recorded_not_delivered(link: Link, peer: Peer) -> None:
    late: list[Message] = []
    link.on_late = late.append
    peer.reply = lambda request: []

    with pytest.raises(NoAnswerError, match="in time"):
        await link.request(purchase(1), timeout_seconds=0.05)
    peer.say(respond(purchase(1), "00"))
    await until(lambda: bool(late))

    assert late[0].fields[11] == "000001"
    assert (link.status.counters.late, link.status.counters.timed_out, link.status.awaited) == (1, 1, 0)


async def test_deadlines_of_different_length_end_in_their_order(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: []
    ended: list[float] = []

    async def ask(stan: int, seconds: float) -> None:
        with pytest.raises(NoAnswerError):
            await link.request(purchase(stan), timeout_seconds=seconds)
        ended.append(seconds)

    await asyncio.gather(*(ask(stan, seconds) for stan, seconds in enumerate((0.3, 0.1, 0.2, 0.05))))

    assert ended == [0.05, 0.1, 0.2, 0.3]


async def test_an_answer_that_fits_nothing_is_explained(link: Link, peer: Peer) -> None:
    shown = io.StringIO()
    log.configure("warning", json=True, stream=shown)
    peer.reply = lambda request: [respond(purchase(int(request.fields[11]), de41="OTHER   "), "00")]
    try:
        with pytest.raises(NoAnswerError):
            await link.request(purchase(1), timeout_seconds=0.1)
    finally:
        log.configure("error", json=True)

    assert link.status.counters.unmatched == 1
    assert "DE41 differs" in shown.getvalue()
    assert CARD not in shown.getvalue()


async def test_a_second_answer_is_not_delivered_again(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: [respond(request, "00"), respond(request, "05")]

    answer = await link.request(purchase(1))
    await until(lambda: link.status.counters.unmatched == 1)

    assert answer.fields[39] == "00"


async def test_an_unreadable_answer_ends_the_request_it_can_be_told_to_belong_to(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: [CODEC.encode(respond(request, "00"))[:-1]]

    with pytest.raises(NoAnswerError):
        await link.request(purchase(1), timeout_seconds=0.3)

    assert link.status.counters.unreadable == 1


async def test_a_lost_connection_ends_what_was_sent_over_it_and_comes_back(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: []
    waiting = [asyncio.create_task(link.request(purchase(stan))) for stan in range(5)]
    await until(lambda: len(peer.said("0200")) == 5)

    peer.hang_up()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    peer.reply = lambda request: [respond(request, "00")]
    again = await link.request(purchase(9))

    assert {type(outcome) for outcome in outcomes} == {NoAnswerError}
    assert link.status.counters.timed_out == 0
    assert again.fields[39] == "00"
    assert link.status.counters.connects == 2


async def test_nothing_leaves_when_nobody_listens() -> None:
    link = Link(configuration(9, wait_seconds=0.1), CODEC)
    await link.open()

    with pytest.raises(NotSentError):
        await link.request(purchase(1))

    assert not await link.test()
    await link.close()


async def test_closes_at_whatever_moment_a_connection_is_refused() -> None:
    # A hanging close would hang its canceller too: what is asked is whether it ended, not waited for.
    moments = random.Random(4)
    for _ in range(300):
        link = Link(configuration(9, reconnect_seconds=(0.0001, 0.0002)), CODEC)
        await link.open()
        await asyncio.sleep(moments.uniform(0, 0.003))
        closing = asyncio.create_task(link.close())
        done, _ = await asyncio.wait({closing}, timeout=20)
        assert done


async def test_what_cannot_be_written_is_not_sent(link: Link, peer: Peer) -> None:
    with pytest.raises(Iso8583Error):
        await link.request(Message("0200", {4: "12"}))

    assert peer.said("0200") == []
    assert link.status.awaited == 0


async def test_signs_on_before_anything_else_and_off_at_the_end(peer: Peer) -> None:
    link = Link(configuration(peer.port), CODEC)
    await link.open()
    await link.request(purchase(1))
    await link.close()

    assert [(message.mti, message.fields.get(70)) for message in peer.heard] == [
        ("0800", "001"), ("0200", None), ("0800", "002"),
    ]  # fmt: skip


async def test_a_refused_sign_on_is_tried_again(peer: Peer) -> None:
    peer.manage = lambda request: [respond(request, "05" if len(peer.heard) < 3 else "00")]
    link = Link(configuration(peer.port), CODEC)
    await link.open()

    answer = await link.request(purchase(1))
    await link.close()

    assert answer.fields[39] == "00"
    assert link.status.counters.connection_failures == 2


async def test_an_idle_line_is_tested_and_given_up_when_it_is_dead(peer: Peer) -> None:
    link = Link(configuration(peer.port, echo_after_seconds=0.05, echo_timeout_seconds=0.1), CODEC)
    await link.open()
    await until(lambda: len([message for message in peer.heard if message.fields.get(70) == "301"]) >= 2)

    peer.manage = lambda request: [] if request.fields[70] == "301" else [respond(request, "00")]
    await until(lambda: link.status.counters.connects >= 2)
    await link.close()


async def test_answers_network_management_of_the_host(link: Link, peer: Peer) -> None:
    await link.request(purchase(1))
    peer.say(Message("0800", {7: "1126120000", 11: "000777", 70: "301"}))
    await until(lambda: bool(peer.said("0810")))

    assert peer.said("0810")[0].fields == {7: "1126120000", 11: "000777", 39: "00", 70: "301"}


async def test_other_requests_of_the_host_go_to_who_can_answer_them(peer: Peer) -> None:
    link = Link(configuration(peer.port), CODEC, answer=lambda request: respond(request, "12"))
    await link.open()
    await link.request(purchase(1))
    peer.say(purchase(5))
    await until(lambda: bool(peer.said("0210")))
    await link.close()

    assert peer.said("0210")[0].fields[39] == "12"


async def test_takes_turns_over_its_connections(peer: Peer) -> None:
    link = Link(configuration(peer.port, connections=3, choice=Choice.ROUND_ROBIN), CODEC)
    await link.open()
    await until(lambda: link.status.online == 3)
    await asyncio.gather(*(link.request(purchase(stan)) for stan in range(30)))
    peer.hang_up()
    await until(lambda: link.status.counters.connects == 6)
    answer = await link.request(purchase(99))
    await link.close()

    assert answer.fields[39] == "00"
    assert link.status.online == 0


async def test_goes_to_the_next_address_when_one_is_down(peer: Peer) -> None:
    link = Link(replace(configuration(peer.port), addresses=(("127.0.0.1", 9), ("127.0.0.1", peer.port))), CODEC)
    await link.open()

    answer = await link.request(purchase(1))
    await link.close()

    assert answer.fields[39] == "00"


async def test_a_host_that_hangs_up_on_everybody_is_not_called_all_the_time(peer: Peer) -> None:
    link = Link(configuration(peer.port, session=Session(None, None, None), reconnect_seconds=(0.05, 0.2)), CODEC)
    await link.open()
    for _ in range(100):
        peer.hang_up()
        await asyncio.sleep(0.01)
    await link.close()

    assert 2 <= link.status.counters.connects <= 15


async def test_a_stream_that_cannot_be_followed_is_left(peer: Peer) -> None:
    text = framing("ascii4")
    async with listening(CODEC, text) as other:
        link = Link(configuration(other.port, framing=text, session=Session(None, None, None)), CODEC)
        await link.open()
        await link.request(purchase(1))
        other.writers[-1].write(b"junk")
        await until(lambda: link.status.counters.connects == 2)
        await link.close()


async def test_a_cancelled_request_leaves_nothing_behind(link: Link, peer: Peer) -> None:
    peer.reply = lambda request: []
    waiting = asyncio.create_task(link.request(purchase(1)))
    await until(lambda: link.status.awaited == 1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    peer.say(respond(purchase(1), "00"))
    await until(lambda: link.status.counters.late == 1)

    assert link.status.awaited == 0


async def test_closing_ends_what_is_awaited(peer: Peer) -> None:
    peer.reply = lambda request: []
    link = Link(configuration(peer.port), CODEC)
    await link.open()
    waiting = asyncio.create_task(link.request(purchase(1)))
    await until(lambda: link.status.awaited == 1)
    await link.close()

    with pytest.raises(NoAnswerError, match="closed"):
        await waiting


@pytest.mark.parametrize("elements", [(11,), (7, 41), (11, 2), (11, 35), (11, 11), (1, 11)])
def test_a_key_needs_the_trace_number_and_more_and_nothing_of_the_card(elements: tuple[int, ...]) -> None:
    with pytest.raises(InvalidMatchingKeyError):
        Matcher(elements)
