"""The card host adapter: the suite of every adapter over the host simulator, and what only a host brings."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shanraq.adapters.cardhost import (
    CardHostAdapter,
    CardHostConfiguration,
    Link,
    LinkConfiguration,
    Merchant,
    Session,
    Wording,
    list_queue,
    queue_again,
)
from shanraq.adapters.cardhost.wire import LayoutUnfitError, Trace, keepable
from shanraq.core import log
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.money import Money
from shanraq.core.secret import Pan
from shanraq.payments.adapter import (
    Adapter,
    Approved,
    Capture,
    Card,
    NotFound,
    NotProcessed,
    OperationKind,
    Refund,
    Reverse,
    Unknown,
)
from shanraq.simulators.iso8583 import FAULTS, HostConfiguration, HostMac, Iso8583Host, Standing, trigger_card
from shanraq.standards.iso8583 import Codec, Message, framing, layout
from shanraq.standards.iso8583.flow import respond
from shanraq.standards.iso8583.security import Cipher, MacAlgorithm, MessageAuthentication, SoftwareModule
from tests.adapters.cardhost.peer import listening
from tests.conformance.adapter_suite import AMOUNT, AdapterSuite, lost_of, operation_id

KEYRING = Keyring.generate()
SESSIONS = {"visa": Session("071", "072", "301"), "mastercard": Session("061", "062", "270")}
MERCHANT = Merchant("TERM0001", "SHANRAQ00000001", "398001")
MERCHANTS = {
    "visa": replace(MERCHANT, security_code_at="126.10"), "mastercard": replace(MERCHANT, security_code_at="48.92"),
}  # fmt: skip
CODES = {
    "005": "do_not_honor", "014": "invalid_account", "041": "stolen_or_lost", "043": "stolen_or_lost",
    "051": "insufficient_funds", "054": "expired_card", "057": "not_permitted", "061": "limit_exceeded",
    "062": "not_permitted", "065": "limit_exceeded", "075": "limit_exceeded", "091": "issuer_unavailable",
    "096": "processor_unavailable", "107": "cvv_mismatch", "030": "merchant_config",
}  # fmt: skip


@dataclass
class HostWorld:
    """The host simulator as the suite's world."""

    host: Iso8583Host
    database: Database
    adapters: list[CardHostAdapter] = field(default_factory=list)
    good_card: str = "4111111111111111"
    review_card: str | None = None
    risk_declined_card: str | None = None
    can_be_asked: bool = False
    troubles: tuple[str, ...] = ("garbage", "unmatched", "late", "wrong_mti", "bad_frame", "cut_frame")
    partial_amount: Money | None = field(default_factory=lambda: Money.of(999_010, "KZT"))
    declining_cards: Mapping[str, str] = field(
        default_factory=lambda: {trigger_card(number): code for number, code in CODES.items()}
    )
    rrns: dict[str, list[str]] = field(default_factory=dict)
    heard: list[Message] = field(default_factory=list)

    def lose_next_answer(self, *, processed: bool) -> None:
        self.host.fail_next("drop_after" if processed else "drop_before")

    def fail_next(self, kind: str) -> None:
        self.host.fail_next(kind, seconds=1.0 if kind == "late" else None)

    def authorizations(self, reference: str) -> int:
        return sum(standing.authorized for standing in self._standings(reference))

    def captured(self, reference: str) -> int:
        return sum(standing.captured for standing in self._standings(reference))

    def refunded(self, reference: str) -> int:
        return sum(standing.refunded for standing in self._standings(reference))

    def held(self, reference: str) -> int:
        return sum(standing.held for standing in self._standings(reference))

    def _standings(self, reference: str) -> list[Standing]:
        return [self.host.standing(rrn) for rrn in self.rrns.get(reference, ())]

    async def index_catches_up(self) -> None:
        """Deliver what is queued: nobody can be asked before."""
        for adapter in self.adapters:
            for _ in range(30):
                await adapter.forward()
                if not (await adapter.backlog()).waiting:
                    break
                await asyncio.sleep(0.2)


class WatchedAdapter(CardHostAdapter):
    """Notes under which reference number a payment goes: only the host and the records know it."""

    world: HostWorld

    async def _carry_out(self, command: Any) -> Any:
        outcome = await super()._carry_out(command)
        async with self._db.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT DISTINCT rrn FROM host_exchange WHERE reference = $1", command.reference)
        self.world.rrns[command.reference] = [row["rrn"] for row in rows]
        return outcome


