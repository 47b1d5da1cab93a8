"""Terminals at the gateway: every message over a real socket, paid over a host that can be told to fail."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shanraq import accounts, partners, payments, terminals
from shanraq.core import log
from shanraq.core.actor import SYSTEM, Actor, Environment
from shanraq.core.db import Database
from shanraq.ops.verify import verify_database
from shanraq.payments import Gateways
from shanraq.simulators.iso8583 import Iso8583Host, trigger_card
from shanraq.standards.iso8583 import Codec, Framing, Message, codec, framing
from shanraq.standards.iso8583.flow import original_data, repeat_mti
from shanraq.standards.iso8583.security import Cipher, MacAlgorithm, MessageAuthentication, SoftwareModule
from shanraq.switch import Acceptor, Gateway, carry_out_reversals
from tests.adapters.cardhost.test_adapter import KEYRING, HostWorld, WatchedAdapter, adapter_of
from tests.flows.platform import onboard

CARD = "4111111111111111"
FRAMING = framing("binary2")
EDITIONS = ("iso87_asciibin", "iso93a")


@dataclass
class Shop:
    """A terminal and what it talks to. `send` gives the answer, None where there is none in time."""

    database: Database
    host: Iso8583Host
    adapter: WatchedAdapter
    acquiring: payments.Acquiring
    actor: Actor
    account: accounts.Account
    terminal: terminals.Terminal
    codec: Codec
    acceptor: Acceptor
    framing: Framing = FRAMING
    authentication: MessageAuthentication | None = None
    _stans: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def later(self) -> bool:
        return self.codec.layout.iso_version != "1987"

    def code(self, message: Message | None) -> str:
        assert message is not None, "no answer"
        return message.fields[39]

    def message(self, kind: str, fields: Mapping[int, str | None] | None = None) -> Message:
        """Return a message of this terminal; None leaves an element out."""
        stan = next(self._stans)
        own: dict[int, str | None] = {
            3: "000000", 4: "000000150000", 7: "1126120000", 11: f"{stan:06d}", 41: self.terminal.terminal.ljust(8),
            42: self.terminal.acceptor.ljust(15), 49: "398",
        }  # fmt: skip
        own |= {12: f"261126{12:02d}{stan // 60 % 60:02d}{stan % 60:02d}"} if self.later else {}
        if kind[0] in "12" and kind[1] == "0":
            own |= {2: CARD, 14: "3112"}
        own |= dict(fields or {})
        mti = ("1" if self.later else "0") + kind
        return Message(mti, {number: value for number, value in sorted(own.items()) if value is not None})

    def reversal(self, original: Message, kind: str = "400", fields: Mapping[int, str | None] | None = None) -> Message:
        named = {56 if self.later else 90: original_data(original), 2: original.fields.get(2)}
        return self.message(kind, {**named, 4: original.fields[4], **(fields or {})})

    async def send(self, message: Message | bytes, seconds: float = 20.0) -> Message | None:
        if isinstance(message, bytes):
            raw = message
        elif self.authentication is not None:
            raw = self.authentication.sealed(self.codec, message)
        else:
            raw = self.codec.encode(message)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.acceptor.port)
        try:
            writer.write(self.framing.frame(raw))
            frames = self.framing.reader()
            async with asyncio.timeout(seconds):
                while data := await reader.read(65536):
                    for received in frames.feed(data):
                        return self.codec.decode(received.message)
        except TimeoutError:
            return None
        finally:
            writer.close()
        return None

    async def made(self) -> list[payments.Payment]:
        async with self.database.begin(SYSTEM) as tx:
            rows = await tx.rows("SELECT id FROM payment ORDER BY id")
        return [await payments.find_payment(self.database, self.actor, row["id"]) for row in rows]

    async def statuses(self) -> list[str]:
        return [payment.status.value for payment in await self.made()]

    async def settle(self) -> None:
        """Let recovery, the host's queue and the reversals of terminals run until nothing is open."""
        for _ in range(400):
            async with self.database.begin(SYSTEM) as tx:
                await tx.execute("UPDATE terminal_message SET next_at = now() WHERE status = 'accepted'")
                await tx.execute("UPDATE payment_operation SET next_check_at = now() WHERE next_check_at IS NOT NULL")
            await self.adapter.forward()
            await payments.recover(self.acquiring)
            await carry_out_reversals(self.acquiring)
            async with self.database.begin(SYSTEM) as tx:
                left = await tx.value(
                    """SELECT (SELECT count(*) FROM terminal_message WHERE status = 'accepted')
                            + (SELECT count(*) FROM payment_operation WHERE next_check_at IS NOT NULL)
                            + (SELECT count(*) FROM host_forward WHERE status = 'waiting')"""
                )
            if not left:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("something stays open")

    def standing(self, payment: payments.Payment) -> tuple[int, int, int]:
        """Return what stands at the host of a payment: captured, refunded, held."""
        found = [self.host.standing(rrn) for rrn in self.adapter.world.rrns.get(payment.id, ())]
        return sum(one.captured for one in found), sum(one.refunded for one in found), sum(one.held for one in found)


