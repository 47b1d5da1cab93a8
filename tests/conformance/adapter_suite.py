"""What every payment adapter must do, whatever is behind it.

A subclass gives the fixtures `adapter`, `world`, and `unreachable`: an adapter like the first, where nobody listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from shanraq.core.ids import new_id
from shanraq.core.money import Money
from shanraq.core.secret import Pan, SecurityCode
from shanraq.payments.adapter import (
    Adapter,
    Approved,
    Authorize,
    Capture,
    Card,
    Command,
    Declined,
    InReview,
    Lost,
    NotFound,
    NotProcessed,
    OperationKind,
    Refund,
    Reverse,
    Unknown,
    Void,
)


class World(Protocol):
    """The outside, under control."""

    good_card: str
    declining_cards: Mapping[str, str]
    """Card numbers that are declined, and our code for the reason."""
    review_card: str | None
    risk_declined_card: str | None
    partial_amount: Money | None
    can_be_asked: bool
    """Whether a lost operation can be found. A card host cannot be asked: requests are taken back, the rest is repeated."""
    troubles: tuple[str, ...]
    """What `fail_next` knows: ways to answer that tell nothing."""

    def lose_next_answer(self, *, processed: bool) -> None:
        """Drop the connection at the next command, before or after it was processed."""

    def fail_next(self, kind: str) -> None:
        """Answer the next command with one of the `troubles`."""

    def authorizations(self, reference: str) -> int:
        """Return how many authorisations of this reference stand."""

    def captured(self, reference: str) -> int:
        """Return what stands captured of this reference, sales included, in minor units."""

    def refunded(self, reference: str) -> int:
        """Return what stands refunded of this reference, in minor units."""

    def held(self, reference: str) -> int:
        """Return what stays held on the card for this reference, in minor units."""

    async def index_catches_up(self) -> None:
        """Wait until what happened can be found."""


AMOUNT = Money.of(1_500_000, "KZT")


def operation_id() -> str:
    """Return an id for one operation."""
    return new_id("op")


def lost_of(command: Command, kind: OperationKind, *, sale: bool = False) -> Lost:
    """Return the inquiry for a command whose answer was lost."""
    return Lost(command.operation_id, command.reference, kind, command.amount, datetime.now(UTC), sale)


class AdapterSuite:
    """The tests every adapter inherits."""

    def command(
        self, world: World, amount: Money = AMOUNT, *, number: str | None = None, capture: bool = False
    ) -> Authorize:
        card = Card(Pan(number or world.good_card), 12, 2031, SecurityCode("123"))
        return Authorize(operation_id(), new_id("pay"), amount, card, capture)

    async def authorized(self, adapter: Adapter, world: World) -> tuple[Authorize, Approved]:
        command = self.command(world)
        outcome = await adapter.authorize(command)
        assert isinstance(outcome, Approved), outcome
        return command, outcome

    async def captured(self, adapter: Adapter, world: World) -> tuple[Authorize, Approved, Approved]:
        command, approved = await self.authorized(adapter, world)
        outcome = await adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, AMOUNT))
        assert isinstance(outcome, Approved), outcome
        return command, approved, outcome

    async def test_takes_and_gives_back_money(self, adapter: Adapter, world: World) -> None:
        command, _, capture = await self.captured(adapter, world)

        refund = await adapter.refund(
            Refund(operation_id(), command.reference, capture.gateway_id, Money.of(500_000, "KZT"))
        )

        assert isinstance(refund, Approved), refund
        assert world.captured(command.reference) == AMOUNT.minor

    async def test_sells_in_one_and_refunds_the_sale(self, adapter: Adapter, world: World) -> None:
        command = self.command(world, capture=True)
        sale = await adapter.authorize(command)
        assert isinstance(sale, Approved), sale

        refund = await adapter.refund(Refund(operation_id(), command.reference, sale.gateway_id, AMOUNT, of_sale=True))

        assert isinstance(refund, Approved), refund

    async def test_captures_in_parts_and_not_more_than_was_authorised(self, adapter: Adapter, world: World) -> None:
        command, approved = await self.authorized(adapter, world)
        part = Money.of(600_000, "KZT")

        outcomes = [
            await adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, part, final=False))
            for _ in range(3)
        ]

        assert [type(outcome) for outcome in outcomes] == [Approved, Approved, NotProcessed]
        assert world.captured(command.reference) == 1_200_000

    async def test_voids_a_capture_and_reverses_an_authorisation(self, adapter: Adapter, world: World) -> None:
        command, _, capture = await self.captured(adapter, world)
        voided = await adapter.void(
            Void(operation_id(), command.reference, OperationKind.CAPTURE, capture.gateway_id, AMOUNT)
        )
        other, approved = await self.authorized(adapter, world)
        reversed_ = await adapter.reverse(Reverse(operation_id(), other.reference, approved.gateway_id, AMOUNT))
        again = await adapter.reverse(Reverse(operation_id(), other.reference, approved.gateway_id, AMOUNT))

        assert isinstance(voided, Approved), voided
        assert isinstance(reversed_, Approved), reversed_
        assert isinstance(again, NotProcessed), again
        assert (world.captured(command.reference), world.authorizations(other.reference)) == (0, 0)

    async def test_declines_are_declines_with_a_reason(self, adapter: Adapter, world: World) -> None:
        for number, code in world.declining_cards.items():
            outcome = await adapter.authorize(self.command(world, number=number))

            assert isinstance(outcome, Declined | NotProcessed), (number, outcome)
            assert outcome.reason.code == code, (number, outcome)

    async def test_review_and_risk_are_told_apart(self, adapter: Adapter, world: World) -> None:
        if world.review_card is not None:
            assert isinstance(await adapter.authorize(self.command(world, number=world.review_card)), InReview)
        if world.risk_declined_card is not None:
            declined = await adapter.authorize(self.command(world, number=world.risk_declined_card))
            assert isinstance(declined, Declined)
            assert declined.reason.release
            assert declined.gateway_id

    async def test_the_hold_of_a_risk_decline_can_be_released(self, adapter: Adapter, world: World) -> None:
        if world.risk_declined_card is None:
            return
        command = self.command(world, number=world.risk_declined_card)
        declined = await adapter.authorize(command)
        assert isinstance(declined, Declined)

        released = await adapter.reverse(Reverse(operation_id(), command.reference, declined.gateway_id, AMOUNT))

        assert isinstance(released, Approved), released
        assert world.held(command.reference) == 0

    async def test_lost_declines_and_reviews_are_found_as_such(self, adapter: Adapter, world: World) -> None:
        declining, code = next(iter(world.declining_cards.items()))
        expected: list[tuple[str | None, type, bool]] = [
            (declining, Declined, False),
            (world.review_card, InReview, False),
            (world.risk_declined_card, Declined, True),
        ]
        for number, kind, release in expected:
            if number is None:
                continue
            world.lose_next_answer(processed=True)
            command = self.command(world, number=number)
            assert isinstance(await adapter.authorize(command), Unknown)
            await world.index_catches_up()

            found = await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE))

            if not world.can_be_asked:
                assert isinstance(found, NotFound), (number, found)
                continue
            assert isinstance(found, kind), (number, found)
            assert isinstance(found, Declined | InReview)
            assert found.reason.release is release
            assert number != declining or found.reason.code == code

    async def test_a_partial_approval_tells_how_much(self, adapter: Adapter, world: World) -> None:
        if world.partial_amount is None:
            return
        command = self.command(world, world.partial_amount)
        outcome = await adapter.authorize(command)
        await world.index_catches_up()
        found = await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE))

        assert isinstance(outcome, Approved)
        assert Money.of(0, "KZT") < outcome.amount < world.partial_amount
        assert isinstance(found, Approved)
        assert found.amount == outcome.amount

    async def test_a_lost_answer_is_unknown_and_found_later(self, adapter: Adapter, world: World) -> None:
        world.lose_next_answer(processed=True)
        command = self.command(world)
        outcome = await adapter.authorize(command)
        await world.index_catches_up()

        found = await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE))

        assert isinstance(outcome, Unknown), outcome
        if world.can_be_asked:
            assert isinstance(found, Approved), found
            assert found.amount == AMOUNT
        else:
            assert isinstance(found, NotFound), found
            assert (world.authorizations(command.reference), world.held(command.reference)) == (0, 0)

    async def test_what_never_arrived_is_not_found(self, adapter: Adapter, world: World) -> None:
        world.lose_next_answer(processed=False)
        command = self.command(world)
        outcome = await adapter.authorize(command)
        await world.index_catches_up()

        found = await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE))
        undone = await adapter.undo(lost_of(command, OperationKind.AUTHORIZE))

        assert isinstance(outcome, Unknown), outcome
        assert isinstance(found, NotFound), found
        assert isinstance(undone, NotFound), undone

    async def test_undo_takes_a_lost_operation_back_once(self, adapter: Adapter, world: World) -> None:
        for sale in (False, True):
            world.lose_next_answer(processed=True)
            command = self.command(world, capture=sale)
            await adapter.authorize(command)
            lost = lost_of(command, OperationKind.AUTHORIZE, sale=sale)

            first = await adapter.undo(lost)
            await world.index_catches_up()
            second = await adapter.undo(lost)

            assert isinstance(first, Approved), first
            assert isinstance(second, Approved | NotFound), second
            assert world.authorizations(command.reference) == 0
            assert (world.captured(command.reference), world.held(command.reference)) == (0, 0)

    async def test_what_was_taken_back_is_not_found_as_standing(self, adapter: Adapter, world: World) -> None:
        for sale in (False, True):
            world.lose_next_answer(processed=True)
            command = self.command(world, capture=sale)
            await adapter.authorize(command)
            lost = lost_of(command, OperationKind.AUTHORIZE, sale=sale)
            await adapter.undo(lost)
            await world.index_catches_up()

            found = await adapter.inquire(lost)

            assert isinstance(found, NotFound), found

    async def test_an_undo_whose_answer_is_lost_is_asked_again(self, adapter: Adapter, world: World) -> None:
        for sale in (False, True):
            world.lose_next_answer(processed=True)
            command = self.command(world, capture=sale)
            await adapter.authorize(command)
            lost = lost_of(command, OperationKind.AUTHORIZE, sale=sale)
            world.lose_next_answer(processed=True)

            first = await adapter.undo(lost)
            await world.index_catches_up()
            second = await adapter.undo(lost)

            assert isinstance(first, Unknown), first
            assert isinstance(second, Approved), second
            assert (world.captured(command.reference), world.held(command.reference)) == (0, 0)

    async def test_a_lost_capture_is_taken_back_and_made_again(self, adapter: Adapter, world: World) -> None:
        command, approved = await self.authorized(adapter, world)
        capture = Capture(operation_id(), command.reference, approved.gateway_id, AMOUNT)
        world.lose_next_answer(processed=True)
        await adapter.capture(capture)

        undone = await adapter.undo(lost_of(capture, OperationKind.CAPTURE))
        stands = world.captured(command.reference)
        again = await adapter.capture(replace(capture, operation_id=operation_id()))

        assert isinstance(undone, Approved), undone
        assert stands == 0
        assert isinstance(again, Approved), again
        assert world.captured(command.reference) == AMOUNT.minor

    async def test_a_lost_refund_is_taken_back(self, adapter: Adapter, world: World) -> None:
        command, _, capture = await self.captured(adapter, world)
        refund = Refund(operation_id(), command.reference, capture.gateway_id, AMOUNT)
        world.lose_next_answer(processed=True)
        await adapter.refund(refund)

        undone = await adapter.undo(lost_of(refund, OperationKind.REFUND))

        assert isinstance(undone, Approved), undone
        assert world.refunded(command.reference) == 0

    async def test_a_void_and_a_reversal_cannot_be_taken_back(self, adapter: Adapter, world: World) -> None:
        command, approved, capture = await self.captured(adapter, world)
        void = Void(operation_id(), command.reference, OperationKind.CAPTURE, capture.gateway_id, AMOUNT)
        reverse = Reverse(operation_id(), command.reference, approved.gateway_id, AMOUNT)
        never_sent = replace(void, operation_id=operation_id())
        before = await adapter.undo(lost_of(never_sent, OperationKind.VOID))
        await adapter.void(void)
        await adapter.reverse(reverse)
        await world.index_catches_up()

        undone = [
            await adapter.undo(lost_of(void, OperationKind.VOID)),
            await adapter.undo(lost_of(reverse, OperationKind.REVERSE)),
        ]

        assert isinstance(before, NotFound), before
        assert [type(finding) for finding in undone] == [Unknown, Unknown]
        assert (world.captured(command.reference), world.held(command.reference)) == (0, 0)

    async def test_an_operation_that_arrived_twice_is_taken_back_whole(self, adapter: Adapter, world: World) -> None:
        for sale in (False, True):
            command = self.command(world, capture=sale)
            await adapter.authorize(command)
            await adapter.authorize(command)
            lost = lost_of(command, OperationKind.AUTHORIZE, sale=sale)
            await world.index_catches_up()

            found = await adapter.inquire(lost)
            undone = await adapter.undo(lost)
            undone_again = await adapter.undo(lost)

            assert isinstance(found, Approved | Unknown), found
            assert isinstance(undone, Approved), undone
            assert isinstance(undone_again, Approved | NotFound), undone_again
            assert (world.captured(command.reference), world.held(command.reference)) == (0, 0)

    async def test_lost_captures_refunds_voids_and_reversals_are_found(self, adapter: Adapter, world: World) -> None:
        command, approved = await self.authorized(adapter, world)
        other, second = await self.authorized(adapter, world)
        capture = Capture(operation_id(), command.reference, approved.gateway_id, AMOUNT)
        world.lose_next_answer(processed=True)
        assert isinstance(await adapter.capture(capture), Unknown)
        await world.index_catches_up()
        found = await adapter.inquire(lost_of(capture, OperationKind.CAPTURE))
        assert isinstance(found, Approved), found
        refund = Refund(operation_id(), command.reference, found.gateway_id, Money.of(5, "KZT"))
        reverse = Reverse(operation_id(), other.reference, second.gateway_id, AMOUNT)
        world.lose_next_answer(processed=True)
        assert isinstance(await adapter.refund(refund), Unknown)
        world.lose_next_answer(processed=True)
        assert isinstance(await adapter.reverse(reverse), Unknown)
        await world.index_catches_up()

        refunded = await adapter.inquire(lost_of(refund, OperationKind.REFUND))
        assert isinstance(refunded, Approved if world.can_be_asked else NotFound), refunded
        assert world.refunded(command.reference) == (5 if world.can_be_asked else 0)
        assert isinstance(await adapter.inquire(lost_of(reverse, OperationKind.REVERSE)), Approved)

    async def test_a_lost_void_is_found(self, adapter: Adapter, world: World) -> None:
        command, _, capture = await self.captured(adapter, world)
        void = Void(operation_id(), command.reference, OperationKind.CAPTURE, capture.gateway_id, AMOUNT)
        world.lose_next_answer(processed=True)
        outcome = await adapter.void(void)
        await world.index_catches_up()

        found = await adapter.inquire(lost_of(void, OperationKind.VOID))

        assert isinstance(outcome, Unknown), outcome
        assert isinstance(found, Approved), found

    async def test_an_inquiry_without_an_answer_finds_nothing_out(self, adapter: Adapter, world: World) -> None:
        command, _ = await self.authorized(adapter, world)
        await world.index_catches_up()
        for kind in world.troubles if world.can_be_asked else ():
            world.fail_next(kind)
            found = await adapter.inquire(lost_of(command, OperationKind.AUTHORIZE))

            assert isinstance(found, Unknown), (kind, found)

    async def test_who_cannot_be_reached_has_processed_nothing(self, unreachable: Adapter, world: World) -> None:
        command = self.command(world)
        outcome = await unreachable.authorize(command)
        found = await unreachable.inquire(lost_of(command, OperationKind.AUTHORIZE))
        undone = await unreachable.undo(lost_of(command, OperationKind.AUTHORIZE))

        assert isinstance(outcome, NotProcessed), outcome
        assert outcome.retryable
        # Who cannot be asked keeps records instead, and knows that nothing left.
        nothing = Unknown if world.can_be_asked else NotFound
        assert isinstance(found, nothing), found
        assert isinstance(undone, nothing), undone
        assert not await unreachable.healthy()

    async def test_troubled_answers_are_unknown(self, adapter: Adapter, world: World) -> None:
        for kind in world.troubles:
            world.fail_next(kind)

            assert isinstance(await adapter.authorize(self.command(world)), Unknown), kind

    async def test_captures_at_once_take_no_more_than_was_authorised(self, adapter: Adapter, world: World) -> None:
        command, approved = await self.authorized(adapter, world)
        part = Money.of(450_000, "KZT")

        outcomes = await asyncio.gather(
            *(
                adapter.capture(Capture(operation_id(), command.reference, approved.gateway_id, part, final=False))
                for _ in range(10)
            )
        )

        assert sum(isinstance(outcome, Approved) for outcome in outcomes) == 3
        assert sum(isinstance(outcome, NotProcessed) for outcome in outcomes) == 7
        assert world.captured(command.reference) == 3 * part.minor

    async def test_more_than_was_captured_cannot_be_refunded(self, adapter: Adapter, world: World) -> None:
        command, _, capture = await self.captured(adapter, world)

        outcome = await adapter.refund(
            Refund(operation_id(), command.reference, capture.gateway_id, replace(AMOUNT, minor=AMOUNT.minor + 1))
        )

        assert isinstance(outcome, NotProcessed | Declined), outcome

    async def test_what_does_not_exist_cannot_be_captured(self, adapter: Adapter, world: World) -> None:
        outcome = await adapter.capture(Capture(operation_id(), new_id("pay"), "1234567890123456789012", AMOUNT))

        assert isinstance(outcome, NotProcessed), outcome

    async def test_fifty_at_once_are_fifty(self, adapter: Adapter, world: World) -> None:
        outcomes = await asyncio.gather(*(adapter.authorize(self.command(world)) for _ in range(50)))

        assert {type(outcome) for outcome in outcomes} == {Approved}
        assert len({outcome.gateway_id for outcome in outcomes if isinstance(outcome, Approved)}) == 50

    async def test_is_healthy_while_the_other_side_answers(self, adapter: Adapter, world: World) -> None:
        assert await adapter.healthy()