def adapter_of(world: HostWorld, port: int | None = None, **changes: Any) -> WatchedAdapter:
    wire_layout = layout(world.host.layout)
    wording = Wording(wire_layout, changes.pop("merchant", MERCHANT))
    authentication: MessageAuthentication | None = changes.pop("authentication", None)
    behaviour = changes.pop("behaviour", CardHostConfiguration())
    configuration = LinkConfiguration(
        "test", (("127.0.0.1", port or world.host.port),), framing(world.host.framing), connections=2,
        session=SESSIONS.get(world.host.scheme.name, Session.usual(wire_layout.iso_version)), timeout_seconds=0.5,
        wait_seconds=1.0, echo_after_seconds=None, echo_timeout_seconds=1.0, reconnect_seconds=(0.01, 0.1),
    )  # fmt: skip
    link = Link(
        replace(configuration, **changes), Codec(wire_layout), finish=wording.header_of, authentication=authentication
    )
    made = WatchedAdapter(behaviour, link, wording, world.database, KEYRING)
    made.world = world
    world.adapters.append(made)
    return made


@pytest.fixture
async def world(database: Database) -> AsyncIterator[HostWorld]:
    heard: list[Message] = []
    watched = HostConfiguration(observe=lambda way, message: heard.append(message) if way == "in" else None)
    async with Iso8583Host(watched) as host:
        yield HostWorld(host, database, heard=heard)


@pytest.fixture
async def adapter(world: HostWorld) -> AsyncIterator[WatchedAdapter]:
    made = adapter_of(world)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def unreachable(world: HostWorld) -> AsyncIterator[Adapter]:
    made = adapter_of(world, 9, wait_seconds=0.1)
    world.adapters.remove(made)
    await made.open()
    yield made
    await made.close()