@pytest.fixture(params=EDITIONS)
def layout_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def shop(database: Database, layout_name: str) -> AsyncIterator[Shop]:
    async with Iso8583Host() as host:
        adapter = adapter_of(HostWorld(host, database), timeout_seconds=1.0)
        await adapter.open()
        acquiring = payments.Acquiring(
            database, KEYRING, Gateways({Environment.SANDBOX: {adapter.name: adapter}}), timedelta(seconds=5)
        )
        issued = await onboard(database, KEYRING)
        actor = await partners.authenticate(
            database, KEYRING, partners.BasicCredentials(issued.id, issued.secret), address="127.0.0.1"
        )
        account = await accounts.open_account(database, actor, accounts.NewAccount(currency="KZT"))
        terminal = await terminals.register_terminal(
            database, actor, terminals.NewTerminal(terminal="T1", acceptor="SHOP 1", account_id=account.id)
        )
        wire_codec = codec(layout_name)
        gateway = Gateway(acquiring, Environment.SANDBOX, wire_codec)
        async with Acceptor(wire_codec, FRAMING, gateway.answer) as acceptor:
            yield Shop(database, host, adapter, acquiring, actor, account, terminal, wire_codec, acceptor)
        assert await verify_database(database) == []
        await adapter.close()


async def test_authorises_captures_and_refunds(shop: Shop) -> None:
    request = shop.message("100")
    approved = await shop.send(request)
    assert approved is not None
    capture = shop.reversal(request, "220", {4: "000000100000"})
    captured = await shop.send(capture)
    refunded = await shop.send(
        shop.message("200", {2: None, 14: None, 3: "200000", 4: "000000000700", 37: approved.fields[37]})
    )
    await shop.settle()
    (payment,) = await shop.made()

    assert (approved.mti[1:], approved.fields[39][-2:]) == ("110", "00")
    assert len(approved.fields[38].strip()) == 6
    assert {number: approved.fields[number] for number in (3, 4, 7, 11, 41, 42, 49)} == {
        number: request.fields[number] for number in (3, 4, 7, 11, 41, 42, 49)
    }
    assert [captured and captured.mti[1:], refunded and refunded.mti[1:]] == ["230", "210"]
    assert shop.code(captured) == ("900" if shop.later else "00")
    assert shop.code(refunded)[-2:] == "00"
    assert (payment.amount_authorized, payment.amount_captured, payment.amount_refunded) == (150_000, 100_000, 700)
    assert payment.account_id == shop.account.id
    assert shop.standing(payment) == (100_000, 700, 0)


async def test_a_purchase_takes_the_money_at_once_and_a_reversal_gives_it_back(shop: Shop) -> None:
    request = shop.message("200")
    approved = await shop.send(request)
    reversed_ = await shop.send(shop.reversal(request))
    await shop.settle()
    (payment,) = await shop.made()

    assert shop.code(approved)[-2:] == "00"
    assert shop.code(reversed_) == ("400" if shop.later else "00")
    assert payment.status == "voided"
    assert shop.standing(payment) == (0, 0, 0)


async def test_network_management_is_answered(shop: Shop) -> None:
    extra: dict[int, str | None] = {3: None, 4: None, 49: None}
    answer = await shop.send(
        shop.message("804" if shop.later else "800", extra | ({24: "831"} if shop.later else {70: "301"}))
    )

    assert answer is not None
    assert (answer.mti, shop.code(answer)) == (("1814", "800") if shop.later else ("0810", "00"))