class TestCardHost(AdapterSuite):
    """ISO 8583:1987 over the host simulator, with real sockets and a real database."""

    async def test_what_was_buried_is_not_sent_any_more(self, adapter: WatchedAdapter, world: HostWorld) -> None:
        command = self.command(world)
        await adapter.undo(lost_of(command, OperationKind.AUTHORIZE))

        outcome = await adapter.authorize(command)

        assert isinstance(outcome, NotProcessed), outcome
        assert world.authorizations(command.reference) == 0

    async def test_what_is_being_sent_is_not_buried(
        self, adapter: WatchedAdapter, world: HostWorld, database: Database
    ) -> None:
        world.host.fail_next("slow", seconds=0.3)
        command = self.command(world)
        sending = asyncio.create_task(adapter.authorize(command))
        await asyncio.sleep(0.1)
        async with database.begin(SYSTEM) as tx:
            # As when another process looked before it was written down, and buries it after.
            buried = await adapter._bury(tx, lost_of(command, OperationKind.AUTHORIZE))

        assert not buried
        assert isinstance(await sending, Approved)

    async def test_a_command_given_twice_is_answered_from_the_records(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        command = self.command(world)
        first = await adapter.authorize(command)
        second = await adapter.authorize(command)

        assert first == second
        assert world.authorizations(command.reference) == 1

    async def test_what_was_not_sent_may_be_sent_again_under_its_id(
        self, adapter: WatchedAdapter, unreachable: WatchedAdapter, world: HostWorld
    ) -> None:
        command = self.command(world)
        assert isinstance(await unreachable.authorize(command), NotProcessed)

        assert isinstance(await adapter.authorize(command), Approved)

    async def test_a_final_capture_frees_the_rest_of_the_hold(self, adapter: WatchedAdapter, world: HostWorld) -> None:
        command, approved = await self.authorized(adapter, world)
        part = Money.of(600_000, "KZT")
        await adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, part))
        await world.index_catches_up()

        assert (world.captured(command.reference), world.held(command.reference)) == (600_000, 0)

    async def test_a_lost_final_capture_frees_the_rest_once_it_is_delivered(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        for processed in (False, True):
            command, approved = await self.authorized(adapter, world)
            world.lose_next_answer(processed=processed)
            part = Money.of(600_000, "KZT")
            capture = Capture(operation_id(), command.reference, approved.gateway_id, part)
            assert isinstance(await adapter.capture(capture), Unknown)
            await world.index_catches_up()

            found = await adapter.inquire(lost_of(capture, OperationKind.CAPTURE))

            assert isinstance(found, Approved), found
            assert (world.captured(command.reference), world.held(command.reference)) == (600_000, 0)

    async def test_reversing_after_a_capture_leaves_what_was_captured(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        command, approved = await self.authorized(adapter, world)
        part = Money.of(600_000, "KZT")
        await adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, part, final=False))

        rest = Money(AMOUNT.minor - part.minor, AMOUNT.currency)

        outcome = await adapter.reverse(Reverse(operation_id(), command.reference, approved.gateway_id, rest))

        assert world.heard[-1].fields[95] == "000000600000000000000000C00000000C00000000"
        assert isinstance(outcome, Approved), outcome
        assert (world.captured(command.reference), world.held(command.reference)) == (600_000, 0)

    async def test_a_reversal_that_overtakes_its_request_still_holds(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        world.host.fail_next("slow", seconds=1.0)
        command = self.command(world)
        assert isinstance(await adapter.authorize(command), Unknown)
        await world.index_catches_up()
        await asyncio.sleep(1.0)

        assert (world.authorizations(command.reference), world.held(command.reference)) == (0, 0)
        assert adapter.link.status.counters.late == 1

    async def test_the_queue_keeps_its_order_and_repeats_what_is_not_answered(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        commands = [self.command(world) for _ in range(3)]
        for command in commands:
            world.lose_next_answer(processed=True)
            assert isinstance(await adapter.authorize(command), Unknown)
        world.host.fail_next("drop_before")
        assert await adapter.forward() == 0
        waiting = (await adapter.backlog()).waiting
        await world.index_catches_up()

        assert waiting == 3
        assert [world.authorizations(command.reference) for command in commands] == [0, 0, 0]
        assert (await adapter.backlog()).waiting == 0

    async def test_a_reversal_sent_again_is_marked_as_a_repeat_and_otherwise_the_same(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        world.lose_next_answer(processed=True)
        await adapter.authorize(self.command(world))
        world.host.fail_next("drop_before", count=2)
        await world.index_catches_up()
        reversals = [message for message in world.heard if message.mti[1] == "4"]

        assert [message.mti for message in reversals] == ["0420", "0421", "0421"]
        assert len({str(sorted(message.fields.items())) for message in reversals}) == 1

    async def test_a_reversal_the_host_refuses_waits_for_a_person(
        self, adapter: WatchedAdapter, world: HostWorld, database: Database
    ) -> None:
        world.lose_next_answer(processed=True)
        command = self.command(world)
        await adapter.authorize(command)
        world.host.fail_next("decline:58")
        await adapter.forward()
        given_up = await adapter.backlog()
        async with database.begin(SYSTEM) as tx:
            (entry,) = await list_queue(tx, 10)
            again = await queue_again(tx, entry.id)
        await adapter.forward()

        assert (given_up.waiting, given_up.given_up, entry.response_code, again) == (0, 1, "58", True)
        assert (await adapter.backlog()).given_up == 0
        assert world.authorizations(command.reference) == 0

    async def test_a_reversal_refused_for_now_is_sent_again(self, adapter: WatchedAdapter, world: HostWorld) -> None:
        world.lose_next_answer(processed=True)
        command = self.command(world)
        await adapter.authorize(command)
        world.host.fail_next("decline:96")
        await world.index_catches_up()

        assert world.authorizations(command.reference) == 0
        assert isinstance(await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE)), NotFound)

    async def test_attempts_are_bounded_where_asked(self, world: HostWorld) -> None:
        adapter = adapter_of(world, behaviour=CardHostConfiguration(attempts=1))
        await adapter.open()
        world.host.fail_next("drop_after", count=2)
        await adapter.authorize(self.command(world))
        await adapter.forward()
        backlog = await adapter.backlog()
        await adapter.close()

        assert (backlog.waiting, backlog.given_up) == (0, 1)

    async def test_what_could_not_be_sent_is_no_repeat_when_it_is(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        world.lose_next_answer(processed=True)
        command = self.command(world)
        await adapter.authorize(command)
        unreachable = adapter_of(world, 9, wait_seconds=0.05)
        await unreachable.open()
        for _ in range(3):
            assert await unreachable.forward() == 0
            await asyncio.sleep(1.05)
        await unreachable.close()
        await adapter.forward()
        reversals = [message.mti for message in world.heard if message.mti[1] == "4"]

        assert reversals == ["0420"]
        assert world.authorizations(command.reference) == 0

    async def test_one_process_at_a_time_delivers_a_queue(self, adapter: WatchedAdapter, world: HostWorld) -> None:
        other = adapter_of(world)
        await other.open()
        commands = [self.command(world) for _ in range(5)]
        for command in commands:
            world.lose_next_answer(processed=True)
            await adapter.authorize(command)
        before = world.host.counts["requests"]
        await asyncio.gather(*(each.forward() for each in (adapter, other) for _ in range(3)))
        await world.index_catches_up()
        await other.close()

        assert world.host.counts["requests"] - before <= 5
        assert [world.authorizations(command.reference) for command in commands] == [0] * 5

    async def test_what_a_dead_process_left_is_taken_back(
        self, adapter: WatchedAdapter, world: HostWorld, database: Database
    ) -> None:
        command = self.command(world)
        world.host.fail_next("slow", seconds=5.0)
        dying = asyncio.create_task(adapter.authorize(command))
        await asyncio.sleep(0.1)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        async with database.begin(SYSTEM) as tx:
            # As if its time were over; nobody lives to say so.
            await tx.execute(
                "UPDATE host_exchange SET deadline_at = now() - interval '1 second' WHERE status = 'sending'"
            )
            rows = await tx.rows("SELECT rrn FROM host_exchange WHERE reference = $1", command.reference)
        world.rrns[command.reference] = [row["rrn"] for row in rows]
        await world.index_catches_up()

        assert world.authorizations(command.reference) == 0
        assert isinstance(await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE)), NotFound)

    async def test_an_answer_that_comes_after_the_reversal_was_queued_changes_nothing(
        self, adapter: WatchedAdapter, world: HostWorld, database: Database
    ) -> None:
        other = adapter_of(world)
        await other.open()
        command = self.command(world)
        world.host.fail_next("slow", seconds=0.4)
        slow = asyncio.create_task(adapter.authorize(command))
        await asyncio.sleep(0.1)
        async with database.begin(SYSTEM) as tx:
            # As if this process had been stopped for longer than an answer may take.
            await tx.execute("UPDATE host_exchange SET deadline_at = now() - interval '1 second'")
        await other.forward()
        outcome = await slow
        await world.index_catches_up()
        await other.close()

        assert isinstance(outcome, Unknown), outcome
        assert (world.authorizations(command.reference), world.held(command.reference)) == (0, 0)

    async def test_card_numbers_are_kept_sealed_and_not_for_ever(
        self, adapter: WatchedAdapter, world: HostWorld, database: Database
    ) -> None:
        command, approved, capture = await self.captured(adapter, world)
        async with database.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT e::text AS seen FROM host_exchange e")
            forwards = await tx.rows("SELECT f::text AS seen FROM host_forward f")
            await tx.execute("UPDATE host_exchange SET sent_at = sent_at - interval '181 days'")
        seen = " ".join(row["seen"] for row in (*rows, *forwards))
        forgotten = await adapter.forget()
        refund = await adapter.refund(Refund(operation_id(), command.reference, capture.gateway_id, AMOUNT))

        assert world.good_card not in seen
        assert world.good_card.encode().hex() not in seen
        assert forgotten == 2
        assert isinstance(refund, NotProcessed)
        assert approved.gateway_id in seen

    async def test_too_large_an_amount_is_not_sent(self, adapter: WatchedAdapter, world: HostWorld) -> None:
        outcome = await adapter.authorize(self.command(world, Money.of(10**12, "KZT")))

        assert isinstance(outcome, NotProcessed)
        assert outcome.reason.code == "invalid_amount"

    async def test_another_currency_than_the_authorisation_is_refused(
        self, adapter: WatchedAdapter, world: HostWorld
    ) -> None:
        command, approved = await self.authorized(adapter, world)

        outcome = await adapter.capture(
            Capture(operation_id(), command.reference, approved.gateway_id, Money.of(1, "USD"))
        )

        assert isinstance(outcome, NotProcessed)


@pytest.mark.parametrize("scheme", ["visa", "mastercard", "generic93"])
async def test_every_scheme_takes_and_gives_back_money(database: Database, scheme: str) -> None:
    suite = AdapterSuite()
    async with Iso8583Host(HostConfiguration(scheme=scheme)) as host:
        world = HostWorld(host, database)
        adapter = adapter_of(world, merchant=MERCHANTS.get(scheme, MERCHANT))
        await adapter.open()
        try:
            command, approved, capture = await suite.captured(adapter, world)
            refund = await adapter.refund(
                Refund(operation_id(), command.reference, capture.gateway_id, Money.of(5, "KZT"))
            )
            world.lose_next_answer(processed=True)
            lost = suite.command(world)
            outcome = await adapter.authorize(lost)
            await world.index_catches_up()
            other, partly = await suite.authorized(adapter, world)
            await adapter.capture(Capture(operation_id(), other.reference, partly.gateway_id, Money.of(7, "KZT")))
            await world.index_catches_up()

            assert isinstance(refund, Approved), refund
            assert isinstance(outcome, Unknown), outcome
            assert approved.approval_code
            assert world.authorizations(lost.reference) == 0
            assert (world.captured(command.reference), world.refunded(command.reference)) == (AMOUNT.minor, 5)
            assert (world.captured(other.reference), world.held(other.reference)) == (7, 0)
        finally:
            await adapter.close()