async def test_a_repeat_gets_the_same_answer_and_pays_once(shop: Shop) -> None:
    request = shop.message("200")
    first = await shop.send(request)
    again = [
        await shop.send(each) for each in (request, Message(repeat_mti(request.mti), dict(request.fields)), request)
    ]

    assert first is not None
    assert all(answer == first for answer in again)
    assert len(await shop.made()) == 1


async def test_a_repeat_is_known_by_its_local_time_whenever_it_was_transmitted(shop: Shop) -> None:
    request = shop.message("200", {12: "261126120001" if shop.later else "120001", 13: None if shop.later else "1126"})
    first = await shop.send(request)
    repeat = Message(repeat_mti(request.mti), {**request.fields, 7: "1126120107"})
    again = await shop.send(repeat)
    reversed_ = await shop.send(shop.reversal(repeat, "400", {37: first.fields[37] if first else None}))
    await shop.settle()

    assert first is not None
    assert again is not None
    assert (again.fields[38], again.fields[37]) == (first.fields[38], first.fields[37])
    assert shop.code(reversed_) == ("400" if shop.later else "00")
    assert await shop.statuses() == ["voided"]


async def test_a_reference_number_of_zeros_names_nothing(shop: Shop) -> None:
    requests = [shop.message("200", {37: "0" * 12}) for _ in range(2)]
    answers = [await shop.send(request) for request in requests]
    refund = await shop.send(shop.message("200", {2: None, 14: None, 3: "200000", 37: "0" * 12}))
    reversal = await shop.send(shop.message("400", {2: CARD, 37: "0" * 12}))

    assert len({answer.fields[37] for answer in answers if answer is not None}) == 2
    assert {shop.code(refund), shop.code(reversal)} == {"914" if shop.later else "25"}
    assert await shop.statuses() == ["captured", "captured"]


async def test_many_copies_at_once_are_one_payment(shop: Shop) -> None:
    request = shop.message("200")
    answers = await asyncio.gather(*(shop.send(request, 1.0) for _ in range(8)))
    last = await shop.send(request)

    assert shop.code(last)[-2:] == "00"
    assert {answer.fields[38] for answer in answers if answer is not None} <= {last.fields[38] if last else ""}
    assert len(await shop.made()) == 1
    assert sum(one.captured for one in shop.host.standings().values()) == 150_000


async def test_a_trace_number_used_for_another_amount_is_refused(shop: Shop) -> None:
    request = shop.message("200")
    await shop.send(request)
    other = Message(request.mti, {**request.fields, 4: "000000000001"})

    assert shop.code(await shop.send(other)) == ("913" if shop.later else "94")
    assert len(await shop.made()) == 1


@pytest.mark.parametrize(
    ("number", "code", "later"),
    [("005", "05", "100"), ("051", "51", "116"), ("054", "54", "101"), ("014", "14", "111"), ("041", "43", "209"),
     ("061", "61", "121"), ("091", "91", "912"), ("107", "82", "122")],
)  # fmt: skip
async def test_declines_come_through(shop: Shop, number: str, code: str, later: str) -> None:
    answer = await shop.send(shop.message("100", {2: trigger_card(number)}))

    assert shop.code(answer) == (later if shop.later else code)
    assert await shop.statuses() == ["failed"]


async def test_a_partial_approval_tells_how_much(shop: Shop) -> None:
    answer = await shop.send(shop.message("100", {2: trigger_card("010")}))

    assert answer is not None
    assert shop.code(answer) == ("002" if shop.later else "10")
    assert answer.fields[4] == "000000075000"