@pytest.mark.parametrize("algorithm", list(MacAlgorithm))
async def test_messages_are_authenticated_both_ways(database: Database, algorithm: MacAlgorithm) -> None:
    suite = AdapterSuite()
    key = bytes(range(16))
    module = SoftwareModule()
    module.load("mac", Cipher.AES if algorithm is MacAlgorithm.CMAC else Cipher.TDES, key)
    async with Iso8583Host(HostConfiguration(mac=HostMac(key, algorithm))) as host:
        world = HostWorld(host, database)
        adapter = adapter_of(world, authentication=MessageAuthentication(module, "mac", algorithm))
        wrong = SoftwareModule()
        wrong.load("mac", Cipher.AES if algorithm is MacAlgorithm.CMAC else Cipher.TDES, bytes(16))
        stranger = adapter_of(
            world, authentication=MessageAuthentication(wrong, "mac", algorithm), session=Session(None, None, None)
        )
        world.adapters.remove(stranger)
        await adapter.open()
        await stranger.open()
        try:
            command, _, _ = await suite.captured(adapter, world)
            refused = await stranger.authorize(suite.command(world))

            assert world.captured(command.reference) == AMOUNT.minor
            assert isinstance(refused, Unknown), refused
        finally:
            await adapter.close()
            await stranger.close()


async def test_an_answer_with_a_wrong_code_is_not_believed(database: Database) -> None:
    suite = AdapterSuite()
    key = bytes(range(16))
    module = SoftwareModule()
    module.load("mac", Cipher.TDES, key)
    async with Iso8583Host(HostConfiguration(mac=HostMac(key, response_key=bytes(16)))) as host:
        world = HostWorld(host, database)
        adapter = adapter_of(
            world, authentication=MessageAuthentication(module, "mac"), session=Session(None, None, None)
        )
        await adapter.open()
        outcome = await adapter.authorize(suite.command(world))
        await adapter.close()

        assert isinstance(outcome, Unknown), outcome
        assert adapter.link.status.counters.unreadable >= 1


@pytest.mark.parametrize(
    ("number", "value", "code"),
    [
        (4, "000000000001", "00"), (4, "000009999999", "10"), (4, None, "10"), (49, "840", "00"),
        (42, "SOMEBODY ELSE  ", "00"), (39, "09", "09"), (39, "68", "68"), (39, None, ""),
    ],
)  # fmt: skip
async def test_an_answer_that_contradicts_its_request_tells_nothing(
    database: Database, number: int, value: str | None, code: str
) -> None:
    suite = AdapterSuite()
    wire_codec, framed = Codec(layout("iso87_asciibin")), framing("binary2")

    def answer(request: Message) -> list[Message | bytes]:
        said = respond(request, code or "00")
        if request.mti == "0100":
            said.fields.pop(number, None)
            said.fields |= {} if value is None else {number: value}
            said.fields = dict(sorted(said.fields.items()))
        return [said]

    async with listening(wire_codec, framed) as peer, Iso8583Host() as unused:
        peer.reply = answer
        world = HostWorld(unused, database)
        adapter = adapter_of(world, peer.port)
        await adapter.open()
        outcome = await adapter.authorize(suite.command(world))
        waiting = (await adapter.backlog()).waiting
        await adapter.forward()
        await adapter.close()

    assert isinstance(outcome, Unknown), outcome
    assert waiting == 1
    assert [message.mti for message in peer.heard if message.mti[1] != "8"] == ["0100", "0420"]


async def test_a_reference_number_of_the_hosts_own_is_used_from_then_on(database: Database) -> None:
    suite = AdapterSuite()
    wire_codec, framed = Codec(layout("iso87_asciibin")), framing("binary2")

    def answer(request: Message) -> list[Message | bytes]:
        said = respond(request, "00")
        if request.mti == "0100":
            said.fields |= {3: "003000", 37: "HOSTSOWN0001"}
        return [said]

    async with listening(wire_codec, framed) as peer, Iso8583Host() as unused:
        peer.reply = answer
        world = HostWorld(unused, database)
        adapter = adapter_of(world, peer.port)
        await adapter.open()
        command, approved = await suite.authorized(adapter, world)
        captured = await adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, AMOUNT))
        await adapter.close()

    assert isinstance(captured, Approved), captured
    assert peer.said("0220")[0].fields[37] == "HOSTSOWN0001"


async def test_a_card_number_gets_out_nowhere(database: Database) -> None:
    suite = AdapterSuite()
    canary = "4929000000007716"
    shown = io.StringIO()
    log.configure("debug", json=True, stream=shown)
    try:
        async with Iso8583Host(HostConfiguration(slow_seconds=0.1)) as host:
            world = HostWorld(host, database, good_card=canary)
            adapter = adapter_of(world)
            await adapter.open()
            for fault in (*FAULTS[:-1], "decline:05", "decline:30", "late:0.7"):
                host.fail_next(fault)
                outcome = await adapter.authorize(suite.command(world))
                shown.write(f"{outcome!r} {adapter!r} {adapter.link!r} {adapter.link.status!r}\n")
            unwritable = replace(suite.command(world), amount=Money.of(1, "KZT"))
            shown.write(
                repr(await adapter.authorize(replace(unwritable, card=replace(unwritable.card, expiry_month=100))))
            )
            await world.index_catches_up()
            async with database.begin(SYSTEM) as tx:
                shown.write(repr(await list_queue(tx, 100)))
            await adapter.close()
    finally:
        log.configure("error", json=True)

    seen = shown.getvalue()
    assert "card_host.no_answer" in seen and "link.unreadable" in seen and "card_host.delivered" in seen
    for written in (canary, canary.encode().hex(), canary[6:]):
        assert written not in seen


def test_what_may_not_be_kept_is_not() -> None:
    never = {35: "4111111111111111=3112", 45: "B4111^X^3112", 48: "T9203123", 52: "0011223344556677", 55: "9F2608AA"}
    sent = Message("0100", {2: "4111111111111111", **never}, parts={126: {"items": {"10": "11 123"}}})

    assert keepable(sent) == {"mti": "0100", "header": None, "fields": {"2": "4111111111111111"}}


def test_a_visa_header_says_how_long_the_message_is() -> None:
    wire_codec = Codec(layout("visa_base1_h22"))
    wording = Wording(wire_codec.layout, MERCHANT)
    card = Card(Pan("4111111111111111"), 12, 2031)
    trace = Trace("000001", "633012000001", datetime.now(UTC))

    raw = wording.header_of(wire_codec.encode(wording.authorize(AMOUNT, card, trace, sale=False)))

    assert int(wire_codec.decode(raw).header_parts["total_length"], 16) == len(raw)


def test_a_short_code_has_nothing_behind_it() -> None:
    module = SoftwareModule()
    module.load("mac", Cipher.TDES, bytes(range(16)))
    short = MessageAuthentication(module, "mac", size=4)
    wire_codec = Codec(layout("iso87_asciibin"))
    raw = short.sealed(wire_codec, Message("0800", {7: "1126120000", 11: "000001"}))

    assert short.is_authentic(wire_codec, raw)
    assert not short.is_authentic(wire_codec, raw[:-1] + b"\x01")


@pytest.mark.parametrize("name", ["unionpay_pos", "ipm_ascii"])
def test_a_layout_that_cannot_carry_payments_is_refused(name: str) -> None:
    with pytest.raises(LayoutUnfitError):
        Wording(layout(name), MERCHANT)