@pytest.mark.parametrize(
    ("fields", "code", "later"),
    [
        ({2: None}, "30", "904"),
        ({14: None}, "30", "904"),
        ({14: "3113"}, "30", "904"),
        ({2: "4111111111111112"}, "12", "902"),
        ({14: "2001"}, "54", "101"),
        ({4: None}, "30", "904"),
        ({4: "000000000000"}, "30", "904"),
        ({49: "999"}, "30", "904"),
        ({49: "840"}, "13", "110"),
        ({3: None}, "30", "904"),
        ({3: "310000"}, "40", "115"),
        ({52: "0011223344556677"}, "40", "115"),
        ({35: "4111111111111111=3112"}, "00", "000"),
        ({2: None, 14: None, 35: "4111111111111111=31121010000"}, "00", "000"),
        ({35: "5555555555554444=3112"}, "30", "904"),
        ({35: "=3112"}, "30", "904"),
        ({41: "NOBODY  "}, "58", "120"),
        ({42: "NOBODY         "}, "58", "120"),
        ({41: None}, "58", "120"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_nothing_is_paid(
    shop: Shop, fields: dict[int, str | None], code: str, later: str
) -> None:
    if shop.later and 52 in fields:
        fields = {52: "0011223344556677"}
    answer = await shop.send(shop.message("100", fields))

    assert shop.code(answer) == (later if shop.later else code)
    assert [status for status in await shop.statuses() if status != "failed"] == (
        ["authorized"] if code == "00" else []
    )


async def test_an_unreadable_message_is_answered_as_one(shop: Shop) -> None:
    raw = shop.codec.encode(shop.message("100"))

    answer = await shop.send(raw[:-2])

    assert shop.code(answer) == ("904" if shop.later else "30")
    assert await shop.statuses() == []


async def test_a_disabled_terminal_and_a_suspended_partner_are_refused(shop: Shop) -> None:
    await terminals.change_terminal(
        shop.database, shop.actor, shop.terminal.id, status=terminals.TerminalStatus.DISABLED
    )
    disabled = await shop.send(shop.message("100"))
    await terminals.change_terminal(shop.database, shop.actor, shop.terminal.id, status=terminals.TerminalStatus.ACTIVE)
    await partners.suspend(
        shop.database, replace(SYSTEM, scopes=frozenset({partners.SUSPEND})), shop.actor.partner_id, "a drill"
    )
    suspended = await shop.send(shop.message("100"))

    assert {shop.code(disabled), shop.code(suspended)} == {"120" if shop.later else "58"}
    assert await shop.statuses() == []


async def test_what_the_terminal_completes_or_refunds_must_be_its_own(shop: Shop) -> None:
    never = shop.message("100")
    capture = await shop.send(shop.reversal(never, "220"))
    refund = await shop.send(shop.message("200", {2: None, 14: None, 3: "200000", 37: "000000000000"}))
    request = shop.message("100")
    approved = await shop.send(request)
    assert approved is not None
    too_much = await shop.send(shop.reversal(request, "220", {4: "000000150001"}))
    foreign = await shop.send(shop.reversal(request, "220", {49: "840"}))
    early = await shop.send(shop.message("200", {2: None, 14: None, 3: "200000", 37: approved.fields[37]}))

    assert {shop.code(capture), shop.code(refund)} == {"914" if shop.later else "25"}
    assert shop.code(too_much) == ("121" if shop.later else "61")
    assert shop.code(foreign) == ("110" if shop.later else "13")
    assert shop.code(early) == ("902" if shop.later else "12")
    assert await shop.statuses() == ["authorized"]


# Unknown outcomes and reversals


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "garbage", "disconnect_after"])
@pytest.mark.parametrize("kind", ["100", "200"])
async def test_an_unknown_outcome_is_not_answered_and_its_reversal_holds(shop: Shop, fault: str, kind: str) -> None:
    shop.host.fail_next(fault)
    request = shop.message(kind)
    unanswered = await shop.send(request, 1.5)
    reversed_ = await shop.send(shop.reversal(request, "420"))
    again = await shop.send(shop.reversal(request, "420"))
    await shop.settle()
    (payment,) = await shop.made()

    assert unanswered is None
    assert shop.code(reversed_) == shop.code(again) == ("400" if shop.later else "00")
    assert payment.status in ("failed", "voided")
    assert shop.standing(payment) == (0, 0, 0)


async def test_an_unknown_outcome_that_was_settled_is_told_to_a_repeat(shop: Shop) -> None:
    shop.host.fail_next("drop_after")
    request = shop.message("200")
    unanswered = await shop.send(request, 1.5)
    await shop.settle()
    answer = await shop.send(Message(repeat_mti(request.mti), dict(request.fields)))

    assert unanswered is None
    # A card host takes back what it cannot know: the payment has failed, and may be made anew.
    assert shop.code(answer) == ("909" if shop.later else "96")
    assert await shop.statuses() == ["failed"]


async def test_a_reversal_that_overtakes_its_original_keeps_it_from_paying(shop: Shop) -> None:
    request = shop.message("200")
    before = await shop.send(shop.reversal(request))
    late = await shop.send(request)
    again = await shop.send(request)

    assert shop.code(before) == ("914" if shop.later else "25")
    assert shop.code(late) == shop.code(again) == ("902" if shop.later else "21")
    assert await shop.statuses() == []


async def test_a_reversal_while_the_original_is_under_way_wins_in_the_end(shop: Shop) -> None:
    for seconds in (0.0, 0.02, 0.05, 0.1, 0.2):
        shop.host.fail_next("slow", seconds=0.15)
        request = shop.message("200")
        paying = asyncio.create_task(shop.send(request, 2.0))
        await asyncio.sleep(seconds)
        reversed_ = await shop.send(shop.reversal(request))
        await paying
        await shop.settle()
        shop.host.clear_faults()

        assert shop.code(reversed_) in ("00", "25", "400", "914")
    assert set(await shop.statuses()) <= {"voided", "failed"}
    assert sum(one.captured + one.held for one in shop.host.standings().values()) == 0


async def test_a_reversal_by_reference_number_is_enough(shop: Shop) -> None:
    request = shop.message("100")
    approved = await shop.send(request)
    assert approved is not None
    answer = await shop.send(shop.message("400", {2: CARD, 37: approved.fields[37]}))
    await shop.settle()

    assert shop.code(answer) == ("400" if shop.later else "00")
    assert await shop.statuses() == ["voided"]


async def test_the_reversal_of_a_completion_takes_all_back(shop: Shop) -> None:
    request = shop.message("100")
    await shop.send(request)
    capture = shop.reversal(request, "220", {4: "000000100000"})
    await shop.send(capture)
    answer = await shop.send(shop.reversal(capture))
    await shop.settle()
    (payment,) = await shop.made()

    assert shop.code(answer) == ("400" if shop.later else "00")
    assert payment.status in ("voided", "refunded")
    assert shop.standing(payment)[0] - shop.standing(payment)[1] == 0


async def test_reversals_that_cannot_be_done_are_refused_at_once(shop: Shop) -> None:
    request = shop.message("200")
    approved = await shop.send(request)
    assert approved is not None
    partial = {24: "401"} if shop.later else {95: "000000000100000000000000C00000000C00000000"}
    in_part = await shop.send(shop.reversal(request, "400", partial))
    refund = shop.message("200", {2: None, 14: None, 3: "200000", 4: "000000000700", 37: approved.fields[37]})
    await shop.send(refund)
    of_refund = await shop.send(shop.reversal(refund))
    await shop.settle()
    (payment,) = await shop.made()

    assert {shop.code(in_part), shop.code(of_refund)} == {"115" if shop.later else "40"}
    assert (payment.status, payment.amount_refunded) == ("partially_refunded", 700)


async def test_a_process_that_dies_after_the_payment_was_begun_leaves_it_to_the_reversal(shop: Shop) -> None:
    shop.host.fail_next("slow", seconds=5.0)
    request = shop.message("200")
    heard = shop.host.counts["received"]
    paying = asyncio.create_task(shop.send(request, 5.0))
    await until(lambda: shop.host.counts["received"] > heard)
    await asyncio.sleep(0.1)
    # As kill -9 would: what the gateway has under way ends without a word.
    for task in list(shop.acceptor._tasks):
        task.cancel()
    paying.cancel()
    async with shop.database.begin(SYSTEM) as tx:
        await tx.execute("UPDATE host_exchange SET deadline_at = now() WHERE status = 'sending'")
    answer = await shop.send(shop.reversal(request))
    await shop.settle()

    assert shop.code(answer) == ("400" if shop.later else "00")
    assert set(await shop.statuses()) <= {"failed", "voided"}
    assert sum(one.captured + one.held for one in shop.host.standings().values()) == 0


async def test_a_payment_that_nobody_wrote_down_is_found_and_taken_back(shop: Shop) -> None:
    request = shop.message("200")
    await shop.send(request)
    async with shop.database.begin(SYSTEM) as tx:
        # As if the process had died between the approval and writing it down.
        await tx.execute("UPDATE terminal_message SET status = 'open', payment_id = NULL, response_code = ''")
    answer = await shop.send(shop.reversal(request))
    await shop.settle()

    assert shop.code(answer) == ("400" if shop.later else "00")
    assert await shop.statuses() == ["voided"]


# Authentication, masking


async def test_messages_are_believed_with_a_right_code_only(shop: Shop) -> None:
    module = SoftwareModule()
    module.load("t1", Cipher.TDES, bytes(range(16)))
    module.load("wrong", Cipher.TDES, bytes(16))
    right = MessageAuthentication(module, "t1", MacAlgorithm.RETAIL)
    await terminals.change_terminal(shop.database, shop.actor, shop.terminal.id, mac_key="t1")
    gateway = Gateway(shop.acquiring, Environment.SANDBOX, shop.codec, right)
    async with Acceptor(shop.codec, FRAMING, gateway.answer) as acceptor:
        shop.acceptor = acceptor
        without = await shop.send(shop.message("200"))
        shop.authentication = MessageAuthentication(module, "wrong", MacAlgorithm.RETAIL)
        wrong = await shop.send(shop.message("200"))
        shop.authentication = right
        answer = await shop.send(shop.message("200"))

    assert {shop.code(without), shop.code(wrong)} == {"916" if shop.later else "96"}
    assert answer is not None
    assert shop.code(answer)[-2:] == "00"
    assert right.is_authentic(shop.codec, shop.codec.encode(answer))
    assert len(await shop.made()) == 1


async def test_a_card_number_is_in_no_log_and_no_row(shop: Shop) -> None:
    canary = "4929000000007716"
    shown = io.StringIO()
    log.configure("debug", json=True, stream=shown)
    try:
        request = shop.message("200", {2: canary})
        await shop.send(request)
        await shop.send(shop.reversal(request))
        await shop.send(shop.message("200", {2: canary, 35: f"{canary}=3112", 14: None, 45: f"B{canary}^X^3112"}))
        await shop.send(shop.message("200", {2: canary, 3: "990000"}))
        await shop.send(shop.codec.encode(shop.message("100", {2: canary}))[:-1])
        await shop.settle()
    finally:
        log.configure("error", json=True)
    async with shop.database.begin(SYSTEM) as tx:
        tables = [row["t"] for row in await tx.rows("SELECT tablename AS t FROM pg_tables WHERE schemaname = 'public'")]
        seen = shown.getvalue()
        for table in tables:
            if table not in ("schema_migration", "migration"):
                seen += " ".join(row["r"] for row in await tx.rows(f"SELECT x::text AS r FROM {table} x"))

    assert "switch." in shown.getvalue()
    for written in (canary, canary.encode().hex()):
        assert written not in seen


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("field", ["terminal", "acceptor"])
@pytest.mark.parametrize("text", ["", " T1", "T1 ", "Ж", "T\n1", "X" * 36])
async def test_what_no_terminal_sends_is_not_registered(shop: Shop, field: str, text: str) -> None:
    given: dict[str, str] = {"terminal": "T2", "acceptor": "SHOP 1"} | {field: text}
    with pytest.raises(terminals.InvalidTerminalError) as refused:
        await terminals.register_terminal(
            shop.database, shop.actor, terminals.NewTerminal(**given, account_id=shop.account.id)
        )

    assert refused.value.field == field


async def test_a_terminal_is_registered_once_and_for_an_account_of_its_partner(shop: Shop) -> None:
    again = terminals.NewTerminal(terminal="T1", acceptor="SHOP 1", account_id=shop.account.id)
    foreign = terminals.NewTerminal(terminal="T2", acceptor="SHOP 1", account_id="acc_01M8BW9TSYY7YMA04NDCSM70HC")

    with pytest.raises(terminals.TerminalTakenError):
        await terminals.register_terminal(shop.database, shop.actor, again)
    with pytest.raises(accounts.AccountNotFoundError):
        await terminals.register_terminal(shop.database, shop.actor, foreign)
    with pytest.raises(accounts.AccountNotFoundError):
        await terminals.change_terminal(
            shop.database, shop.actor, shop.terminal.id, account_id="acc_01M8BW9TSYY7YMA04NDCSM70HC"
        )
    with pytest.raises(terminals.TerminalNotFoundError):
        await terminals.change_terminal(shop.database, shop.actor, "trm_01M8BW9TSYY7YMA04NDCSM70HC", name="x")
    assert [one.id for one in await terminals.list_terminals(shop.database, shop.actor)] == [shop.terminal.id]
